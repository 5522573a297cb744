"""Instruments are found by name, made once, and made again when the data or the features change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_image_networks import write_inception_like_graph

from keras_t2i.metrics import AttributeJudge, CLIPJudge
from keras_t2i.metrics.instruments import image_features_for, instruments_for
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

COLORS = {"red": (200, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 200)}


def write_folder(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(count):
        name = list(COLORS)[number % 3]
        pixels = np.clip(np.asarray(COLORS[name]) + random.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text(f"a {name} picture")
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_judge_of_captions_is_trained_once_for_the_same_data(tmp_path: Path) -> None:
    write_inception_like_graph(tmp_path / "features.pb")
    judges = tmp_path / "cache" / "keras_t2i" / "judges"
    found = []
    for name, seed in (("one", 0), ("one", 0), ("other", 1)):
        if not (tmp_path / name).exists():
            write_folder(tmp_path / name, 48, seed)
        config = RunConfig(str(tmp_path / name), image_size=32)
        found.append(instruments_for(dataset_of(config), config.domain, True, str(tmp_path / "features.pb")))
        assert found[-1].attributes is None
        found[-1] = found[-1].text_image
    assert len(list(judges.iterdir())) == 2
    captions = [f"a {color} picture" for color in COLORS]
    first, again, other = (judge.text_embeddings(captions) for judge in found)
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert np.abs(first - other).max() > 1e-3


def test_few_images_have_no_judge_and_none_can_be_asked_for(tmp_path: Path) -> None:
    write_inception_like_graph(tmp_path / "features.pb")
    small = RunConfig(str(write_folder(tmp_path / "small", 12)), image_size=32)
    assert instruments_for(dataset_of(small), small.domain, True, str(tmp_path / "features.pb")).text_image is None
    large = RunConfig(str(write_folder(tmp_path / "large", 48)), image_size=32)
    found = instruments_for(dataset_of(large), large.domain, True, str(tmp_path / "features.pb"), judge="none")
    assert found.text_image is None
    assert found.features is not None
    assert found.features.dim == 5


@pytest.mark.parametrize("data", ["shapes", "faces"])
def test_built_in_images_have_a_judge_of_attributes_with_features(data: str) -> None:
    config = RunConfig(data)
    dataset = dataset_of(config)
    found = instruments_for(dataset, config.domain, True, judge="none")
    assert isinstance(found.attributes, AttributeJudge)
    assert found.features is not None
    split = dataset.validation_split
    assert split is not None
    images = split.pixels(np.arange(40))
    features = found.features(images)
    np.testing.assert_allclose(np.square(features).mean(axis=1), 1.0, rtol=1e-4)
    assert (found.attributes.predict(images) == split.labels[:40]).mean() > 0.95


def test_what_cannot_be_had_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere\.npz") as error:
        image_features_for(str(tmp_path / "nowhere.npz"))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="nowhere") as error:
        CLIPJudge.from_preset(tmp_path / "nowhere")
    assert "\n" not in str(error.value)
