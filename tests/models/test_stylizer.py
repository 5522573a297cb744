"""A stylizer: what it is trained to do, pictures of all sizes, and that it is the same wherever it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from pretrained_models import refusal
from tiny_image_networks import write_mobilenet_v2

from keras_t2i import TextToImageGAN
from keras_t2i.core.files import write_checksums
from keras_t2i.core.pixels import from_bytes
from keras_t2i.export.stylizer import write
from keras_t2i.image_features import texture_maps
from keras_t2i.models import Stylizer
from keras_t2i.networks import StylizingNetwork
from keras_t2i.objectives.style import StyleLoss, gram_matrices


def pictures(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Colored boxes on other colors, uint8."""
    random = np.random.default_rng(seed)
    found = np.empty((count, size, size, 3), np.uint8)
    for image in found:
        image[:] = random.integers(0, 256, 3)
        top, left = random.integers(0, size // 2, 2)
        image[top : top + size // 2, left : left + size // 2] = random.integers(0, 256, 3)
    return found


def stripes(size: int = 64) -> np.ndarray:
    """A style: black and orange stripes, uint8, shape `(size, size, 3)`."""
    dark = (np.arange(size) // 3 % 2)[:, None] * np.ones((size, size), int)
    return np.array([[240, 140, 20], [10, 10, 30]], np.uint8)[dark]


def as_numbers(pixels: np.ndarray) -> np.ndarray:
    return from_bytes(pixels.astype(np.float32))


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    return texture_maps(write_mobilenet_v2(tmp_path_factory.mktemp("maps") / "weights.npz"))


@pytest.fixture(scope="module")
def trained(maps: keras.Model) -> Stylizer:
    keras.utils.set_random_seed(3)
    shown = as_numbers(pictures(8))
    stylizer = Stylizer(StylizingNetwork(4, 1), card={"style": "stripes.png"})
    loss = StyleLoss(maps, as_numbers(stripes())[None], shown)
    stylizer.compile(loss, keras.optimizers.Adam(1e-2), 0.9)
    stylizer.fit(tf.data.Dataset.from_tensor_slices({"images": shown}).batch(4).repeat(), steps_per_epoch=50, verbose=0)
    return stylizer


def test_training_brings_pictures_nearer_to_the_style(trained: Stylizer, maps: keras.Model) -> None:
    other = pictures(4, seed=9)
    drawn = np.stack([trained.stylize(picture) for picture in other])
    style = gram_matrices(maps(as_numbers(stripes())[None]))

    def apart(images: np.ndarray) -> np.ndarray:
        grams = gram_matrices(maps(as_numbers(images)))
        return np.array([np.mean((a - b) ** 2) for a, b in zip(grams, style, strict=True)])

    assert (apart(drawn) / apart(other)).mean() < 0.75


@pytest.mark.parametrize("shape", [(1, 1), (5, 130), (64, 48), (33, 31)])
def test_pictures_of_any_size_keep_it_and_are_drawn_alike_each_time(trained: Stylizer, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    drawn = trained.stylize(picture)
    assert drawn.dtype == np.uint8
    assert drawn.shape == picture.shape
    np.testing.assert_array_equal(drawn, trained.stylize(picture))


def test_what_is_no_picture_or_too_large_is_refused_in_a_line(trained: Stylizer) -> None:
    assert "uint8 of shape (H, W, 3); got float32" in refusal(trained.stylize, np.zeros((8, 8, 3), np.float32))
    assert "20 megapixels, more than 12" in refusal(trained.stylize, np.zeros((4000, 5000, 3), np.uint8))
    assert "Divide bytes" in refusal(trained.fit, {"images": pictures(4)})


def test_a_preset_draws_the_same_in_half_the_bytes(trained: Stylizer, tmp_path: Path) -> None:
    trained.save_to_preset(tmp_path / "whole", dtype=None)
    trained.save_to_preset(tmp_path / "half")
    picture = pictures(1)[0]
    whole, half = (Stylizer.from_preset(tmp_path / name) for name in ("whole", "half"))
    np.testing.assert_array_equal(whole.stylize(picture), trained.stylize(picture))
    assert whole.fingerprint() == trained.fingerprint()
    assert half.card == {"style": "stripes.png"}
    assert np.abs(half.stylize(picture).astype(int) - trained.stylize(picture)).max() <= 4


def test_the_network_that_is_shipped_has_at_most_a_megabyte(tmp_path: Path) -> None:
    Stylizer().save_to_preset(tmp_path / "new")
    assert sum(file.stat().st_size for file in (tmp_path / "new").iterdir()) < 1_000_000


def test_damaged_and_foreign_presets_are_refused_in_a_line(trained: Stylizer, tmp_path: Path) -> None:
    trained.save_to_preset(tmp_path / "one")
    assert "one cannot be loaded" in refusal(TextToImageGAN.from_preset, tmp_path / "one")
    assert "holds no stylizer" in refusal(Stylizer.from_preset, "shapes_64")
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    for change in ({"width": 10**6}, {"depth": 10**5}, {"width": "wide"}):
        settings = {**config["stylizer"], "config": {**config["stylizer"]["config"], **change}}
        (tmp_path / "one" / "config.json").write_text(json.dumps({**config, "stylizer": settings}))
        write_checksums(tmp_path / "one")
        assert "one cannot be loaded: " in refusal(Stylizer.from_preset, tmp_path / "one")
    (tmp_path / "one" / "stylizer.weights.h5").write_bytes(b"no")
    refusal(Stylizer.from_preset, tmp_path / "one")


def test_an_export_draws_what_keras_draws(trained: Stylizer, tmp_path: Path) -> None:
    found = write(trained, tmp_path / "out", 32, 48, "float32")
    assert found == json.loads((tmp_path / "out" / "stylizer.json").read_text())
    assert found["measured"]["max_difference"] < 1e-3
    assert found["inputs"]["images"]["shape"] == [1, 32, 48, 3]
    picture = np.asarray(Image.fromarray(pictures(1)[0]).resize((48, 32)))
    draw = Interpreter(str(tmp_path / "out" / found["file"])).get_signature_runner()
    drawn = draw(images=as_numbers(picture)[None])["stylized"]
    assert np.abs((drawn[0] + 1) * 127.5 - trained.stylize(picture)).max() < 1
    assert "multiples of 4" in refusal(write, trained, tmp_path / "out", 30, 48)


def test_losses_ask_for_what_they_need(maps: keras.Model) -> None:
    style, shown = as_numbers(stripes())[None], as_numbers(pictures(2))
    assert "`style_weight` must be at least 0" in refusal(StyleLoss, maps, style, shown, style_weight=-1.0)
    assert "got 1" in refusal(StyleLoss, maps, style, shown[:1])
    _, parts = StyleLoss(maps, style, shown)(tf.constant(shown), tf.constant(shown))
    assert float(parts["content"]) == 0
    assert float(parts["style"]) == pytest.approx(1, abs=1e-4)


def test_features_that_are_none_are_refused_in_a_line(tmp_path: Path) -> None:
    assert "a file of its weights, .npz; got 'inception.pb'" in refusal(texture_maps, "inception.pb")
    (tmp_path / "bad.npz").write_bytes(b"no")
    assert "is not a file of folded MobileNetV2 weights" in refusal(texture_maps, tmp_path / "bad.npz")
    with pytest.raises(FileNotFoundError, match="There is no file of image features"):
        texture_maps("missing.npz")
