"""The verdict says what the numbers say, and how sure that is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import keras_t2i

from keras_t2i.runs.compare import ComparisonConfig, method
from keras_t2i.runs.compare.summary import markdown, summarize
from keras_t2i.runs.config import RunConfig

COSTS = {"compact": (80e6, 4.0, 6.0), "dcgan": (40e6, 2.0, 5.0), "mlp": (2e6, 1.0, 9.0)}


def result(method: str, **metrics: float) -> dict[str, Any]:
    multiply_adds, milliseconds, megabytes = COSTS[method]
    costs = {"generator_multiply_adds": multiply_adds, "litert_ms": milliseconds, "litert_megabytes": megabytes}
    common = {"status": "finished", "message": "", "steps": 10, "images_seen": 320, "minutes": 1.0}
    return {**common, "num_train": 100, "num_held_out": 10, "metrics": metrics, "resources": costs, "curve": []}


def comparison(results: dict[tuple[str, int], dict[str, Any]], methods: tuple[str, ...] = tuple(COSTS)) -> Any:
    return summarize(ComparisonConfig(RunConfig("shapes"), methods, minutes=1.0, num_seeds=2), results)


def verdict(found: Any) -> dict[str, tuple[str, str]]:
    return {row["question"]: (row["answer"], row["sentence"]) for row in found["verdict"]}


def test_a_clear_winner_is_called_one() -> None:
    shares = {"compact": (0.9, 0.96), "dcgan": (0.5, 0.6), "mlp": (0.0, 0.01)}
    found = comparison(
        {(name, seed): result(name, all_attributes=value) for name in shares for seed, value in enumerate(shares[name])}
    )
    answers = verdict(found)
    assert answers["Best quality"][0] == "compact"
    assert "with every seed" in answers["Best quality"][1]
    assert "93.0 % (90.0 % to 96.0 %)" in answers["Best quality"][1]
    assert answers["Best for the money"][0] == "compact"  # No other is nearly as good.
    assert answers["Smallest"][0] == "dcgan"
    assert answers["Fastest"][0] == "mlp"


def test_overlapping_seeds_are_no_victory_and_the_cheaper_wins_for_the_money() -> None:
    shares = {"compact": (0.8, 0.96), "dcgan": (0.85, 0.87), "mlp": (0.0, 0.01)}
    found = comparison(
        {(name, seed): result(name, all_attributes=value) for name in shares for seed, value in enumerate(shares[name])}
    )
    answers = verdict(found)
    assert "seeds overlap" in answers["Best quality"][1]
    assert answers["Best for the money"][0] == "dcgan"


def test_distances_are_better_when_lower() -> None:
    found = comparison(
        {("compact", 0): result("compact", kernel_distance=0.5), ("mlp", 0): result("mlp", kernel_distance=0.1)}
    )
    assert found["metrics"][0]["key"] == "kernel_distance"
    assert found["metrics"][0]["headline"]
    assert verdict(found)["Best quality"][0] == "mlp"
    assert "may be chance" in verdict(found)["Best quality"][1]


def test_diverged_and_missing_runs_stay_in_the_table() -> None:
    diverged = {"status": "diverged", "message": "not finite"}
    found = comparison(
        {("compact", 0): result("compact", all_attributes=0.9), ("mlp", 0): diverged, ("mlp", 1): diverged}
    )
    rows = [line for line in markdown(found).splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| Compact (ours) | 90.0 %")
    assert any("MLP" in row and "2 diverged" in row for row in rows)
    assert any("| DCGAN" in row and "not yet run" in row for row in rows)


def test_nothing_finished_has_no_verdict() -> None:
    found = comparison({})
    assert found["verdict"] == []
    assert "MLP GAN" in markdown(found)


@pytest.mark.parametrize(
    "config",
    [
        ComparisonConfig(RunConfig("shapes"), ("compact",), minutes=5.0),
        ComparisonConfig(
            RunConfig(
                "tfds:coco_captions",
                image_size=32,
                text_encoder="bert_tiny_en_uncased",
                batch_size=8,
                penalty="r1+r2",
                augment=True,
                caption_noise=0.5,
                flip=True,
                caption_column="what is seen",
                caption_template="a {label}",
                max_skipped_share=0.5,
                mixed_precision=True,
                content_features="mobilenet_v2",
            ),
            ("full", "compact:loss=hinge:batch_size=4"),
            images=640,
            num_seeds=1,
            features="none",
            judge="clip_vit_base_patch32",
            source="shapes_64",
            source_data="faces:300",
        ),
    ],
)
def test_the_command_that_is_told_does_the_same_again(
    config: ComparisonConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[ComparisonConfig] = []
    monkeypatch.setattr("keras_t2i.runs.compare.compare", lambda found, *_: again.append(found) or {})
    (command,) = summarize(config, {})["commands"]
    program, *arguments = shlex.split(command)
    assert program == "keras-t2i"
    assert keras_t2i(*arguments).code == 0
    assert again == [config]


def test_a_told_command_has_no_paths(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    config = ComparisonConfig(RunConfig(str(tmp_path / "photos")), ("compact",), minutes=1.0, source=str(tmp_path))
    assert str(tmp_path.parent) not in config.command


def test_old_names_of_methods_mean_the_same() -> None:
    for old, new in {"finetuned": "full", "mix_source": "mixing", "wasserstein": "wgan_gp"}.items():
        assert method(old) == method(new)


def test_equal_costs_are_decided_by_quality() -> None:
    found = {("compact", 0): result("compact", all_attributes=0.2), ("dcgan", 0): result("dcgan", all_attributes=0.9)}
    found["mlp", 0] = {**result("mlp", all_attributes=0.1), "resources": {"litert_ms": 1.98}}  # dcgan: 2.0
    assert verdict(comparison(found))["Fastest"][0] == "dcgan"
