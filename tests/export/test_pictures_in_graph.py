"""SavedModels of models that images guide: files in, files out, Python's pixels, and nothing that stops a server."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checks import one_line
from guided_models import CAPTION, assert_completed, random_pictures, tiny_guided
from PIL import Image
from tiny_encoder import write_bert_preset

from keras_t2i.core import provenance
from keras_t2i.core.cutout import Cutout, central_square
from keras_t2i.core.latents import latents_for
from keras_t2i.export import pictures_in_graph, serving
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.serve.model import Model
from keras_t2i.serve.protocol import RequestError, parse
from keras_t2i.serve.settings import Settings
from keras_t2i.text import TextEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder.from_preset(write_bert_preset(tmp_path_factory.mktemp("encoder") / "bert"))


@pytest.fixture(scope="module")
def gan(encoder: TextEncoder) -> TextToImageGAN:
    return tiny_guided("complete", encoder)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def mask_png(mask: np.ndarray) -> bytes:
    return png(np.where(mask, 255, 0).astype(np.uint8))


def opened(file: Any) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def test_the_graph_cuts_and_puts_back_as_pillow_does() -> None:
    pixel_files = tf.TensorSpec((), tf.string)

    @tf.function(input_signature=[pixel_files, pixel_files, tf.TensorSpec((32, 32, 3), tf.uint8)], autograph=False)
    def in_graph(picture: tf.Tensor, mask: tf.Tensor, drawn: tf.Tensor) -> Any:
        cut = pictures_in_graph.Cut.of(picture, mask, 32)
        return *cut.seen(32), cut.put_back(drawn), pictures_in_graph.central_square(picture, 32)

    random = np.random.default_rng(2)
    for number in range(25):
        height, width = random.integers(1, 250, 2)
        picture, drawn = (random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((height, width), (32, 32)))
        y, x = random.integers(0, height), random.integers(0, width)
        mask = np.zeros((height, width), bool)
        mask[y : y + random.integers(1, height + 1), x : x + random.integers(1, width + 1)] = True
        if number % 2:
            mask &= random.random(mask.shape) < 0.2
            mask[y, x] = True
        cut = Cutout.of(picture, mask, 32)
        expected = cut.pixels, cut.hole, cut.put_back(picture, mask, drawn), central_square(picture, 32)
        for ours, theirs in zip(in_graph(png(picture), mask_png(mask), drawn), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def served(gan: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serving") / "export"
    assert serving.write(gan, path, name="tiny") == "2.12"
    return path / "tiny" / "1"


def test_a_saved_model_takes_files_and_answers_with_files(gan: TextToImageGAN, served: Path, tmp_path: Path) -> None:
    signatures = tf.saved_model.load(str(served)).signatures
    pictures, masks = random_pictures()
    captions = [CAPTION, "", 'a "blue" circle', CAPTION, "a star"]
    answer = signatures["complete"](
        prompts=tf.constant(captions),
        seeds=tf.constant([3, -1, 2**40, 0, 5], tf.int64),
        picture_bytes=tf.constant([png(picture) for picture in pictures]),
        mask_bytes=tf.constant([mask_png(mask) for mask in masks]),
    )["image_bytes"].numpy()
    for file, picture, mask, caption, seed in zip(answer, pictures, masks, captions, (3, -1, 2**40, 0, 5), strict=True):
        assert_completed([opened(file)], gan.complete([picture], [mask], caption, seed=seed), [picture], [mask])
    (tmp_path / "one.png").write_bytes(answer[2])
    facts = provenance.inspect(tmp_path / "one.png")
    assert (facts["prompt"], facts["seed"], facts["image"]) == ('a "blue" circle', 2**40, "complete")
    assert facts["digital_source_type"] == "compositeWithTrainedAlgorithmicMedia"
    text, noise = gan.text_encoder.encode([CAPTION]), latents_for(3, 1, gan.drawer.latent_dim)
    given = {
        "pictures": pictures[0][None] / np.float32(127.5) - 1,
        "masks": masks[0][None, ..., None].astype(np.float32),
    }
    images = signatures["complete_from_embeddings"](
        latents=tf.constant(noise), sentence_embeddings=tf.constant(text), **given
    )["images"]
    assert np.abs((images.numpy()[0] + 1) * 127.5 - opened(answer[0])).max() <= 1
    drawn = signatures["generate"](
        prompts=tf.constant([CAPTION]), seeds=tf.constant([4], tf.int64), truncation=tf.constant([1.0])
    )["images"]
    assert np.abs(drawn.numpy().astype(int) - gan.generate(CAPTION, seed=4)).max() <= 1


def with_size(file: bytes, width: int, height: int) -> bytes:
    """A PNG file whose header promises another size."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + file[24:29]
    return file[:12] + header + zlib.crc32(header).to_bytes(4, "big") + file[33:]


def test_the_server_refuses_hostile_pictures_in_one_line_and_goes_on(served: Path) -> None:
    model = Model(served)
    for _ in model.warm_up(2):
        pass
    (picture, *_), (mask, *_) = random_pictures()
    fine, hole = png(picture), mask_png(mask)
    with Image.open(io.BytesIO(fine)) as image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG")

    def ask(picture: bytes, mask: bytes) -> bytes:
        body = {"signature_name": "complete", "inputs": {"prompts": [CAPTION], "seeds": [1]}}
        for name, file in (("picture_bytes", picture), ("mask_bytes", mask)):
            body["inputs"][name] = [{"b64": base64.b64encode(file).decode()}]
        query = parse(json.dumps(body).encode(), model.signatures, Settings())
        return model.run(query.signature, query.columns)["image_bytes"][0]

    for given, words in (
        ((b"", hole), "picture_bytes is no PNG file"),
        ((b"a" * 40, hole), "picture_bytes is no PNG file"),
        ((buffer.getvalue(), hole), "picture_bytes is no PNG file"),
        ((with_size(fine, 60_000, 60_000), hole), "picture_bytes has another size than 1 to 2048 pixels"),
        ((with_size(fine, 2**31 + 5, 1), hole), "picture_bytes has another size than 1 to 2048 pixels"),
        ((with_size(fine, 0, 5), hole), "picture_bytes has another size than 1 to 2048 pixels"),
        ((with_size(fine, 2000, 2000), hole), "PNG"),
        ((fine[: len(fine) // 2], hole), "PNG"),
        ((fine, with_size(hole, 60_000, 1)), "mask_bytes has another size than 1 to 2048 pixels"),
        ((fine, mask_png(mask[1:])), "mask_bytes is not as large as its picture"),
        ((fine, mask_png(mask & False)), "mask_bytes is white nowhere"),
        ((fine + b"x" * 2**20, hole), "at most 1048576 are taken"),
    ):
        with pytest.raises(RequestError, match=words) as error:
            ask(*given)
        one_line(error)
    noise = np.random.default_rng(0).integers(0, 256, (200, 250, 3), dtype=np.uint8)
    large = png(noise)
    assert len(large) > Settings().max_prompt_bytes  # Of a picture more is taken than of a caption.
    hole = np.zeros((200, 250), bool)
    hole[20:60, 30:90] = True
    np.testing.assert_array_equal(opened(ask(large, mask_png(hole)))[~hole], noise[~hole])


def test_a_saved_model_enlarges_pictures_as_python_does(encoder: TextEncoder, tmp_path: Path) -> None:
    gan = tiny_guided("enlarge", encoder)
    gan.export(tmp_path / "saved")
    pictures, _ = random_pictures()
    files = tf.saved_model.load(str(tmp_path / "saved")).signatures["complete"](
        prompts=tf.constant([CAPTION] * 5),
        seeds=tf.constant([2] * 5, tf.int64),
        picture_bytes=tf.constant([png(picture) for picture in pictures]),
    )["image_bytes"]
    for file, picture in zip(files.numpy(), pictures, strict=True):
        assert np.abs(opened(file).astype(int) - gan.complete([picture], None, CAPTION, seed=2)[0]).max() <= 1
