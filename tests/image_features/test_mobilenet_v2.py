"""MobileNetV2: the folded network is the one of keras.applications, and wrong files are told from right ones."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.core.precision import computing_in
from keras_t2i.image_features import ImageFeatures
from keras_t2i.image_features.mobilenet_v2 import Arrays, build_mobilenet_v2, fold_batch_normalization

SHARED_WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights" / "mobilenet_v2_imagenet.npz"


def save(path: Path, arrays: Arrays, **changes: Any) -> None:
    content = {f"{kind}{i:02d}": array for i, pair in enumerate(arrays) for kind, array in zip("kb", pair, strict=True)}
    np.savez(path, **{name: array for name, array in {**content, **changes}.items() if array is not None})


@pytest.fixture(scope="module")
def original() -> keras.Model:
    """The network of keras.applications with random weights and random normalization statistics."""
    model = keras.applications.MobileNetV2((64, 64, 3), include_top=False, weights=None)
    generator = np.random.default_rng(0)
    weights = []
    for weight in model.weights:
        if weight.path.endswith("kernel"):
            fan_in = np.prod(weight.shape[:2] if "depthwise" in weight.path else weight.shape[:3])
            weights.append(generator.normal(scale=np.sqrt(2 / fan_in), size=weight.shape))
        else:
            shift = 0.0 if weight.path.endswith(("beta", "moving_mean")) else 1.0
            weights.append(shift + generator.uniform(-0.3, 0.3, weight.shape))
    model.set_weights(weights)
    return model


@pytest.fixture(scope="module")
def arrays(original: keras.Model) -> Arrays:
    return fold_batch_normalization(original)


def test_every_tap_equals_the_network_of_keras_applications(original: keras.Model, arrays: Arrays) -> None:
    names = {
        "stride_2": "expanded_conv_project_BN",
        "stride_4": "block_2_add",
        "stride_8": "block_5_add",
        "stride_16": "block_12_add",
        "stride_32": "block_16_project_BN",
        "pool": "out_relu",
    }
    taps = keras.Model(original.inputs, {key: original.get_layer(name).output for key, name in names.items()})
    images = tf.random.stateless_uniform((2, 64, 64, 3), (3, 4), -1.0, 1.0)
    expected, ours = taps(images, training=False), build_mobilenet_v2(arrays, 64)(images)
    assert set(ours) == set(names)
    assert tf.math.reduce_std(expected["pool"]) > 0.1
    for name in list(names)[:-1]:
        np.testing.assert_allclose(ours[name], expected[name], atol=1e-3, err_msg=name)
    np.testing.assert_allclose(ours["pool"], tf.reduce_mean(expected["pool"], axis=(1, 2)), atol=1e-3)


def test_a_file_gives_the_same_network_under_any_precision_policy(arrays: Arrays, tmp_path: Path) -> None:
    save(tmp_path / "folded.npz", arrays, k52=np.zeros((1280, 10)))  # with a classifier, which is not read
    images = np.random.default_rng(1).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    built = ImageFeatures(build_mobilenet_v2(arrays, 32), "built")
    with computing_in("mixed_bfloat16"):
        features = ImageFeatures.from_preset(tmp_path / "folded.npz", image_size=32)
    assert (features.name, features.dim, features.image_size) == ("folded-32", 1280, 32)
    assert features.fingerprint == built.fingerprint
    np.testing.assert_array_equal(features(images), built(images))
    assert [each.shape[1] for each in features.maps(tf.zeros((1, 50, 50, 3)))] == [16, 8, 4, 2, 1]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"b07": None}, "b07"),
        ({"k03": np.zeros((1, 1, 16, 95), np.float16)}, "k03 .*(1, 1, 16, 96)"),
        ({"b00": np.full(32, np.nan, np.float32)}, "b00 .*finite"),
        ({"b00": np.zeros(32, int)}, "b00 .*int64"),
        ({"k00": np.array([None])}, "holds objects, which may be code"),
    ],
)
def test_a_wrong_array_is_named_in_one_line(
    arrays: Arrays, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    save(tmp_path / "wrong.npz", arrays, **changes)
    with pytest.raises(ValueError, match=f"wrong.npz is not a file of folded MobileNetV2 weights: .*{problem}") as info:
        ImageFeatures.from_preset(tmp_path / "wrong.npz")
    assert "\n" not in str(info.value)


def test_a_damaged_file_is_refused_in_one_line(arrays: Arrays, tmp_path: Path) -> None:
    save(tmp_path / "damaged.npz", arrays)
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[2000] ^= 1
    for damaged in (content, content[:5000], b""):
        (tmp_path / "damaged.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged\.npz is not a file of folded") as info:
            ImageFeatures.from_preset(tmp_path / "damaged.npz")
        assert "\n" not in str(info.value)


@pytest.mark.parametrize("size", [0, 50, -32])
def test_sizes_that_do_not_fit_the_strides_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 32; got {size}"):
        ImageFeatures.from_preset("mobilenet_v2", image_size=size)


def test_offline_one_line_says_what_to_pass_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = urllib.request.ProxyHandler({"https": "http://127.0.0.1:9"})  # nothing listens there
    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(nowhere))
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))  # no weights from earlier downloads
    with pytest.raises(ConnectionError, match=r"could not be downloaded: go online once, or .* \.npz file") as info:
        ImageFeatures.from_preset("mobilenet_v2")
    assert "\n" not in str(info.value)


@pytest.mark.skipif(not SHARED_WEIGHTS.is_file(), reason="needs the ImageNet weights")
def test_imagenet_features_see_content_rather_than_resolution() -> None:
    features = ImageFeatures.from_preset(SHARED_WEIGHTS)
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    small, large = (coarse.repeat(count, axis=1).repeat(count, axis=2) for count in (16, 24))
    a, b = features(small), features(large)
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    assert (distances.argmin(axis=1) == np.arange(4)).all()
