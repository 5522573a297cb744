"""Where the name of a preset leads: one rule, whoever asks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from keras_t2i.presets.names import describe, is_name, packaged_presets, resolve
from keras_t2i.runs.config import RunConfig


def test_a_folder_named_like_a_packaged_preset_does_not_shadow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = packaged_presets()
    assert {"shapes_64", "emoji_64"} <= set(packaged)
    shutil.copytree(packaged["emoji_64"], tmp_path / "shapes_64")
    monkeypatch.chdir(tmp_path)
    assert resolve("shapes_64") == packaged["shapes_64"]
    assert is_name("shapes_64")
    assert not is_name("./shapes_64")
    assert resolve("./shapes_64").resolve() == tmp_path / "shapes_64"
    assert describe("shapes_64")["description"] != describe("./shapes_64")["description"]
    # What a run was begun with stays what it is, from whatever folder it is resumed.
    assert RunConfig("shapes", start_from="shapes_64").start_from == "shapes_64"
    assert RunConfig("shapes", start_from="./shapes_64").start_from == str(tmp_path / "shapes_64")


def test_a_run_means_its_preset_and_what_is_neither_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copytree(packaged_presets()["shapes_64"], tmp_path / "run" / "preset")
    assert resolve(tmp_path / "run") == tmp_path / "run" / "preset"
    for missing, told in ((tmp_path, "has no preset in it"), (tmp_path / "none", "is not a directory")):
        with pytest.raises(ValueError, match=told) as error:
            resolve(missing)
        assert "\n" not in str(error.value)
        assert "shapes_64" in str(error.value)
