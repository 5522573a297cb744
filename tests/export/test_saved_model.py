"""SavedModel: one file tree that does in a process without this package what Keras does in this one."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, FAMILIES, move_weights, one_line, tiny_flow, tiny_gan
from hard_captions import hard_captions
from PIL import Image
from tiny_encoder import write_bert_preset, write_roberta_preset

from keras_t2i.core import provenance
from keras_t2i.core.latents import latents_for
from keras_t2i.export.png_in_graph import PngWriter
from keras_t2i.export.serving_ops import operations
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.models.sampling import prompt_embeddings
from keras_t2i.text import TextEncoder

PROMPTS = ["a red star", "CAFÉ", "a\0blue circle", "", "红色的星"]

READER = """
import base64, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras_t2i", "keras_nlp", "keras_hub"):
            raise ImportError(name + " is not to be imported here")

sys.meta_path.insert(0, Blocked())
import numpy as np
import tensorflow as tf
import tensorflow_text  # the string operations

results = {}
for number, request in enumerate(json.load(open(sys.argv[1]))):
    signature = tf.saved_model.load(request["model"]).signatures[request["signature"]]
    types = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}
    inputs = {name: tf.constant(value, types[name]) for name, value in request["inputs"].items()}
    for name, value in signature(**inputs).items():
        value = value.numpy()
        results[f"{number}/{name}"] = value if value.dtype != object else [base64.b64encode(one) for one in value]
np.savez(sys.argv[2], **results)
"""

HARD = [
    'say "red" \\\\ blue',
    "",
    "a\0b\tc\n",
    "\u7ea2\u8272" * 400,
    "\U0001f600" * 499 + '"\\\\',
    "\u05d0\u0628",
    "x" * 10_000,
]


def run_elsewhere(requests: list[dict[str, Any]], folder: Path) -> list[dict[str, np.ndarray]]:
    """Answers of SavedModels in a clean interpreter that cannot import the package."""
    (folder / "requests.json").write_text(json.dumps(requests))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", READER, "requests.json", "results.npz"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as results:
        answers: list[dict[str, np.ndarray]] = [{} for _ in requests]
        for key in results.files:
            number, name = key.split("/")
            answers[int(number)][name] = results[key]
    return answers


def trained(family: str, encoder: TextEncoder | None) -> TextToImageGAN:
    gan: Any = tiny_gan(family, encoder) if family in FAMILIES else tiny_flow(encoder)
    move_weights(gan.generator)
    gan.ema_generator.set_weights([0.9 * weight for weight in gan.generator.get_weights()])
    return gan


def test_every_familys_generator_is_keras_own_at_every_batch_size(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    requests, expected = [], []
    for family in (*FAMILIES, "flow"):
        gan = trained(family, None)
        gan.export(tmp_path / family)
        for size in (1, 3):
            latents = random.normal(size=(size, gan.generator.latent_dim)).astype(np.float32)
            text = random.normal(size=(size, EMBEDDING_DIM)).astype(np.float32)
            inputs = {"latents": latents.tolist(), "sentence_embeddings": text.tolist()}
            for signature in ("generate_from_embeddings", "serving_default"):
                requests.append({"model": str(tmp_path / family), "signature": signature, "inputs": inputs})
                expected.append(gan.ema_generator(latents, text, training=False).numpy())
    for answer, images in zip(run_elsewhere(requests, tmp_path), expected, strict=True):
        np.testing.assert_allclose(answer["images"], images, atol=1e-5)
        assert images.std() > 0.01


def test_a_model_that_draws_in_steps_takes_their_number_with_each_row(tmp_path: Path) -> None:
    flow = tiny_flow(TextEncoder.from_preset(write_bert_preset(tmp_path / "encoder")), num_steps=3)
    flow.export(tmp_path / "model")
    rows = {"prompts": PROMPTS[:3], "seeds": [3, -1, 4], "truncation": [1.0, 1.0, 1.0], "num_steps": [1, 0, 5]}
    request = {"model": str(tmp_path / "model"), "signature": "generate", "inputs": rows}
    (answer,) = run_elsewhere([request], tmp_path)
    drawn = zip(rows["prompts"], rows["seeds"], (1, 3, 5), strict=True)
    expected = [flow.generate(prompt, seed=seed, num_steps=steps)[0] for prompt, seed, steps in drawn]
    np.testing.assert_allclose(answer["images"].astype(int), np.stack(expected).astype(int), atol=1)


@pytest.mark.parametrize("write_preset", [write_bert_preset, write_roberta_preset])
def test_strings_in_images_out_equals_generate(write_preset: Any, tmp_path: Path) -> None:
    gan = trained("dcgan", TextEncoder.from_preset(write_preset(tmp_path / "encoder")))
    gan.export(tmp_path / "model")
    seeds, truncation = [3, -1, 2**40, 0, 3], [1.0, 0.5, 1.0, 0.0, 1.0]
    rows = {"prompts": PROMPTS, "seeds": seeds, "truncation": truncation}
    last = {name: values[-2:] for name, values in rows.items()}
    model = str(tmp_path / "model")
    requests = [{"model": model, "signature": "generate", "inputs": inputs} for inputs in (rows, last)]
    requests.append({"model": model, "signature": "embed_text", "inputs": {"prompts": PROMPTS}})
    requests.append({"model": model, "signature": "serving_default", "inputs": rows})
    served, served_last, embedded, files = run_elsewhere(requests, tmp_path)
    expected = np.concatenate(
        [gan.generate(row[0], seed=row[1], truncation=row[2]) for row in zip(*rows.values(), strict=True)]
    )
    assert served["images"].dtype == np.uint8
    # Rounding to bytes may fall the other way where the floats differ in their last bit.
    assert np.abs(served["images"].astype(int) - expected).max() <= 1
    assert (served["images"] != expected).mean() < 1e-3
    assert np.abs(served_last["images"].astype(int) - expected[-2:]).max() <= 1
    np.testing.assert_allclose(embedded["sentence_embeddings"], gan.text_encoder.encode(PROMPTS), atol=1e-5)
    for number, content in enumerate(files["image_bytes"]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(base64.b64decode(content))
        np.testing.assert_array_equal(np.asarray(Image.open(path)), served["images"][number])
        recorded = provenance.provenance(gan.fingerprint(), PROMPTS[number], seeds[number])
        recorded |= {"truncation": truncation[number], "digital_source_type": "trainedAlgorithmicMedia"}
        assert provenance.inspect(path) == recorded
    if write_preset is write_bert_preset:
        assert not [name for name in operations(tmp_path / "model") if "RoundRobin" in name]


def test_other_files_are_never_overwritten_and_formats_are_named(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    (tmp_path / "holiday.png").write_bytes(b"precious")
    for format in ("tf_saved_model", "litert"):
        with pytest.raises(ValueError, match="not overwritten") as error:
            gan.export(tmp_path, format)
        assert str(tmp_path) in one_line(error)
    with pytest.raises(ValueError, match="saved_model, serving, litert") as error:
        gan.export(tmp_path / "model", "onnx")
    assert "'onnx'" in one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.png"]


def test_png_files_from_the_graph_record_any_caption(tmp_path: Path) -> None:
    """The checksum of the text is the graph's own work: Pillow refuses a chunk whose checksum is wrong."""
    images = np.random.default_rng(0).integers(0, 256, (len(HARD), 4, 4, 3), np.uint8)
    seeds = np.array([0, -1, 2**63 - 1, -(2**63), 7, 8, 9])
    for with_prompts in (True, False):
        write = tf.function(PngWriter("ab" * 32, with_prompts).__call__, autograph=False)
        for number, content in enumerate(write(images, HARD, seeds, np.ones(len(HARD), np.float32)).numpy()):
            (tmp_path / "x.png").write_bytes(content)
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), images[number])
            expected = provenance.provenance("ab" * 32, HARD[number] if with_prompts else None, int(seeds[number]))
            found = provenance.inspect(tmp_path / "x.png")
            assert found == {**expected, "digital_source_type": "trainedAlgorithmicMedia"}
            assert list(found)[:-1] == list(expected)


@pytest.mark.slow
def test_sixty_four_captions_by_three_seeds_in_a_clean_process(tmp_path: Path) -> None:
    gan = TextToImageGAN.from_preset("shapes_64")
    gan.export(tmp_path / "model")
    words = (("large", "small"), ("red", "blue"), ("star", "ring"), ("white", "navy", "gray"), ("left", "right"))
    shapes = [f"a {a} {b} {c} on the {e} on a {d} background" for a, b, c, d, e in itertools.product(*words)]
    prompts = [prompt for prompt in [*shapes, *hard_captions(16)] for _ in range(3)]
    assert len(prompts) == 192
    seeds = [0, 7, -1] * 64
    latents = np.concatenate([latents_for(seed, 1, gan.generator.latent_dim) for seed in seeds])
    text = prompt_embeddings(gan, prompts)
    sendable = [prompt.encode(errors="replace").decode() for prompt in prompts]
    inputs = {"prompts": sendable, "seeds": seeds, "truncation": [1.0] * 192}
    given = {"latents": latents.tolist(), "sentence_embeddings": text.tolist()}
    model = str(tmp_path / "model")
    requests = [
        {"model": model, "signature": "generate", "inputs": inputs},
        {"model": model, "signature": "embed_text", "inputs": {"prompts": sendable}},
        {"model": model, "signature": "generate_from_embeddings", "inputs": given},
    ]
    drawn, embedded, floats = run_elsewhere(requests, tmp_path)
    expected = gan.ema_generator(latents, text, training=False).numpy()
    bytes_ = np.concatenate([gan.generate(prompt, seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)])
    difference = np.abs(floats["images"] - expected).max()
    levels = np.abs(drawn["images"].astype(int) - bytes_).max()
    print(
        f"largest difference {difference:.3g}, of embeddings {np.abs(embedded['sentence_embeddings'] - text).max():.3g}"
    )
    assert difference <= 1e-5
    np.testing.assert_allclose(embedded["sentence_embeddings"], text, atol=1e-5)
    assert levels <= 1


@pytest.mark.parametrize("format", ["saved_model", "serving"])
def test_on_a_full_disk_the_older_export_stays_and_one_line_says_so(tmp_path: Path, format: str) -> None:
    resource = pytest.importorskip("resource")
    gan = tiny_gan("mlp")
    gan.export(tmp_path / "exported", format)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # The system refuses to write more into any one file.
    try:
        with pytest.raises(OSError, match=r"File too large, after [\d,]+ bytes; [\d,]+ are free.*exported") as error:
            gan.export(tmp_path / "exported", format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(error)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_weights_that_are_not_finite_are_not_exported(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    kernel = gan.ema_generator.weights[-1]
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    with pytest.raises(ValueError, match="the weights of this model are not finite") as error:
        gan.export(tmp_path / "exported")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
