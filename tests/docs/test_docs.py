"""The pages do what they say: every command and every block of Python runs, with budgets cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import keras_t2i
from doc_pages import GUIDES, NOTEBOOKS, README, Block, blocks, commands, cut, name, shortened

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")

_DONE: set[tuple[str, ...]] = set()
"""Commands that have run: several pages have some in common."""


def run_command(arguments: list[str]) -> None:
    short = cut(arguments)
    if tuple(short) in _DONE:
        return
    done = keras_t2i(*short)
    assert done.code == 0, f"keras-t2i {' '.join(short)}\n{done.err}"
    _DONE.add(tuple(short))


def run_python(source: str, where: str, namespace: dict[str, Any]) -> None:
    exec(compile(shortened(source), where, "exec"), namespace)


def run_block(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    if block.language == "python":
        run_python("\n" * (block.line - 1) + block.text, name(page), namespace)
    if block.language == "bash":
        for words in commands(block.text):
            assert words[0] == "keras-t2i", f"{name(page)}:{block.line}: {words} is no command of the package"
            run_command(words[1:])


SLOW = {"comparing"}
"""Pages whose commands start processes of their own: `compare` itself is tested in `tests/compare`."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in SLOW), id=page.stem) for page in [README, *GUIDES]],
)
def test_a_page_runs_from_top_to_bottom(page: Path, in_place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        run_block(block, page, namespace)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook: Path, in_place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            run_python("".join(cell["source"]), f"{notebook.name}:{cell['id']}", namespace)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_is_valid_and_stores_no_output(notebook: Path) -> None:
    book = json.loads(notebook.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        assert isinstance(cell["source"], list)
        assert isinstance(cell["metadata"], dict)
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            assert not any(line.lstrip().startswith(("!", "%")) for line in cell["source"]), "shell magic"
        else:
            assert cell["cell_type"] == "markdown"
