"""A run goes on with the data that it was begun with, or says what has changed; what it holds out stays held out."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Result, keras_t2i
from PIL import Image

from keras_t2i.data import Inventory, from_folder
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import dataset
from keras_t2i.training.same_run import check_same_run

pytestmark = pytest.mark.usefixtures("eager_training")

SETTINGS = ("--family", "mlp", "--image-size", 32, "--batch-size", 4)
BEGUN = 40


def add(folder: Path, numbers: range) -> None:
    """Images of their own colors, each with a caption beside it."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.new("RGB", (36, 36), (4 * number, 255 - 3 * number, 80)).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(f"picture number {number}")


def train(folder: Path, run: Path, epochs: int, *options: Any) -> Result:
    return keras_t2i("train", folder, "-o", run, "--epochs", epochs, *SETTINGS, *options)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder of images and a run of one epoch on it."""
    place = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        add(place / "images", range(BEGUN))
        done = train(place / "images", place / "run", 1)
        assert done.code == 0, done.err
        yield place


@pytest.fixture
def place(begun: Path) -> Any:
    """Another copy each time; the folder stays where it is, for the run knows it by its path."""
    run = begun / "copy"
    shutil.copytree(begun / "run", run)
    yield begun / "images", run
    shutil.rmtree(run)
    shutil.rmtree(begun / "images")
    add(begun / "images", range(BEGUN))


def images_of(lines: Any) -> set[str]:
    return {line.partition(":")[0] for line in lines}


def inventory(run: Path) -> Inventory:
    found = Inventory.read(run)
    assert found is not None
    return found


def inventory_now(run: Path) -> Inventory:
    """What the run would be trained on now."""
    return Inventory.of(dataset(RunConfig.read(run), run))


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and not path.name.startswith("lock")}


def test_unchanged_data_go_on_whatever_its_files_are_called(place: tuple[Path, Path]) -> None:
    folder, run = place
    before = inventory(run)
    assert (len(before.train), len(before.held_out)) == (36, 4)
    for suffix in ("png", "txt"):
        (folder / f"000.{suffix}").rename(folder / f"000_renamed.{suffix}")
    done = train(folder, run, 2)
    assert done.code == 0, done.err
    assert "changed" not in done.err


def test_added_images_are_named_and_taken_on_request(place: tuple[Path, Path]) -> None:
    folder, run = place
    before, files = inventory(run), contents(run)
    add(folder, range(BEGUN, BEGUN + 20))
    refused = train(folder, run, 2)
    assert refused.code == 2
    line = "was trained on other data: 20 images added. Pass `changed_data` (--changed-data)"
    assert line in refused.err.splitlines()[-1]
    assert contents(run) == files
    taken = train(folder, run, 2, "--changed-data")
    assert taken.code == 0, taken.err
    assert "Its data have changed: 20 images added." in taken.err
    after = inventory(run)
    assert len(after.train) + len(after.held_out) == BEGUN + 20
    assert images_of(before.held_out) < images_of(after.held_out)
    assert images_of(before.train) < images_of(after.train)
    assert not images_of(after.train) & images_of(after.held_out)
    # An epoch has as many steps as before, and the log goes on; nothing has changed since.
    again = train(folder, run, 3)
    assert again.code == 0, again.err
    assert [row["step"] for row in csv.DictReader((run / "log.csv").read_text().splitlines())] == ["9", "18", "27"]


@pytest.mark.parametrize("count", [3, 20])
def test_nothing_that_was_trained_on_is_held_out_and_what_was_held_out_stays_so(
    place: tuple[Path, Path], count: int
) -> None:
    folder, run = place
    before = inventory(run)
    add(folder, range(BEGUN, BEGUN + count))
    drawn, kept = Inventory.of(from_folder(folder, 32)), inventory_now(run)
    assert before.moved(drawn) > 0  # This is why.
    assert before.moved(kept) == 0
    assert not images_of(kept.held_out) & before.trained
    assert before.changes(kept) == f"{count} images added"


def test_other_data_are_refused_where_a_side_would_change_though_asked_for(place: tuple[Path, Path]) -> None:
    folder, run = place
    config = {
        name: value for name, value in json.loads((run / "config.json").read_text()).items() if "steps" not in name
    }
    with pytest.raises(ValueError, match=r"other settings: steps_per_epoch \(9 there, 5 now\)"):
        check_same_run(run, config, dataset(RunConfig.read(run), run), 5, changed_data=True)
    add(folder, range(BEGUN, BEGUN + 20))
    images = from_folder(folder, 32, batch_size=4)
    with pytest.raises(ValueError, match="of these images would be held out and were trained on") as error:
        check_same_run(run, config, images, 13, changed_data=True)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"other settings: seed \(0 there, 1 now\); choose"):  # That comes first.
        check_same_run(run, {**config, "seed": 1}, images, 13, changed_data=False)


def test_what_is_gone_and_what_is_called_otherwise_is_counted(place: tuple[Path, Path]) -> None:
    folder, run = place
    before = inventory(run)
    (folder / "003.png").unlink()
    (folder / "003.txt").unlink()
    for number in (5, 6):
        (folder / f"{number:03d}.txt").write_text(f"another name {number}")
    assert before.changes(inventory_now(run)) == "1 image gone, 2 with other captions"
    # It comes back, and has been trained on.
    then = before.followed_by(inventory_now(run))
    then.write(run)
    add(folder, range(3, 4))
    back = then.followed_by(inventory_now(run))
    assert (images_of(back.train), images_of(back.held_out)) == (images_of(before.train), images_of(before.held_out))
    assert not back.earlier


def test_a_folder_of_held_out_images_makes_no_image_unseen(place: tuple[Path, Path]) -> None:
    folder, run = place
    before = inventory(run)
    (folder / "validation").mkdir()
    for path in [*folder.glob("00*.png"), *folder.glob("00*.txt")]:
        path.rename(folder / "validation" / path.name)
    now = inventory_now(run)
    assert (images_of(now.train), images_of(now.held_out)) == (images_of(before.train), images_of(before.held_out))


def test_evaluation_holds_out_what_the_run_does_and_says_that_the_data_have_changed(place: tuple[Path, Path]) -> None:
    folder, run = place
    add(folder, range(BEGUN, BEGUN + 20))
    found = keras_t2i("evaluate", run, "--features", "none", "--judge", "none")
    assert found.code == 0, found.err
    assert "Warning: The data have changed since" in found.err
    assert "20 images added" in found.err
    assert found.json["measured_on"] == "held-out captions"
    assert found.json["num_captions"] == len(inventory_now(run).held_out)


def test_a_run_that_was_made_before_there_was_an_inventory_goes_on(place: tuple[Path, Path]) -> None:
    folder, run = place
    before = (run / "data.json").read_bytes()
    (run / "data.json").unlink()
    done = train(folder, run, 2)
    assert done.code == 0, done.err
    assert (run / "data.json").read_bytes() == before


def test_an_inventory_that_cannot_be_read_is_no_reason_to_guess(place: tuple[Path, Path]) -> None:
    _, run = place
    (run / "data.json").write_bytes((run / "data.json").read_bytes()[:100])
    with pytest.raises(ValueError, match="does not say what the run was trained on") as error:
        dataset(RunConfig.read(run), run)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Four images, ten times each, of which none can be held out; and a run on them."""
    place = tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        add(place / "four", range(4))
        (place / "images").mkdir()
        for path in (place / "four").iterdir():
            for copy in range(10):
                shutil.copy(path, place / "images" / f"{copy}_{path.name}")
        yield place, train(place / "images", place / "run", 1)


def test_where_nothing_is_held_out_it_is_said_everywhere(copies: tuple[Path, Result]) -> None:
    place, done = copies
    assert "Nothing is held out: pictures and numbers are of training captions." in done.err
    told = keras_t2i("evaluate", place / "run", "--features", "none", "--judge", "none").json
    assert told["measured_on"] == "training captions"
    assert told["warnings"][0].startswith("Nothing is held out: these numbers are of training captions")
    assert keras_t2i("report", place / "run", "--features", "none", "--judge", "none").code == 0
    page = (place / "run" / "report.html").read_text()
    assert "Evaluation on training captions" in page
    assert "held-out" not in page
    assert "Nothing is held out" in page


def test_captions_that_are_trained_on_too_are_not_called_held_out(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    add(tmp_path / "images", range(20))
    for number in range(20):
        (tmp_path / "images" / f"{number:03d}.txt").write_text(f"a photo of a {('rose', 'daisy')[number % 2]}")
    assert train(tmp_path / "images", tmp_path / "run", 1).code == 0
    told = keras_t2i("evaluate", tmp_path / "run", "--features", "none", "--judge", "none").json
    assert told["measured_on"] == "captions of held-out images"
