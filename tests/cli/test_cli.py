"""The command line as a user meets it: what it writes, what it prints where, and how it says no."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from command_line import Result, keras_t2i, write_images, write_rows
from PIL import Image
from tiny_image_networks import write_inception_like_graph

from keras_t2i import TextToImageGAN
from keras_t2i.cli import app
from keras_t2i.core import provenance
from keras_t2i.data import PackedImages
from keras_t2i.objectives import LOSSES, PENALTIES
from keras_t2i.presets import FAMILIES, packaged_presets
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import build, dataset

pytestmark = pytest.mark.usefixtures("eager_training")

CAPTIONS = ("picture number 3", "something else, ähnlich")


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


SETTINGS = ("--family", "mlp", "--image-size", 32, "--batch-size", 4)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a folder `images` of 20 images, and caches of its own."""
    path = tmp_path_factory.mktemp("cli")
    write_rows(path / "images", [*write_images(path / "images"), {"file_name": "absent.png", "text": "a"}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        patch.chdir(path)
        yield path


@pytest.fixture(scope="module")
def trained(place: Path) -> Result:
    """One epoch on the folder, named by a relative path."""
    return keras_t2i("train", "images", "--output", "run", "--epochs", 1, *SETTINGS)


@pytest.fixture(scope="module")
def run(place: Path, trained: Result) -> Path:
    return place / "run"


def test_train_leaves_a_complete_run(trained: Result, run: Path) -> None:
    assert trained.code == 0
    assert trained.json == {
        "run": "run",
        "steps": 4,
        "minutes": trained.json["minutes"],
        "skipped_rows": 1,
        "grids": "run/grids",
        "preset": "run/preset",
    }
    config = json.loads((run / "config.json").read_text())
    assert (config["family"], config["image_size"]) == ("mlp", 32)
    assert config["data"] == str(run.parent / "images")
    assert [row["epoch"] for row in csv.DictReader((run / "log.csv").read_text().splitlines())] == ["1"]
    assert pixels(run / "grids" / "epoch-0001.png").shape[1] > 32 * 6
    assert TextToImageGAN.from_preset(run / "preset").image_size == 32


def test_progress_fit_for_a_log_file(trained: Result) -> None:
    """Not a terminal: no bar that moves, one clean line for skipped rows, no warning of other libraries."""
    assert "\r" not in trained.err
    assert "\b" not in trained.err
    warnings = [line for line in trained.err.splitlines() if "arning" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("Warning: 1 of 21 rows")
    assert "metadata.jsonl:21" in warnings[0]
    assert sum("discriminator_loss" in line for line in trained.err.splitlines()) == 1


def test_train_again_resumes_and_then_is_finished(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)  # The folder is the same by another path.
    again = keras_t2i("train", "../images", "--output", ".", "--epochs", 2, *SETTINGS)
    assert (again.code, again.json["steps"]) == (0, 8)
    assert "Continuing" in again.err
    assert [row["epoch"] for row in csv.DictReader((run / "log.csv").read_text().splitlines())] == ["1", "2"]
    finished = keras_t2i("train", "../images", "--output", ".", "--epochs", 2, *SETTINGS)
    assert (finished.code, finished.json["steps"]) == (0, 8)
    assert "is finished" in finished.err


def test_other_settings_are_refused_in_the_same_directory(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}
    other = keras_t2i("train", "images", "--output", "run", "--epochs", 5, *SETTINGS, "--seed", 1)
    assert other.code == 2
    assert "seed (0 there, 1 now)" in other.err.splitlines()[-1]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_run_made_before_an_option_was_there_goes_on_with_its_default(run: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    config = json.loads((old / "config.json").read_text())
    assert config.pop("size") == "small"
    (old / "config.json").write_text(json.dumps(config))
    done = keras_t2i("train", "images", "-o", old, "--epochs", 2, *SETTINGS)
    assert done.code == 0, done.err
    other = keras_t2i("train", "images", "-o", old, "--epochs", 3, *SETTINGS[2:], "--size", "base")
    assert other.code == 2
    assert "size" in other.err.splitlines()[-1]


def test_generate_writes_the_images_of_the_python_call(run: Path, place: Path) -> None:
    drawn = keras_t2i("generate", run, *CAPTIONS, "-n", 3, "--seed", 5, "--truncation", 0.5, "--output", "drawn")
    assert drawn.code == 0
    assert not drawn.err
    files = [Path(name) for name in drawn.json["images"]]
    assert [file.name for file in files] == [f"{i:02d}-{j:02d}.png" for i in range(2) for j in range(3)]
    expected = TextToImageGAN.from_preset(run).generate(CAPTIONS, num_images=3, seed=5, truncation=0.5)
    np.testing.assert_array_equal([pixels(file) for file in files], expected)
    assert pixels(drawn.json["grid"]).shape[1] > 3 * 32
    told = keras_t2i("inspect", files[4]).json
    assert (told["prompt"], told["seed"], told["index"], told["truncation"]) == (CAPTIONS[1], 5, 4, 0.5)
    assert told["digital_source_type"] == "trainedAlgorithmicMedia"
    assert keras_t2i("inspect", run / "grids" / "epoch-0001.png").json["model"]
    assert sorted(path.name for path in (place / "drawn").iterdir()) == sorted([*(f.name for f in files), "grid.png"])


def test_evaluate_from_elsewhere(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = keras_t2i("evaluate", run, "-n", 3, "--features", "none")
    assert result.code == 0
    found = {name for name in result.json if not name.startswith(("spectrum_", "hatching"))}
    measures = {"diversity", "diversity_typical", "discriminator_gap", "discriminator_gap_by_chance"}
    assert found == {"num_captions", "num_images", "measured_on", "warnings", *measures}
    assert {"spectrum_worst", "spectrum_worst_band", "spectrum_fine", "hatching", "hatching_is"} < result.json.keys()
    assert (result.json["num_captions"], result.json["num_images"]) == (2, 6)
    assert 0 < result.json["diversity"] < 10


def test_evaluate_folders_of_any_source(place: Path) -> None:
    write_inception_like_graph(place / "features.pb")
    folders = ("--generated", "images", "--real", "images")
    same = keras_t2i("evaluate", *folders, "--features", "features.pb")
    assert same.code == 0
    assert same.json["features"] == "features"
    assert same.json["num_images"] == same.json["num_real"] == 20
    assert same.json["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert same.json["precision"] == same.json["coverage"] == 1.0
    (place / "dark").mkdir()
    for number in range(12):
        Image.new("RGB", (32, 32), (0, number, 0)).save(place / "dark" / f"{number}.png")
    other = keras_t2i("evaluate", "--generated", "dark", "--real", "images", "--features", "features.pb")
    assert other.json["kernel_distance"] > same.json["kernel_distance"] + 0.01
    assert other.json["coverage"] == 0.0
    assert other.json["diversity"] < 0.2


def test_evaluate_measures_what_generate_drew_last_and_says_what_it_left_out(run: Path, place: Path) -> None:
    write_inception_like_graph(place / "features.pb")
    keras_t2i("generate", run, *CAPTIONS, "a third", "-n", 4, "-o", "last")
    last = [Path(name) for name in keras_t2i("generate", run, *CAPTIONS, "-n", 2, "-o", "last").json["images"]]
    for file, folder in zip(last, ("real", "real/train", "real/test", "real/val"), strict=True):
        (place / folder).mkdir()
        shutil.copy(place / file, place / folder)
    result = keras_t2i("evaluate", "--generated", "last", "--real", "real", "--features", "features.pb")
    assert result.code == 0, result.err
    assert result.json["frechet_distance"] == pytest.approx(0, abs=1e-6)
    by_folder = {".": 1, "test": 1, "train": 1, "val": 1}
    assert result.json["real"] == {"folder": "real", "images": 4, "by_folder": by_folder, "left_out": {}}
    earlier = [f"{i:02d}-{j:02d}.png" for i in range(3) for j in range(4) if i == 2 or j > 1]
    assert result.json["generated"] == {
        "folder": "last",
        "images": 4,
        "by_folder": {".": 4},
        "left_out": {"grid.png": "a grid of several images"}
        | dict.fromkeys(earlier, "left by an earlier call of generate"),
    }
    assert "8 files of 'last' are left out (00-02.png: left by an earlier call of generate)" in result.err


def test_a_grid_of_an_older_release_is_no_image(run: Path, place: Path) -> None:
    write_inception_like_graph(place / "features.pb")
    keras_t2i("generate", run, *CAPTIONS, "-n", 2, "-o", "older")
    facts = provenance.inspect(place / "older" / "grid.png")
    content = provenance.png(Image.open(place / "older" / "grid.png"), {"model": facts["model"], "seed": 0, "index": 0})
    (place / "older" / "grid.png").write_bytes(content)
    (place / "older" / "photo").mkdir()
    Image.new("RGB", (20, 20)).save(place / "older" / "photo" / "grid.png")
    result = keras_t2i("evaluate", "--generated", "older", "--real", "images", "--features", "features.pb")
    assert result.json["generated"]["left_out"] == {"grid.png": "a grid of several images"}
    assert result.json["generated"]["by_folder"] == {".": 4, "photo": 1}


def test_evaluate_of_too_few_images_is_one_line(place: Path) -> None:
    (place / "one").mkdir()
    Image.new("RGB", (20, 20)).save(place / "one" / "1.png")
    write_inception_like_graph(place / "features.pb")
    result = keras_t2i("evaluate", "--generated", "one", "--real", "images", "--features", "features.pb")
    assert (result.code, result.err) == (2, "Error: At least 2 images are needed; 'one' has 1 to measure.\n")


def test_a_name_means_the_same_to_train_and_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "shapes", [*write_images(tmp_path / "shapes")])
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"'shapes' is rendered; for the folder of that name, write './shapes'"):
        assert dataset(RunConfig("shapes:8", image_size=32)).name == "shapes"
    assert dataset(RunConfig("./shapes", image_size=32)).train_split.num_images == 18
    checked = keras_t2i("data", "check", "shapes")
    assert checked.code == 2
    assert checked.err.startswith("Error: 'shapes' is no folder to check")
    assert checked.err.count("\n") == 1
    assert keras_t2i("data", "check", "./shapes").json["num_images"] == 20
    (tmp_path / "shapes" / "config.json").write_text("{}")  # The directory of a run is not taken for data.
    assert dataset(RunConfig("shapes:8", image_size=32)).name == "shapes"


def test_report_explains_a_run_on_one_page(run: Path, place: Path) -> None:
    result = keras_t2i("report", run, "--features", "none", "-o", "run.html")
    assert result.code == 0
    page = (place / "run.html").read_text(encoding="utf-8")
    assert result.json["report"] == "run.html"
    assert all(
        text in page
        for text in ("Run run", "Discriminator loss", "Epoch 1", "Diversity", "1 row of the data was skipped")
    )


def test_an_unconditional_run_takes_a_folder_without_captions(place: Path) -> None:
    write_images(place / "plain", 6)
    options = ("--text-encoder", "none", "--epochs", 1)
    trained = keras_t2i("train", "plain", "-o", "unconditional", *SETTINGS, *options)
    assert trained.code == 0, trained.err
    drawn = keras_t2i("generate", "unconditional", "anything", "-n", 2, "-o", "drawn_without")
    assert drawn.code == 0
    assert len(drawn.json["images"]) == 2


def test_training_can_start_from_another_run(run: Path) -> None:
    options = ("--start-from", run, "--epochs", 1)
    started = keras_t2i("train", "images", "-o", "second", *SETTINGS, *options)
    assert started.code == 0, started.err
    before, after = (TextToImageGAN.from_preset(path) for path in (run, run.parent / "second"))
    fresh = [weight.numpy() for weight in build(RunConfig("images", "mlp", image_size=32)).generator.weights]
    moved = [
        np.abs(a.numpy() - b.numpy()).mean()
        for a, b in zip(before.generator.weights, after.generator.weights, strict=True)
    ]
    apart = [np.abs(a.numpy() - b).mean() for a, b in zip(before.generator.weights, fresh, strict=True)]
    assert 0 < sum(moved) < 0.2 * sum(apart)


def test_export_for_phones(run: Path, place: Path) -> None:
    result = keras_t2i("export", run, "--to", "litert", "--output", "litert")
    assert result.code == 0
    assert json.loads((place / "litert" / "bundle.json").read_text())["generator"]["file"] == "generator.tflite"
    assert result.json["format"] == "litert"
    assert result.json["bytes"] == sum(file.stat().st_size for file in (place / "litert").iterdir())
    phone = keras_t2i(
        "generate", "litert", CAPTIONS[0], "-n", 2, "--seed", 5, "-o", "phone", "--no-record-prompts"
    ).json
    expected = TextToImageGAN.from_preset(run).generate(CAPTIONS[0], num_images=2, seed=5).astype(int)
    assert np.abs(expected - [pixels(Path(name)) for name in phone["images"]]).max() <= 1
    assert "prompt" not in keras_t2i("inspect", phone["images"][0]).json


def test_export_for_accelerators_takes_its_ranges_from_captions(run: Path, place: Path) -> None:
    (place / "captions.txt").write_text("\n".join([*CAPTIONS, ""]))
    how = ("--to", "litert", "--precision", "int8-static", "--output", "static")
    for captions in ((), ("--captions", "captions.txt")):
        result = keras_t2i("export", run, *how, *captions)
        assert result.code == 0
        assert result.json["precision"] == "int8-static"
        assert result.json["measured"]["psnr_db"] > 15


def test_data_check_prints_a_report_and_draws_a_sheet(place: Path) -> None:
    result = keras_t2i("data", "check", "images", "--contact-sheet", "sheets/sheet.png")
    assert result.code == 0
    assert (result.json["num_rows"], result.json["num_images"]) == (21, 20)
    assert result.json["skipped"] == [
        {"file": "metadata.jsonl", "line": 21, "reason": "'absent.png' is missing"},
    ]
    assert result.err.splitlines()[0] == "metadata.jsonl:21: 'absent.png' is missing"
    assert pixels(place / "sheets" / "sheet.png").shape[1] > 300


def test_data_check_says_how_images_are_read_and_takes_another_way(place: Path) -> None:
    folder = place / "deep"
    rows = write_images(folder, 4)
    for row, low in zip(rows, (-1000, -1000, 0, 0), strict=True):
        values = np.linspace(low, 3000, 64 * 20).reshape(20, 64).astype(np.int32)
        (folder / row["file_name"]).unlink()
        row["file_name"] = row["file_name"].replace("png", "tiff")
        Image.fromarray(values).save(folder / row["file_name"])
    write_rows(folder, rows)
    result = keras_t2i("data", "check", folder)
    assert result.code == 0
    expected = {"number": 4, "min": -1000, "max": 3000, "black": -1000, "white": 3000}
    assert result.json["intensities"] == pytest.approx(expected, abs=5)  # But for one value in a thousand.
    assert result.json["cut"] == [row["file_name"] for row in rows]
    said = [line for line in result.err.splitlines() if line.startswith("Warning: ")]
    assert sum("more than 8 bits" in line for line in said) == sum("central square" in line for line in said) == 1
    result = keras_t2i("data", "check", folder, "--fit", "pad", "--intensity-range", "-160,240")
    assert result.json["intensities"]["black"] == -160
    assert result.json["cut"] == []
    assert "more than 8 bits" not in result.err
    for wrong in ("4095", "a,b", "1,2,3", "9,3"):
        result = keras_t2i("data", "check", folder, "--intensity-range", wrong)
        assert result.code == 2
        assert "two numbers" in result.err
        assert len(result.err.splitlines()) == 1


def test_a_run_reads_images_as_it_was_told(place: Path) -> None:
    for name, color in (("wide", "red"), ("high", "blue")):
        Image.new("RGB", (90, 30), color).rotate(90 * (name == "high"), expand=True).save(place / f"{name}.png")
    rows = [{"file_name": f"{name}.png", "text": name} for name in ("wide", "high")]
    folder = place / "long"
    folder.mkdir()
    for row in rows:
        (place / row["file_name"]).rename(folder / row["file_name"])
    write_rows(folder, rows)
    how = ("--output", "packed", "--image-size", 32)
    assert "central square" in keras_t2i("data", "pack", folder, *how).err
    result = keras_t2i("data", "pack", folder, *how, "--fit", "pad")
    assert result.code == 0
    assert "central square" not in result.err
    images = PackedImages.read(place / "packed").train.images[:]
    assert (images[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    assert images.min() == 0


def test_data_check_says_how_a_folder_is_read(tmp_path: Path) -> None:
    write_rows(tmp_path / "some", write_images(tmp_path / "some", 5)[:4])
    for name in ("cat", "dog"):
        (tmp_path / "kinds" / name).mkdir(parents=True)
        shutil.copy(tmp_path / "some" / "1.png", tmp_path / "kinds" / name)
    result = keras_t2i("data", "check", tmp_path / "some")
    assert result.err.splitlines() == [
        f"Warning: 1 of 5 images in {str(tmp_path / 'some')!r} are in no row and are not used (4.png)."
    ]
    assert (result.json["unnamed"], result.json["layout"]) == (
        ["4.png"],
        "metadata.jsonl, captions in the column 'text'",
    )
    result = keras_t2i("data", "check", tmp_path / "kinds", "--caption-template", "one {label}")
    assert "('one cat', 'one dog', ...)" in result.err
    assert result.json["layout"] == "names of 2 folders as labels"


def test_presets_lists_what_is_in_the_package(place: Path) -> None:
    result = keras_t2i("presets")
    assert result.code == 0
    assert result.json.keys() == packaged_presets().keys()
    for name, told in result.json.items():
        # That of sketches has the generator of emoji_128 in it, and a branch beside it.
        assert told["bytes"] <= (13_000_000 if name == "emoji_128_sketch" else 12_000_000)
        assert told["license"] == "Apache-2.0"
        assert told["description"]
        assert told["quality"]
        gan = TextToImageGAN.from_preset(name)
        assert gan.image_size == told["image_size"]
        assert (packaged_presets()[name] / "README.md").read_text().count("## ") >= 6


@pytest.mark.parametrize(
    "command",
    ["", "train", "generate", "evaluate", "export", "finetune", "quickstart", "data", "data check"],
)
def test_help_reads_like_documentation(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = keras_t2i(*command.split(), "--help")
    assert result.code == 0
    assert not result.err
    assert "Usage: keras-t2i" in result.out
    # Nothing of the markup is left, and every option says what it does.
    assert "**" not in result.out
    shown = typer.main.get_command(app)
    for name in command.split():
        shown = shown.commands[name]
    for parameter in shown.params:
        assert (parameter.help or "")[:1].isupper() or parameter.name == "help", parameter.name


def test_help_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = re.sub(r"[\s│]+", " ", keras_t2i("train", "--help").out)
    for name in [*FAMILIES, *LOSSES, *PENALTIES]:
        assert re.search(rf"\b{name}\b", text), name


def test_help_and_usage_errors_start_without_tensorflow() -> None:
    code = """
import sys
from keras_t2i.cli import main
for arguments in (["--help"], ["train", "--help"], ["train"], ["nonsense"]):
    try:
        main(arguments)
    except SystemExit as exit:
        print(exit.code, "tensorflow" in sys.modules, file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = result.stderr.splitlines()
    assert lines[:2] == ["0 False"] * 2
    assert re.fullmatch(r"Error: Missing argument .*\. See --help\.", lines[2])
    assert re.fullmatch(r"Error: No such command 'nonsense'\. See --help\.", lines[4])
    assert (lines[3], lines[5]) == ("2 False", "2 False")
