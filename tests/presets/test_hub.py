"""Presets on hubs, read from what the hubs' own clients keep: found by name, copied, checked, and refused in a line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from checks import make_batch, move_average, one_line, tiny_gan
from command_line import keras_t2i
from huggingface_hub import constants

from keras_t2i import TextToImageGAN
from keras_t2i.core.files import CHECKSUMS, write_checksums
from keras_t2i.presets import hub

HF, KAGGLE = "hf://somebody/tiny-shapes", "kaggle://somebody/tiny/keras/shapes/3"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gan = tiny_gan("mlp")
    move_average(gan)
    directory = tmp_path_factory.mktemp("hub") / "tiny"
    gan.save_to_preset(directory)
    return directory


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of ours and of both clients, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ours"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put_on(name: str, preset: Path, caches: Path) -> Path:
    """Lays a preset down as the client does that has fetched it; returns where."""
    files = [path.relative_to(preset) for path in preset.rglob("*") if path.is_file()]
    if name == HF:
        root = caches / "hf" / "models--somebody--tiny-shapes"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text(COMMIT)
        for number, file in enumerate(files):
            blob, link = root / "blobs" / str(number), root / "snapshots" / COMMIT / file
            for path in (blob, link):
                path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(preset / file, blob)
            link.symlink_to(blob)
        return root / "snapshots" / COMMIT
    root = caches / "kaggle" / "models" / "somebody" / "tiny" / "keras" / "shapes"
    shutil.copytree(preset, root / "3")
    for file in files:
        marker = root / ".complete" / "3" / f"{file}.complete"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    return root / "3"


@pytest.mark.parametrize("name", [HF, KAGGLE])
def test_a_preset_from_a_hub_draws_the_same_pixels(name: str, preset: Path, caches: Path) -> None:
    put_on(name, preset, caches)
    text = make_batch()["sentence_embeddings"]
    images = TextToImageGAN.from_preset(preset).generate_from_embeddings(text)
    np.testing.assert_array_equal(TextToImageGAN.from_preset(name).generate_from_embeddings(text), images)
    copy = hub.fetch(name)
    assert copy.is_relative_to(caches / "ours")
    assert not any(path.is_symlink() for path in copy.rglob("*"))
    # A path, which is what the command line makes of a name, has one slash less.
    assert hub.fetch(Path(name)) == copy


def test_both_hubs_share_a_copy_and_a_new_version_gets_one_of_its_own(preset: Path, caches: Path) -> None:
    first = put_on(HF, preset, caches)
    put_on(KAGGLE, preset, caches)
    old = hub.fetch(HF)
    assert hub.fetch(KAGGLE) == old
    readme = first / "README.md"
    readme.unlink()
    readme.write_text("better words")
    (first / CHECKSUMS).unlink()
    write_directory = shutil.copytree(first, caches / "new")
    write_checksums(write_directory)
    shutil.copyfile(write_directory / CHECKSUMS, first / CHECKSUMS)
    new = hub.fetch(HF)
    assert new != old
    assert (new / "README.md").read_text() == "better words"
    assert (old / "README.md").read_text() != "better words"


def test_a_damaged_file_is_refused_and_nothing_is_kept(preset: Path, caches: Path) -> None:
    weights = put_on(KAGGLE, preset, caches) / "generator.weights.h5"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="generator") as error:
        hub.fetch(KAGGLE)
    assert one_line(error).startswith(KAGGLE)
    assert not list((caches / "ours" / "keras_t2i" / "presets").iterdir())


@pytest.mark.parametrize("file", ["../outside", "/etc/passwd", "a//b", "a/../../b", "a\\b", "a\x00b", ".", ""])
def test_a_list_that_names_files_elsewhere_is_refused(file: str, preset: Path, caches: Path) -> None:
    listing = put_on(KAGGLE, preset, caches) / CHECKSUMS
    listing.write_text(listing.read_text() + f"{'0' * 64}  {file}\n")
    with pytest.raises(ValueError, match="is not a preset of this package") as error:
        hub.fetch(KAGGLE)
    one_line(error)


@pytest.mark.parametrize("name", [HF, KAGGLE, "kaggle://somebody/tiny/keras/shapes"])
def test_without_network_one_line_says_so(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="Check the name and the network connection") as error:
        TextToImageGAN.from_preset(name)
    assert one_line(error).startswith(f"{name} cannot be fetched (SHA256SUMS: ")


@pytest.mark.parametrize(
    "name", ["hf://tiny", "hf://a/b/c", "hf:///b", "kaggle://a/b/keras", "kaggle://a/b/keras/c/1/2"]
)
def test_names_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected (hf|kaggle)://USER/MODEL") as error:
        TextToImageGAN.from_preset(name)
    assert repr(name) in one_line(error)


def test_the_command_line_takes_such_names(caches: Path) -> None:
    result = keras_t2i("generate", HF, "a red star", "--output", caches / "drawn")
    assert result.code == 2
    assert result.err.startswith(f"Error: {HF} cannot be fetched")
