"""The pages name only what there is: commands, options, names, files, links; and the README is short."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import keras_t2i
from doc_pages import GUIDES, PAGES, README, ROOT, blocks, commands, name, prose, slugs, spans

GUIDES_AND_README = [README, *GUIDES]
SCRIPTS = sorted((ROOT / "examples").glob("*/*.py"))
FOLDERS = ("examples/", "tests/", "keras_t2i/", "export/", ".ci/")


@pytest.fixture(scope="module")
def program() -> Any:
    keras_t2i("--help")  # Registers every command.
    from keras_t2i.cli.app import app

    return typer.main.get_command(app)


def find(program: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words that follow."""
    command, rest = program, list(words)
    while hasattr(command, "commands"):
        assert rest, f"{' '.join(words)!r} names a group of commands, and none of it"
        assert rest[0] in command.commands, f"there is no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    return command, rest


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def all_options(command: Any) -> set[str]:
    return options_of(command).union(
        ["--help"], *(all_options(inner) for inner in getattr(command, "commands", {}).values())
    )


def check_options(program: Any, words: list[str]) -> None:
    """Every option of a command that has placeholders in it exists."""
    command, rest = find(program, words)
    known = {*options_of(command), "--help"}
    unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word not in known]
    assert not unknown, f"keras-t2i {' '.join(words)}: no such options: {unknown}"
    if "--methods" in rest:
        check_methods(command, rest[rest.index("--methods") + 1])


def check_methods(command: Any, methods: str) -> None:
    (option,) = [parameter for parameter in command.params if "--methods" in parameter.opts]
    known = set(re.findall(r"\w+", option.help))
    for method in methods.split(","):
        base = method.partition(":")[0]
        assert base in known, f"compare knows no method {base!r}"


def parse(program: Any, words: list[str]) -> None:
    """Parses a whole command as the program would, without doing what it says."""
    command, rest = find(program, words)
    if "--help" in rest:
        return
    try:
        command.make_context(words[0], list(rest))
    except Exception as error:  # Typer's own, whose class has moved from release to release.
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        pytest.fail(f"keras-t2i {' '.join(words)}: {message}")


def fenced(page: Path, *languages: str) -> list[tuple[int, list[str]]]:
    return [
        (block.line, words) for block in blocks(page) if block.language in languages for words in commands(block.text)
    ]


# -- the README ----------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_is_read_in_one_sitting(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert 30 <= len(lines) <= 150
    assert lines[2].startswith("After this page you can"), "a guide begins with what its reader will be able to do"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_table_is_followed_by_what_to_conclude(page: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+\n(.*)", prose(page) + "\n", re.MULTILINE)
    assert all(after.startswith("What to conclude:") for after in tables), tables


@pytest.mark.parametrize("page", sorted((ROOT / "examples" / "results").glob("*.md")), ids=lambda page: page.stem)
def test_a_table_of_results_says_where_it_is_from(page: Path) -> None:
    if page.stem == "README":
        listed = set(re.findall(r"\]\((\w+)\.md\)", prose(page)))
        assert listed == {other.stem for other in page.parent.glob("*.md")} - {"README"}
        return
    for part in re.split(r"^## ", prose(page), flags=re.MULTILINE):
        if re.search(r"^\|", part, re.MULTILINE):
            facts = ("**Conclusion:**", "- Command:", "- Processor:", "- Written down:", "- Seeds:")
            missing = [fact for fact in facts if fact not in part]
            assert not missing, f"{part.splitlines()[0]}: {missing}"


# -- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", GUIDES_AND_README, ids=name)
def test_every_command_in_a_block_is_one(page: Path, program: Any) -> None:
    for line, words in fenced(page, "bash", "console"):
        if words[0] == "keras-t2i":
            check_options(program, words[1:])
            parse(program, words[1:])
        else:
            assert words[0] == "python", f"{name(page)}:{line}: {words}"
            check_script(words[1:])


def check_script(words: list[str]) -> None:
    """A script of the repository has every option that it is called with."""
    script = ROOT / words[0]
    assert script.is_file(), f"there is no {words[0]}"
    known = set(re.findall(r"[\"'](--?[a-z][\w-]*)[\"']", script.read_text(encoding="utf-8")))
    unknown = [word for word in words[1:] if re.match(r"--?[a-z]", word) and word not in known]
    assert not unknown, f"{words[0]} has no options {unknown}"


@pytest.mark.parametrize("page", sorted(set(PAGES) - set(GUIDES_AND_README)), ids=name)
def test_every_command_in_a_block_of_another_page_is_one(page: Path, program: Any) -> None:
    for block in blocks(page):
        lines = [line for line in block.text.splitlines() if line.startswith("keras-t2i ")]
        for words in commands("\n".join(lines)):
            check_options(program, words[1:])
            parse(program, words[1:])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_the_text_is_one(page: Path, program: Any) -> None:
    for span in spans(page):
        for words in commands(span):
            if words[0] == "keras-t2i" and len(words) > 1 and words[1] != "--help":
                check_options(program, words[1:])
            if words[0] == "python" and len(words) > 1 and words[1].startswith(FOLDERS):
                check_script(words[1:])


@pytest.mark.parametrize("page", GUIDES_AND_README, ids=name)
def test_every_option_in_the_text_is_one_of_some_command(page: Path, program: Any) -> None:
    known = all_options(program)
    for span in spans(page):
        if span.startswith("--"):
            assert span.split()[0] in known, f"no command has the option {span!r}"


@pytest.mark.parametrize("page", sorted((ROOT / "examples" / "results").glob("*.md")), ids=name)
def test_every_option_in_the_results_is_one_of_some_command_or_script(page: Path, program: Any) -> None:
    known = all_options(program)
    for script in SCRIPTS:
        known |= set(re.findall(r"\"(--[a-z][\w-]*)\"", script.read_text(encoding="utf-8")))
    for span in spans(page):
        if span.startswith("--"):
            unknown = [word for word in span.split() if word.startswith("--") and word not in known]
            assert not unknown, f"no command or script has {unknown}"


def test_commands_that_install_and_test_are_those_of_the_project(program: Any) -> None:
    """They are not run: their parts are in pyproject.toml and in what every change has to pass."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    markers = project["tool"]["pytest"]["ini_options"]["markers"]
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace(" --quiet", "").replace("-qq ", "")
    assert any(marker.startswith("slow:") for marker in markers)
    assert any("pdoc" in requirement for requirement in extras["dev"])
    assert re.search(r"apt-get install .*\bchromium\b", gate)

    def is_told(tool: str, rest: list[str]) -> bool:
        if tool == "pip" and "--no-deps" not in rest:
            extra = rest[-1].partition("[")[2].removesuffix("]")
            return rest[0] == "install" and (rest[1:] == ["."] or extra in extras)
        return {
            "python3": rest == ["-m", "venv", ".venv"],
            "apt-get": rest == ["install", "chromium"],
            "pdoc": rest[:1] == ["keras_t2i"],
            "python": rest == ["-m", "pytest", "-m", "slow"] or f'/python" {" ".join(rest)}\n' in gate,
            "pip": f'/pip" {" ".join(rest)}\n' in gate,
        }[tool]

    for page in GUIDES_AND_README:
        for line, words in fenced(page, ""):
            tool, rest = words[0].removeprefix(".venv/bin/"), words[1:]
            if tool == "keras-t2i":
                parse(program, rest)
            else:
                assert is_told(tool, rest), f"{name(page)}:{line}: {' '.join(words)}"


def test_the_two_commands_are_in_the_readme() -> None:
    venv = "python3 -m venv .venv && .venv/bin/pip install"
    assert [block.text for block in blocks(README) if block.language == ""][:2] == [
        f"{venv} . && .venv/bin/keras-t2i quickstart --output quickstart\n",
        f"{venv} --no-deps -r requirements.txt && .venv/bin/pip install --no-deps -e . && "
        ".venv/bin/python -m pytest -n 2 --dist loadfile\n",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "my_images", "--output", "run", "--minute", "5"], "no such options: .*--minute"),
        (["trian", "my_images"], "no command 'trian'"),
        (["compare", "shapes", "--methods", "compact,diffusion"], "no method 'diffusion'"),
    ],
)
def test_a_wrong_name_is_found(program: Any, words: list[str], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_options(program, words)


def test_a_wrong_value_is_found(program: Any) -> None:
    with pytest.raises(pytest.fail.Exception, match="port"):
        parse(program, ["serve", "my_run", "--port", "many"])


# -- names, files, links -------------------------------------------------------------------------------------------


def resolve(dotted: str) -> None:
    """Finds what a dotted name stands for: modules as far as they go, then attributes."""
    parts = dotted.split(".")
    found: Any = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:number]))
            except ImportError as error:
                raise AssertionError(f"there is no {'.'.join(parts[:number])}") from error
        found = getattr(found, part)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_name_of_the_package_exists(page: Path) -> None:
    code = [*spans(page), *(block.text for block in blocks(page) if block.language == "python")]
    for text in code:
        if "_keras_t2i" not in text:
            for dotted in re.findall(r"(?<![\w./])keras_t2i(?:\.[A-Za-z_]\w*)+", text):
                resolve(dotted)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        path = span.split()[0].rstrip("/")
        if not path.startswith(FOLDERS) or path == "examples/research":
            continue
        assert list(ROOT.glob(path)), f"there is no {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_link_is_dead(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in slugs(found), f"{target}: no such heading"


def test_every_picture_is_shown_somewhere() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", prose(page))
    }
    assert set((ROOT / "examples" / "images").glob("*.png")) <= shown
