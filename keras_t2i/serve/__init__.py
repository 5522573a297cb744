"""A server for one machine, without Docker: TF Serving's REST protocol over an exported SavedModel.

Why not KServe's `ModelServer`, which speaks the protocol too: kserve 0.21 brings 41 packages, among them a Kubernetes
client and pins that push protobuf and psutil a major version back, and it answers one request with one call of the
model, without a bounded queue or limits on bodies, since KServe leaves those to a cluster. Starlette, uvicorn and
prometheus-client are three small packages, and with them what a server in the open needs fits in this folder: requests
of several clients in one batch, a queue that refuses rather than grows, and limits on everything that comes from
outside.

The order of a request: `connection` (time limits on the wire), `app` (routes), `protocol` (JSON to arrays),
`batching` (queue and batches), `model` (TensorFlow), and back. A SavedModel is a program: serve only such as you trust.
"""

from __future__ import annotations

from keras_t2i.serve.server import serve
from keras_t2i.serve.settings import Settings

__all__ = ["Settings", "serve"]
