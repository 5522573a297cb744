"""What can be served as it is, and what has to be exported first."""

from __future__ import annotations

import json
from pathlib import Path

from keras_t2i.runs.shipping import _exported


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_exports_are_told_from_runs_that_hold_some(tmp_path: Path) -> None:
    run, tree = tmp_path / "run", tmp_path / "tree"
    touch(run / "saved_model" / "saved_model.pb")
    touch(run / "serving" / "shapes" / "1" / "saved_model.pb")
    touch(tree / "shapes" / "1" / "saved_model.pb")
    (tree / "serving.json").write_text(json.dumps({"name": "shapes"}))
    assert _exported(run) is None
    assert _exported(tmp_path / "shapes_64") is None  # The name of a preset.
    assert _exported(run / "saved_model") == run / "saved_model"
    assert _exported(tree) == tree / "shapes"
    assert _exported(tree / "shapes") == tree / "shapes"
