"""CachedImageFeatures: the features' own numbers, computed once, whatever happens to the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_image_networks import tiny_network

from keras_t2i.image_features import CachedImageFeatures, ImageFeatures

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 20, 24, 3), dtype=np.uint8)


class CountingFeatures(ImageFeatures):
    """The real features, which also count the images they were asked for."""

    asked = 0

    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        self.asked += len(images)
        return super().__call__(images, batch_size)


@pytest.fixture
def features() -> CountingFeatures:
    return CountingFeatures(tiny_network(), "tiny-16")


def test_serves_the_features_own_numbers_and_computes_them_once(features: CountingFeatures, tmp_path: Path) -> None:
    first = CachedImageFeatures(features, tmp_path / "new")
    assert (first.name, first.dim, first.fingerprint) == (features.name, features.dim, features.fingerprint)
    np.testing.assert_array_equal(first(IMAGES), features(IMAGES))
    features.asked = 0
    second = CachedImageFeatures(features, tmp_path / "new")(IMAGES)
    assert features.asked == 0
    np.testing.assert_array_equal(second, features(IMAGES))
    assert first(IMAGES[:0]).shape == (0, features.dim)
    assert not list(tmp_path.rglob("*.part"))


def test_other_pixels_shapes_or_networks_have_their_own_files(features: CountingFeatures, tmp_path: Path) -> None:
    changed = IMAGES.copy()
    changed[2, 3, 4, 1] ^= 1
    sideways = IMAGES.reshape(5, 24, 20, 3)
    other = CountingFeatures(tiny_network(), "tiny-16")
    for network in (features, other):
        cached = CachedImageFeatures(network, tmp_path)
        for images in (IMAGES, changed, sideways, IMAGES[::-1]):
            np.testing.assert_array_equal(cached(images), network(images))
        assert network.asked == 2 * 4 * 5
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_reported_and_computed_again(features: CountingFeatures, tmp_path: Path, damage: str) -> None:
    cached = CachedImageFeatures(features, tmp_path)
    expected = cached(IMAGES)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes({"flip": content, "cut": content[:100], "empty": b""}[damage])
    with pytest.warns(UserWarning, match="damaged"):
        np.testing.assert_array_equal(cached(IMAGES), expected)
    features.asked = 0
    np.testing.assert_array_equal(cached(IMAGES), expected)
    assert features.asked == 0


def test_works_without_a_cache_where_it_cannot_be_written(features: CountingFeatures, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cached = CachedImageFeatures(features, tmp_path / "file" / "cache")
    with pytest.warns(UserWarning, match="not cached") as warnings:
        result = cached(IMAGES)
    assert len(warnings) == 1
    assert "\n" not in str(warnings[0].message)
    cached(IMAGES[:2])  # a second warning would be an error here
    np.testing.assert_array_equal(result, features(IMAGES))
