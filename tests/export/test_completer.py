"""Exports of models that images guide: they complete as Python does, whatever the picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from checks import one_line, tiny_gan
from guided_models import CAPTION, assert_completed, random_pictures, tiny_guided
from tiny_encoder import write_bert_preset

from keras_t2i.export.litert_runner import LiteRTBundle
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import TextEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder.from_preset(write_bert_preset(tmp_path_factory.mktemp("encoder") / "bert"))


@pytest.fixture(scope="module")
def gan(encoder: TextEncoder) -> TextToImageGAN:
    return tiny_guided("complete", encoder)


@pytest.fixture(scope="module")
def bundle(gan: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> LiteRTBundle:
    path = tmp_path_factory.mktemp("litert") / "bundle"
    gan.export(path, "litert")
    return LiteRTBundle(path)


def test_a_bundle_fills_holes_in_pictures_of_any_size_as_python_does(gan: TextToImageGAN, bundle: LiteRTBundle) -> None:
    pictures, masks = random_pictures()
    asked = pictures, masks, [CAPTION, "", "a blue circle", CAPTION, "a star"]
    found = bundle.complete(*asked, num_images=2, seed=3, context=1.5)
    assert_completed(found, gan.complete(*asked, num_images=2, seed=3, context=1.5), pictures, masks)
    assert (found[4] != found[5]).any()  # The two answers to a picture.
    alike = bundle.complete(pictures[:1] * 2, masks[:1] * 2, CAPTION)
    assert alike.shape == (2, 32, 32, 3)
    assert np.abs(bundle.generate(CAPTION, 2, seed=4).astype(int) - gan.generate(CAPTION, 2, seed=4)).max() <= 1


def test_a_bundle_says_what_a_device_has_to_do(bundle: LiteRTBundle) -> None:
    completer = bundle.description["completer"]
    assert completer["inputs"]["pictures"]["shape"] == [1, 32, 32, 3]
    assert completer["inputs"]["masks"]["shape"] == [1, 32, 32, 1]
    assert completer["image_input"] == "complete"
    assert "all others from the picture" in completer["pictures"]
    assert bundle.description["measured"]["completed"]["max_difference"] < 1e-4
    assert "completer.tflite" in bundle.description["sha256"]


def test_known_pixels_stay_where_activations_are_rounded(gan: TextToImageGAN, tmp_path: Path) -> None:
    gan.export(tmp_path / "bundle", "litert", precision="int8-static", captions=[CAPTION, "a blue circle"])
    pictures, masks = random_pictures()
    for image, picture, mask in zip(
        LiteRTBundle(tmp_path / "bundle").complete(pictures, masks, CAPTION), pictures, masks, strict=True
    ):
        np.testing.assert_array_equal(image[~mask], picture[~mask])
        assert (image[mask] != picture[mask]).mean() > 0.5


def test_a_bundle_draws_from_edges_as_python_does(encoder: TextEncoder, tmp_path: Path) -> None:
    gan = tiny_guided("edges", encoder)
    gan.export(tmp_path / "bundle", "litert")
    bundle = LiteRTBundle(tmp_path / "bundle")
    pictures, _ = random_pictures()
    found, expected = (model.complete(pictures, None, CAPTION, 2, seed=1) for model in (bundle, gan))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert expected[0].std() > 5
    with pytest.raises(ValueError, match="knows no mask") as error:
        bundle.complete(pictures, [np.ones(picture.shape[:2], bool) for picture in pictures], CAPTION)
    one_line(error)


def test_what_cannot_be_completed_is_refused_in_one_line(bundle: LiteRTBundle, tmp_path: Path) -> None:
    (picture, *_), (mask, *_) = random_pictures()
    for arguments, words in (
        (([], [], CAPTION), "Nothing to generate"),
        (([picture], None, CAPTION), "Pass a mask"),
        (([picture], [mask[1:]], CAPTION), "of the size of its picture"),
        (([picture], [mask & False], CAPTION), "Nothing is to be drawn"),
        (([picture], [mask], [CAPTION] * 2), "Each picture has a caption"),
        (([picture / 255], [mask], CAPTION), "Pictures are uint8"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            bundle.complete(*arguments)
        one_line(error)
    tiny_gan("mlp").export(tmp_path / "plain", "litert")
    with pytest.raises(ValueError, match="draws from captions alone") as error:
        LiteRTBundle(tmp_path / "plain").complete([picture], [mask], CAPTION)
    one_line(error)
    description = json.loads((bundle.directory / "bundle.json").read_text())
    del description["completer"]["inputs"]["pictures"]
    (tmp_path / "plain" / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="is no LiteRT bundle") as error:
        LiteRTBundle(tmp_path / "plain")
    one_line(error)
