"""How long does one image take, by what runs the same weights? TensorFlow, LiteRT, ONNX Runtime and PyTorch.

    python examples/benchmarks/benchmark_runtimes.py shapes_64 --peers OTHER_ENVIRONMENT/bin/python

For one and for two threads, all take turns, a few images each, for many rounds; the table has medians, and the ratio to
TensorFlow in the same run. Two minutes of one core. The other environment needs keras, torch, onnx, onnxscript and
onnxruntime, which this package does not; without `--peers` they are left out. From a caption to pixels, only TensorFlow
and LiteRT can go: the others get embeddings. What to expect: `examples/results/shipping.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS, IMAGES = 25, 8
PRECISIONS = ("float32", "float16", "int8", "int8-static")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a preset, a run, or a packaged name")
    parser.add_argument("--peers", help="interpreter of an environment with torch and onnxruntime")
    parser.add_argument("--captions", type=Path, help="text file with captions, one a line, for int8-static")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--exports", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--as-peer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.as_peer:
        answer_as_peer(options.as_peer)
    elif options.threads:
        print(json.dumps(measure(options)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    """Exports once, measures with one and with two threads, prints two tables."""
    with tempfile.TemporaryDirectory() as folder:
        exports = Path(folder)
        export(options, exports)
        runs = {}
        for threads in (1, 2):
            command = [sys.executable, __file__, options.model, "--threads", str(threads), "--exports", folder]
            command += ["--peers", options.peers] if options.peers else []
            runs[threads] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        bundles = {name: json.loads((exports / name / "bundle.json").read_text()) for name in PRECISIONS}
    print("| bundle | MB | largest difference | PSNR |\n|---|---|---|---|")
    for name, bundle in bundles.items():
        size, measured = sum(bundle["bytes"].values()) / 1e6, bundle["measured"]
        print(f"| {name} | {size:.1f} | {measured['max_difference']:.2g} | {measured['psnr_db']:.0f} dB |")
    for task in ("caption to pixels", "embedding to pixels"):
        print(f"\n| {task} | 1 thread | of TensorFlow | 2 threads | of TensorFlow |\n|---|---|---|---|---|")
        for name in runs[1][task]:
            cells = []
            for threads in (1, 2):
                value, base = (runs[threads][task].get(key) for key in (name, "TensorFlow"))
                cells += [f"{value:.2f} ms", f"{value / base:.2f}"] if value else ["-", "-"]
            print(f"| {name} | {' | '.join(cells)} |")


def export(options: argparse.Namespace, folder: Path) -> None:
    """A SavedModel, a bundle of each precision, and the generator's configuration and weights for the peers."""
    import keras
    import numpy as np

    from keras_t2i import TextToImageGAN
    from keras_t2i.runs.shipping import export as ship

    gan = TextToImageGAN.from_preset(options.model)
    gan.export(folder / "saved_model")
    captions = options.captions
    if captions is None:
        captions = folder / "captions.txt"
        captions.write_text(str(gan.card.get("caption") or "a picture"))
    for precision in PRECISIONS:
        ship(Path(options.model), folder / precision, "litert", precision, captions)
    serialized = keras.saving.serialize_keras_object(gan.ema_generator)
    (folder / "generator.json").write_text(json.dumps([serialized, gan.embedding_dim]))
    np.savez(folder / "generator.npz", *gan.ema_generator.get_weights())


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Milliseconds an image, the median of all rounds."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (the string operations)

    from keras_t2i.export.litert_runner import LiteRTBundle

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    signatures = tf.saved_model.load(str(options.exports / "saved_model")).signatures
    bundles = {name: LiteRTBundle(options.exports / name, options.threads) for name in PRECISIONS}
    first = bundles["float32"]
    caption = str(first.description["example"] or "a picture")
    latents = np.random.default_rng(0).normal(size=(1, first.latent_dim)).astype(np.float32)
    embedding = first.encode([caption])
    request = {
        "prompts": tf.constant([caption]),
        "seeds": tf.constant([3], tf.int64),
        "truncation": tf.constant([1.0]),
    }
    arrays = {"latents": latents, "sentence_embeddings": embedding}
    tensors = {name: tf.constant(value) for name, value in arrays.items()}
    tasks: dict[str, dict[str, Callable[[], Any]]] = {
        "caption to pixels": {
            "TensorFlow": timed(lambda: signatures["generate"](**request)["images"].numpy()),
            **{f"LiteRT {name}": timed(lambda b=bundle: b.generate(caption, 1, 3)) for name, bundle in bundles.items()},
        },
        "embedding to pixels": {
            "TensorFlow": timed(lambda: signatures["generate_from_embeddings"](**tensors)["images"].numpy()),
            **{
                f"LiteRT {name}": timed(lambda b=bundle: b.draw(latents, embedding)) for name, bundle in bundles.items()
            },
        },
    }
    peer = None
    if options.peers:
        np.savez(options.exports / "inputs.npz", **arrays)
        command = [options.peers, __file__, options.model, "--as-peer", str(options.exports)]
        environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": str(options.threads)}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for name in json.loads(ask(peer, str(options.threads))):
            tasks["embedding to pixels"][name] = lambda name=name: json.loads(ask(peer, name))
    found: dict[str, dict[str, list[float]]] = {task: {name: [] for name in tasks[task]} for task in tasks}
    for round_ in range(ROUNDS + 2):
        for task, runners in tasks.items():
            for name, run in runners.items():
                milliseconds = run()
                if round_ >= 2:  # The first ones are warm-up.
                    found[task][name].append(milliseconds)
    if peer is not None:
        peer.communicate("")
    return {task: {name: statistics.median(times) for name, times in found[task].items()} for task in found}


def timed(draw: Callable[[], Any]) -> Callable[[], float]:
    """A function that draws a few images and returns the milliseconds of one."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(IMAGES):
            draw()
        return (time.perf_counter() - start) / IMAGES * 1000

    return run


def ask(peer: subprocess.Popen[str], question: str) -> str:
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write(question + "\n")
    peer.stdin.flush()
    answer = peer.stdout.readline()
    if not answer:
        raise SystemExit(f"The peers' environment failed at {question!r}; its message stands above.")
    return answer


def answer_as_peer(folder: Path) -> None:
    """In the other environment: says what it can run, then runs what it is asked to, a line each."""
    answers, sys.stdout = sys.stdout, sys.stderr
    threads = int(sys.stdin.readline())
    import keras
    import numpy as np
    import torch

    import keras_t2i.networks  # noqa: F401  (Keras finds the classes by their registered names)

    torch.set_num_threads(threads)
    serialized, embedding_dim = json.loads((folder / "generator.json").read_text())
    generator = keras.saving.deserialize_keras_object(serialized)
    generator.build_for(embedding_dim)
    with np.load(folder / "generator.npz") as weights:
        generator.set_weights([weights[name] for name in weights.files])
    with np.load(folder / "inputs.npz") as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    tensors = [torch.from_numpy(inputs[name]) for name in ("latents", "sentence_embeddings")]

    class Draw(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator = generator

        def forward(self, latents: torch.Tensor, sentence_embeddings: torch.Tensor) -> torch.Tensor:
            return self.generator(latents, sentence_embeddings, training=False)

    draw = Draw().eval()
    with torch.inference_mode():
        expected = draw(*tensors).numpy()
    runners: dict[str, Callable[[], Any]] = {"PyTorch": lambda: draw(*tensors).numpy()}
    try:
        compiled = torch.compile(draw)
        with torch.inference_mode():
            np.testing.assert_allclose(compiled(*tensors).numpy(), expected, atol=1e-4)
        runners["PyTorch, torch.compile"] = lambda: compiled(*tensors).numpy()
    except Exception as error:  # It needs a C++ compiler, and supports what it supports.
        print(f"torch.compile: {type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
    try:
        import onnxruntime

        file = str(folder / "generator.onnx")
        torch.onnx.export(draw, tuple(tensors), file, dynamo=True, verbose=False)
        choices = onnxruntime.SessionOptions()
        choices.intra_op_num_threads = threads
        choices.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, choices, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]
        feed = dict(zip(names, (tensor.numpy() for tensor in tensors), strict=True))
        np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=1e-4)
        runners["ONNX Runtime"] = lambda: session.run(None, feed)
    except Exception as error:
        print(f"ONNX Runtime: {type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
    print(json.dumps(list(runners)), file=answers, flush=True)
    for line in sys.stdin:
        with torch.inference_mode():
            print(json.dumps(timed(runners[line.strip()])()), file=answers, flush=True)


if __name__ == "__main__":
    main()
