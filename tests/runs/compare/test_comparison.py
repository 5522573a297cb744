"""Comparisons: complete whatever happens to single runs, resumed after a kill without repeating what is finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import tiny_flow
from PIL import Image

from keras_t2i.runs.compare import ComparisonConfig, compare
from keras_t2i.runs.compare.comparison import _jobs
from keras_t2i.runs.compare.methods import METHODS, file_name, method
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import build

pytestmark = pytest.mark.usefixtures("eager_training")

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colors")
    random = np.random.default_rng(0)
    for number in range(16):
        name, color = (("red", (200, 30, 30)), ("blue", (30, 30, 200)))[number % 2]
        pixels = np.clip(np.asarray(color) + random.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text(f"a {name} picture number {number}")
    return folder


def config(folder: Path, *methods: str, **options: object) -> ComparisonConfig:
    base = RunConfig(str(folder), image_size=32, batch_size=4, start_from=options.pop("start_from", None))
    return ComparisonConfig(base, methods, images=8, features="none", **options)


def test_broken_runs_are_reported_and_stop_no_other(folder: Path, tmp_path: Path) -> None:
    broken = build(RunConfig(str(folder), "mlp", image_size=32))
    for weight in broken.generator.trainable_weights:
        weight.assign(np.full(weight.shape, 1e30))  # Finite, which is all that a preset may be.
    broken.save_to_preset(tmp_path / "broken")
    lines: list[str] = []
    chosen = config(
        folder, "mlp", "dcgan", "dcgan_finetuned", num_seeds=1, start_from=str(tmp_path / "broken")
    )  # The last begins with its own source instead.
    result = compare(chosen, tmp_path / "comparison", lines.append)
    assert (result["finished"], result["diverged"], result["failed"]) == (1, 1, 1)
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    runs = {method["name"]: method["runs"][0] for method in found["methods"]}
    assert runs["mlp"]["status"] == "diverged"
    assert "not finite" in runs["mlp"]["message"]
    assert runs["dcgan"]["status"] == "failed"
    assert "cannot be started from" in runs["dcgan"]["message"]
    finished = runs["dcgan_finetuned"]
    assert finished["steps"] == 2
    assert finished["images_seen"] == 8
    assert [point["images_seen"] for point in finished["curve"]] == [4, 8]
    assert finished["resources"]["litert_ms"] > 0
    assert finished["metrics"]["num_images"] == 2 * finished["metrics"]["num_captions"]
    page = (tmp_path / "comparison" / "report.html").read_text(encoding="utf-8")
    assert all(method(name).label in page for name in chosen.methods)
    assert "1 diverged" in (tmp_path / "comparison" / "comparison.md").read_text()
    assert any("diverged" in line for line in lines)


@pytest.mark.slow
def test_a_student_is_compared_behind_a_teacher_of_the_same_images(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distilled = method("distilled")
    fewer = replace(distilled, options={**distilled.options, "family": "mlp", "num_drawn": 8})
    monkeypatch.setitem(METHODS, "distilled", fewer)
    result = compare(config(folder, "distilled", num_seeds=1), tmp_path / "comparison", print)
    assert result["finished"] == 1
    assert list((tmp_path / "comparison" / "runs" / "distilled-0" / "drawn").glob("*.npz"))
    assert "on top of its student's own budget" in (tmp_path / "comparison" / "comparison.md").read_text()


def test_a_teacher_is_a_flow_on_the_same_images_and_trained_as_long(folder: Path, tmp_path: Path) -> None:
    ((_, _, (before, own)),) = _jobs(config(folder, "distilled", num_seeds=1), tmp_path)
    teacher, student = RunConfig(**before.config), RunConfig(**own.config)
    assert (teacher.family, teacher.data, teacher.teacher, teacher.reconstruction) == ("flow", str(folder), None, None)
    assert (student.family, student.data, student.teacher) == ("compact", str(folder), before.run_dir)
    assert student.reconstruction == 20.0
    assert before.budget == own.budget
    assert before.result is None


def test_what_starts_from_a_model_is_trained_by_the_recipe_of_its_family(folder: Path, tmp_path: Path) -> None:
    tiny_flow().save_to_preset(tmp_path / "flow")
    methods = config(folder, "full", "mlp", num_seeds=1, source=str(tmp_path / "flow"))
    (_, _, (full,)), (_, _, (mlp,)) = _jobs(methods, tmp_path)
    assert (full.config["family"], mlp.config["family"]) == ("flow", "mlp")


def test_a_killed_comparison_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    chosen = config(folder, "mlp", num_seeds=2)
    output = tmp_path / "comparison"
    program = (
        "import sys, json, pathlib\n"
        "from keras_t2i.runs.compare import ComparisonConfig, compare\n"
        "from keras_t2i.runs.config import RunConfig\n"
        "base = RunConfig(sys.argv[1], image_size=32, batch_size=4)\n"
        "config = ComparisonConfig(base, ('mlp',), images=8, features='none', num_seeds=2)\n"
        "compare(config, pathlib.Path(sys.argv[2]), print)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first = output / "results" / "mlp-0.json"
    deadline = time.monotonic() + 300
    while not (first.exists() and (output / "logs" / "mlp-1.txt").exists()):
        assert time.monotonic() < deadline, "no first result"
        assert process.poll() is None, "the comparison ended early"
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = (first.stat().st_mtime_ns, first.read_bytes())
    result = compare(chosen, output, print)
    assert result["finished"] == 2
    assert (first.stat().st_mtime_ns, first.read_bytes()) == before
    second = (output / "results" / "mlp-1.json").stat().st_mtime_ns
    assert compare(chosen, output, print)["finished"] == 2
    assert (output / "results" / "mlp-1.json").stat().st_mtime_ns == second
    # One that was begun before there was an option goes on as with its default.
    saved = json.loads((output / "config.json").read_text())
    del saved["base"]["sequence_length"], saved["judge"]
    (output / "config.json").write_text(json.dumps(saved))
    assert compare(chosen, output, print)["finished"] == 2
    with pytest.raises(ValueError, match=r"holds another comparison \(it differs in methods"):
        compare(config(folder, "dcgan"), output, print)


def test_what_cannot_be_compared_is_said_in_one_line(folder: Path) -> None:
    base = RunConfig(str(folder))
    for options, message in (
        ({"methods": ("diffusion",), "minutes": 1.0}, "Unknown method 'diffusion'"),
        ({"methods": ("mlp:width=3",), "minutes": 1.0}, "'width=3' cannot be set of 'mlp'"),
        ({"methods": ("mlp:batch_size=few",), "minutes": 1.0}, "'batch_size=few' cannot be set of 'mlp'"),
        ({"methods": ("mlp:batch_size=0",), "images": 9}, "0 is no batch_size for 'mlp': it must be at least 1"),
        ({"methods": (), "minutes": 1.0}, "needs methods and seeds"),
        ({"methods": ("mlp", "mlp"), "minutes": 1.0}, "compared once"),
        ({"methods": ("mlp",)}, "either `minutes` or `images`"),
        ({"methods": ("mlp",), "minutes": 1.0, "images": 9}, "either `minutes` or `images`"),
    ):
        with pytest.raises(ValueError, match=message):
            ComparisonConfig(base, **options)


def test_a_variant_changes_what_it_says_and_nothing_else() -> None:
    variant = method("dcgan:loss=hinge:augment=true")
    assert variant.options == {"family": "dcgan", "loss": "hinge", "augment": True}
    assert variant.label == "DCGAN, loss=hinge, augment=true"
    assert method("dcgan").options == {"family": "dcgan"}
    assert file_name("compact:text_encoder=some/where") == "compact-text_encoder-some-where"


@pytest.mark.parametrize(
    ("limit", "moments"),
    [
        ({"minutes": 3}, [0.15, 0.3, 0.75, 1.5, 2.25, 3]),
        ({"images": 4}, [1]),
        ({"images": 400}, [5, 10, 25, 50, 75, 100]),
    ],
)
def test_curves_begin_early_in_the_budget(limit: dict[str, Any], moments: list[float], tmp_path: Path) -> None:
    base = RunConfig("shapes", batch_size=4)
    chosen = ComparisonConfig(base, ("mlp",), num_seeds=1, **limit)
    ((_, _, stages),) = _jobs(chosen, tmp_path)
    assert stages[-1].moments == pytest.approx(moments)


def test_with_batches_of_another_size_as_many_images_are_seen(tmp_path: Path) -> None:
    base = RunConfig("shapes", batch_size=8)
    chosen = ComparisonConfig(base, ("mlp", "mlp:batch_size=32"), images=640, num_seeds=1)
    jobs = [stages[-1] for _, _, stages in _jobs(chosen, tmp_path)]
    assert [job.config["batch_size"] for job in jobs] == [8, 32]
    assert [job.budget for job in jobs] == [{"steps": 80}, {"steps": 20}]
    assert [job.moments[-1] for job in jobs] == [80, 20]


def test_methods_that_transfer_start_from_the_source_and_the_others_do_not(folder: Path, tmp_path: Path) -> None:
    chosen = config(folder, "compact", "freeze_d", "mix_source", num_seeds=1, source="shapes_64", source_data="shapes")
    configs = [RunConfig(**stages[-1].config) for _, _, stages in _jobs(chosen, tmp_path)]
    assert [found.strategy for found in configs] == [None, "freeze_d", "mixing"]
    assert [found.start_from for found in configs] == [None, "shapes_64", "shapes_64"]
    assert [found.source_data for found in configs] == [None, None, "shapes"]


def test_a_method_that_transfers_needs_a_source(folder: Path) -> None:
    with pytest.raises(ValueError, match="none is given: lora"):
        config(folder, "compact", "lora", num_seeds=1)
