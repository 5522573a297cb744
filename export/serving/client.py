"""Draws captions with a served model and writes PNG files; needs Python alone, and for gRPC `grpcio` and `protobuf`.

    python client.py --address http://localhost:8501 "a red star" --seed 3 -o star.png
    python client.py --address grpc://localhost:8500 "a red star" "a blue circle" --num-images 4 -o shapes.png
    python client.py "a red star" --picture picture.png --mask mask.png -o filled.png

The server is TensorFlow Serving, or `keras-t2i serve`, which takes the same requests over HTTP. Image `i` of a caption
has the seed `seed + i`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MOST_ROWS = 16
"""Of a request: the server's largest batch."""

_METHOD = "/tensorflow.serving.PredictionService/Predict"
_STRING, _INT64, _FLOAT = 7, 9, 1

# What is used of TensorFlow's and TensorFlow Serving's messages: on the wire, numbers and types are all there is.
_MESSAGES = """
name: "client.proto" package: "client" syntax: "proto3"
message_type {
  name: "Shape"
  nested_type { name: "Dim" field { name: "size" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }
  field { name: "dim" number: 2 type: TYPE_MESSAGE type_name: "Dim" label: LABEL_REPEATED }
}
message_type {
  name: "Tensor"
  field { name: "dtype" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "shape" number: 2 type: TYPE_MESSAGE type_name: "Shape" label: LABEL_OPTIONAL }
  field { name: "floats" number: 5 type: TYPE_FLOAT label: LABEL_REPEATED }
  field { name: "strings" number: 8 type: TYPE_BYTES label: LABEL_REPEATED }
  field { name: "integers" number: 10 type: TYPE_INT64 label: LABEL_REPEATED }
}
message_type {
  name: "Spec"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "signature_name" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "Entry"
  field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "value" number: 2 type: TYPE_MESSAGE type_name: "Tensor" label: LABEL_OPTIONAL }
}
message_type {
  name: "Request"
  field { name: "spec" number: 1 type: TYPE_MESSAGE type_name: "Spec" label: LABEL_OPTIONAL }
  field { name: "inputs" number: 2 type: TYPE_MESSAGE type_name: "Entry" label: LABEL_REPEATED }
}
message_type {
  name: "Response"
  field { name: "outputs" number: 1 type: TYPE_MESSAGE type_name: "Entry" label: LABEL_REPEATED }
}
"""


def _signature(inputs: dict[str, list[Any]]) -> str:
    return "complete" if "picture_bytes" in inputs else "serving_default"


def _in_json(value: Any) -> Any:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def draw_rest(address: str, name: str, inputs: dict[str, list[Any]], timeout: float) -> list[bytes]:
    """PNG files of the rows of `inputs`, over HTTP."""
    sent = {key: [_in_json(value) for value in values] for key, values in inputs.items()}
    body = json.dumps({"signature_name": _signature(inputs), "inputs": sent}).encode()
    url = f"{address.rstrip('/')}/v1/models/{name}:predict"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = json.loads(text)["error"]
        raise ClientError(f"{url} answered {error.code}: {text}") from error
    except (OSError, ValueError) as error:
        raise ClientError(f"{url} could not be reached, or gave no JSON: {error}") from error
    try:
        outputs = answer["outputs"]
        # An only output stands there without its name.
        rows = outputs["image_bytes"] if isinstance(outputs, dict) else outputs
        return [base64.b64decode(row["b64"], validate=True) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ClientError(f"{url} answered something that holds no images: {str(answer)[:200]}") from error


def draw_grpc(address: str, name: str, inputs: dict[str, list[Any]], timeout: float) -> list[bytes]:
    """The same over gRPC, without encryption."""
    try:
        import grpc
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
    except ImportError as error:
        raise ClientError("gRPC needs two packages: pip install grpcio protobuf") from error
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto()))
    request_class, response_class = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"client.{message}"))
        for message in ("Request", "Response")
    )
    request = request_class(spec={"name": name, "signature_name": _signature(inputs)})
    for key, values in inputs.items():
        tensor = request.inputs.add(key=key).value
        tensor.shape.dim.add(size=len(values))
        if key == "prompts" or key.endswith("_bytes"):
            tensor.dtype = _STRING
            tensor.strings.extend(value.encode() if isinstance(value, str) else value for value in values)
        elif key == "seeds":
            tensor.dtype = _INT64
            tensor.integers.extend(values)
        else:
            tensor.dtype = _FLOAT
            tensor.floats.extend(values)
    unlimited = [("grpc.max_receive_message_length", -1)]
    try:
        with grpc.insecure_channel(address.removeprefix("grpc://"), unlimited) as channel:
            predict = channel.unary_unary(_METHOD, request_class.SerializeToString, response_class.FromString)
            outputs = {entry.key: entry.value for entry in predict(request, timeout=timeout).outputs}
    except grpc.RpcError as error:
        raise ClientError(f"{address} answered {error.code().name}: {error.details()}") from error
    if "image_bytes" not in outputs:
        raise ClientError(f"{address} answered something that holds no images: {sorted(outputs)}")
    return list(outputs["image_bytes"].strings)


class ClientError(Exception):
    """Something that the user is told in one line."""


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """Inputs that are the same in every row."""
    if options.picture is None:
        return {"truncation": options.truncation}
    files = {"picture_bytes": options.picture, "mask_bytes": options.mask}
    return {name: path.read_bytes() for name, path in files.items() if path is not None}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", nargs="+", metavar="CAPTION")
    parser.add_argument("--address", default="http://localhost:8501", help="http://, https:// or grpc:// and a host")
    parser.add_argument("--name", default="keras_t2i", help="the model's name, see models.config")
    parser.add_argument("--num-images", type=int, default=1, help="images of each caption")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truncation", type=float, default=1.0, help="below 1: more alike and often cleaner")
    parser.add_argument("--picture", type=Path, help="a PNG file to complete, where the model does that")
    parser.add_argument("--mask", type=Path, help="a PNG file of its size, white where something is to be drawn")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds a request may take")
    parser.add_argument("-o", "--output", type=Path, default=Path("image.png"), help="of several: NAME-0.png, ...")
    options = parser.parse_args(arguments)
    rows = [(caption, options.seed + i) for caption in options.captions for i in range(options.num_images)]
    try:
        if not options.address.startswith(("http://", "https://", "grpc://")):
            raise ClientError(f"--address must start with http://, https:// or grpc://; got {options.address!r}.")
        draw = draw_grpc if options.address.startswith("grpc://") else draw_rest
        asked = _asked(options)
        files: list[bytes] = []
        for start in range(0, len(rows), MOST_ROWS):
            prompts, seeds = (list(column) for column in zip(*rows[start : start + MOST_ROWS], strict=True))
            inputs = {"prompts": prompts, "seeds": seeds, **{key: [value] * len(seeds) for key, value in asked.items()}}
            files += draw(options.address, options.name, inputs, options.timeout)
        if len(files) != len(rows):
            raise ClientError(f"The server drew {len(files)} images where {len(rows)} were asked for.")
        for number, file in enumerate(files):
            several = options.output.with_stem(f"{options.output.stem}-{number}")
            path = several if len(files) > 1 else options.output
            path.write_bytes(file)
            print(path)
    except (ClientError, OSError) as error:
        print(f"client.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
