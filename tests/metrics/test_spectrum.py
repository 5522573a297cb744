"""The texture number is 0 for real images, falls with blur, rises with noise and checks, in the band they are in."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from keras_t2i import data
from keras_t2i.metrics import hatching, power_spectrum, spectral_difference
from keras_t2i.metrics.spectrum import BANDS, DIRECTIONS, HATCHING


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return data.faces(image_size=64, num_images=240).train_split.pixels(np.arange(200))


def blurred(images: np.ndarray, radius: float) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))) for image in images])


def striped(images: np.ndarray, across: float, down: float, strength: float = 30.0) -> np.ndarray:
    """Images under waves of so many times the Nyquist frequency in either direction."""
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    waves = strength * np.cos(np.pi * (across * columns + down * rows))
    return np.clip(np.rint(images + waves[None, :, :, None]), 0, 255).astype(np.uint8)


def test_real_images_hold_as_much_detail_as_others(images: np.ndarray) -> None:
    assert max(map(abs, spectral_difference(images[:100], images[100:]).values())) < 1.0
    assert set(spectral_difference(images, images).values()) == {0.0}


def test_noise_of_the_same_power_everywhere_is_flat() -> None:
    noise = np.random.default_rng(0).normal(0, 5, size=(400, 32, 32, 1)).repeat(3, axis=3)
    power = power_spectrum(noise)
    assert power.shape == (len(BANDS), len(DIRECTIONS))
    power = power[1:]  # The mean is taken away, and some of the coarsest with it.
    np.testing.assert_allclose(power, 25.0, rtol=0.1)


def test_blur_takes_fine_detail_the_more_the_finer(images: np.ndarray) -> None:
    found = spectral_difference(blurred(images, 1.0), images)
    assert abs(found["coarse"]) < 0.5
    assert 0 > found["medium"] > found["fine"] > found["finer"] > found["finest"]
    assert found["finer"] < -6
    assert spectral_difference(blurred(images, 2.0), images)["fine"] < found["fine"]


def test_stripes_and_checks_show_in_their_band(images: np.ndarray) -> None:
    for (across, down), band in {(0.7, 0.0): "finer", (0.9, 0.9): "diagonal", (0.35, 0.35): "fine"}.items():
        found = spectral_difference(striped(images, across, down), images)
        assert max(found, key=lambda name: found[name]) == band
        assert found[band] > 1.0
        assert abs(found["coarse"]) < 0.5


def test_hatching_is_detail_that_prefers_a_direction(images: np.ndarray) -> None:
    assert hatching(images[:100], images[100:])[0] < 1.5
    assert hatching(blurred(images, 1.0), images)[0] < 1.5
    noise = np.random.default_rng(0).normal(0, 20, images.shape[:3])[..., None]
    assert hatching(np.clip(images + noise, 0, 255).astype(np.uint8), images)[0] < 1.5
    for (across, down), direction in {(0.5, 0.5): "falling", (0.5, -0.5): "rising", (0.7, 0.0): "upright"}.items():
        weak, strong = (hatching(striped(images, across, down, strength), images) for strength in (15.0, 30.0))
        assert strong[0] > max(2.0, weak[0])
        assert strong[2] == direction
        alarm = HATCHING.alarm
        assert alarm is not None
        assert f"({direction}, " in str(alarm({"hatching": strong[0], "hatching_is": f"{direction}, {strong[1]}"}))


def test_images_of_other_sizes_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"at one size; got images of shape \(200, 64, 64, 3\) and \(200, 32"):
        spectral_difference(images, images[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"at least 16 x 16 pixels; got shape \(200, 8, 8, 3\)"):
        power_spectrum(images[:, ::8, ::8])
