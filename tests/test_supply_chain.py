"""What is installed is what was tested: the lock is whole, a wheel is built to the byte, and says what is in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
DOCUMENT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, BUILD = DOCUMENT["project"], DOCUMENT["build-system"]["requires"]
SCRIPT = ROOT / ".ci" / "sbom.py"


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_every_entry_of_the_lock_is_a_version_and_its_hashes(sbom: dict[str, Any]) -> None:
    entries = re.findall(r"^[\w.-]+==\S+", LOCK, re.MULTILINE)
    pins = [pin for each in sbom["locked"](LOCK).values() for pin in each]
    assert len(pins) == len(entries) > 100
    assert [f"{pin.name}=={pin.version}" for pin in pins if not pin.hashes] == []
    assert sum(len(pin.hashes) for pin in pins) == LOCK.count("--hash=")
    assert "://" not in LOCK  # Where files come from is for each machine to say.


def test_the_lock_has_all_that_the_package_its_tests_and_what_they_need_ask_for(sbom: dict[str, Any]) -> None:
    pins = sbom["locked"](LOCK)
    needed = sbom["needs"](asked(), [])
    graph = sbom["reached"](needed)
    assert len(graph) > len(needed)
    assert sorted(set(graph) - set(pins)) == []
    for name in graph:
        needed += sbom["needs"](sbom["requirements_of"](name), [])
    assert [str(each) for each in needed if not allowed(each, pins[canonicalize_name(each.name)])] == []


def asked() -> list[str]:
    """What it takes to build, run and test the package."""
    extras = PROJECT["optional-dependencies"]
    (own,) = [each for each in extras["dev"] if Requirement(each).name == PROJECT["name"]]
    lists = [PROJECT["dependencies"], extras["dev"], *(extras[name] for name in Requirement(own).extras)]
    return [*BUILD, *(each for requirements in lists for each in requirements if each != own)]


def allowed(requirement: Requirement, pins: list[Any]) -> bool:
    """Whether a locked version is one of those asked for; where there are several, each is for a Python of its own."""
    return any(requirement.specifier.contains(pin.version, prereleases=True) for pin in pins)


def copied(folder: Path, seconds: int) -> Path:
    """The sources as another checkout would have them, last changed at another time."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "keras_t2i", folder / "keras_t2i", ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))
    return folder


def made(sources: Path, *command: str) -> None:
    """Runs Python among the sources, with the same time to write into files and another order of sets each time."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000", "PYTHONHASHSEED": str(len(sources.name))}
    subprocess.run([sys.executable, *command], cwd=sources, env=environment, check=True, capture_output=True)


@pytest.mark.slow
def test_a_wheel_is_the_same_bytes_again(tmp_path: Path) -> None:
    digests = set()
    for name, seconds in (("one", 1_600_000_000), ("another", 1_700_000_000)):
        sources = copied(tmp_path / name, seconds)
        made(sources, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", "dist")
        (wheel,) = (sources / "dist").glob("*.whl")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_bill_of_materials_says_what_a_wheel_is_and_needs_in_the_same_bytes_again(
    sbom: dict[str, Any], tmp_path: Path
) -> None:
    sources = copied(tmp_path / "sources", 1_600_000_000)
    (sources / "dist").mkdir()
    hook = "from setuptools.build_meta import prepare_metadata_for_build_wheel as prepare; prepare('dist')"
    made(sources, "-c", hook)
    wheel = Path(shutil.make_archive(str(tmp_path / "wheel"), "zip", sources / "dist"))
    told = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        made(tmp_path / name, str(SCRIPT), str(wheel), "-o", "bill.json")
        told.append((tmp_path / name / "bill.json").read_bytes())
    assert told[0] == told[1]
    bill = json.loads(told[0])
    itself = bill["metadata"]["component"]
    assert (itself["name"], itself["version"]) == (PROJECT["name"], PROJECT["version"])
    assert itself["licenses"] == [{"expression": PROJECT["license"]}]
    assert itself["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    assert bill["metadata"]["timestamp"] == "2025-06-15T15:06:40Z"
    check_components(bill["components"], sbom["locked"](LOCK))
    check_edges(bill)


def check_components(components: list[dict[str, Any]], pins: dict[str, list[Any]]) -> None:
    scopes = {each["name"]: each["scope"] for each in components}
    assert scopes["tensorflow"] == scopes["h11"] == scopes["@litertjs/core"] == "required"
    assert scopes["jax"] == scopes["starlette"] == "optional"
    assert not {"pytest", "ruff", "mypy", PROJECT["name"]} & set(scopes)
    for each in components:
        if each["purl"].startswith("pkg:pypi/"):
            (pin,) = [pin for pin in pins[each["name"]] if pin.version == each["version"]]
            (file,) = each["externalReferences"]
            assert {known["content"] for known in file["hashes"]} == set(pin.hashes)
    assert sum("licenses" in each for each in components) > 0.9 * len(components)


def check_edges(bill: dict[str, Any]) -> None:
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    known = {each["bom-ref"] for each in [bill["metadata"]["component"], *bill["components"]]}
    assert set(edges) | {ref for refs in edges.values() for ref in refs} == known
    named = {ref.partition("@")[0]: refs for ref, refs in edges.items()}
    assert any(ref.startswith("pkg:pypi/keras-hub@") for ref in named["pkg:pypi/keras-nlp"])
