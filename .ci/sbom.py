"""Writes what a wheel is and needs, as CycloneDX JSON: from the same wheel, lock and environment the same bytes.

    .venv/bin/pip wheel . --no-deps --no-build-isolation -w dist
    .venv/bin/python .ci/sbom.py dist/keras_t2i-0.1.0-py3-none-any.whl -o dist/keras_t2i-0.1.0.cdx.json

Versions and hashes are those of `requirements.txt`, a hash for each file that is published of a version. Who needs
whom, and under which licence, is what installed packages say of themselves: run it where `requirements.txt` is
installed. What the page brings along is in `export/web/package-lock.json`. What only those need who change this package
is left out, and so are extras that are not locked. The time is that of `SOURCE_DATE_EPOCH`, where it is set.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import datetime
import email.message
import email.parser
import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import urllib.parse
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK, PAGE_LOCK = ROOT / "requirements.txt", ROOT / "export" / "web" / "package-lock.json"
NOT_FOR_USERS = {"dev"}
MACHINES = [
    {"os_name": os_name, "sys_platform": platform, "platform_system": system, "python_version": version,
     "python_full_version": f"{version}.0"}
    for (os_name, platform, system), version in itertools.product(
        [("posix", "linux", "Linux"), ("posix", "darwin", "Darwin"), ("nt", "win32", "Windows")],
        ["3.11", "3.12", "3.13"],
    )
]  # fmt: skip
"""Where the package runs."""


@dataclasses.dataclass(frozen=True)
class Pin:
    """An entry of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(text: str) -> dict[str, list[Pin]]:
    """The entries of a lock by name; a name has several where Pythons differ."""
    pins: dict[str, list[Pin]] = {}
    for entry in re.sub(r"#.*", "", text).replace("\\\n", " ").splitlines():
        if entry.strip():
            requirement = Requirement(entry.partition("--hash")[0])
            (exactly,) = requirement.specifier
            name = canonicalize_name(requirement.name)
            hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry))
            pins.setdefault(name, []).append(Pin(name, exactly.version, hashes))
    return pins


def requirements_of(name: str) -> list[str]:
    """What a package says that it needs; nothing where it is not installed, as it may be for other machines."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def needs(requirements: Iterable[str], extras: Iterable[str]) -> list[Requirement]:
    """Those of the requirements that hold on some machine, with one of the extras or without any."""
    found = map(Requirement, requirements)
    machines = [{**machine, "extra": extra} for machine in MACHINES for extra in ("", *extras)]
    return [each for each in found if each.marker is None or any(map(each.marker.evaluate, machines))]


def reached(first: list[Requirement]) -> dict[str, set[str]]:
    """Every package that is needed, by its name, and what it needs itself, as far as it is installed."""
    graph: dict[str, set[str]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(first)
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        theirs = needs(requirements_of(name), extras)
        graph.setdefault(name, set()).update(canonicalize_name(each.name) for each in theirs)
        waiting += theirs
    return graph


def licences(metadata: Any) -> list[dict[str, Any]]:
    """What a package's metadata say of its licence, as CycloneDX has it."""
    if metadata["License-Expression"]:
        return [{"expression": metadata["License-Expression"]}]
    classifiers = metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    text = metadata["License"] or ""
    return [{"license": {"name": each}} for each in names or [text] if each and "\n" not in each]


def component(pin: Pin, scope: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": each} for each in pin.hashes]
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.url,
        "name": pin.name,
        "version": pin.version,
        "scope": scope,
        "purl": pin.url,
        "externalReferences": [{"type": "distribution", "url": pin.url, "hashes": hashes}],
    }
    try:
        installed = importlib.metadata.distribution(pin.name)
    except importlib.metadata.PackageNotFoundError:
        return found
    if installed.version == pin.version and (told := licences(installed.metadata)):
        found["licenses"] = told
    return found


def bundled(lock: dict[str, Any]) -> list[dict[str, Any]]:
    """The packages whose code the page is built of, from npm's lock."""
    found = []
    for place, package in sorted(lock["packages"].items()):
        if place and not package.get("dev"):
            name = place.rpartition("node_modules/")[2]
            url = f"pkg:npm/{urllib.parse.quote(name)}@{package['version']}"
            digest = base64.b64decode(package["integrity"].removeprefix("sha512-"), validate=True).hex()
            found.append(
                {
                    "type": "library",
                    "bom-ref": url,
                    "name": name,
                    "version": package["version"],
                    "scope": "required",
                    "purl": url,
                    "hashes": [{"alg": "SHA-512", "content": digest}],
                    "licenses": [{"expression": package["license"]}],
                }
            )
    return found


def described(wheel: Path, pins: dict[str, list[Pin]], epoch: str | None) -> dict[str, Any]:
    """The bill of materials of a wheel.

    Raises:
        ValueError: if the wheel needs what is not locked.
    """
    metadata, digest = _metadata(wheel), hashlib.sha256(wheel.read_bytes()).hexdigest()
    itself = Pin(canonicalize_name(metadata["Name"]), metadata["Version"], ())
    told = metadata.get_all("Requires-Dist") or []
    optional = set(metadata.get_all("Provides-Extra") or []) - NOT_FOR_USERS
    always = needs(told, [])
    with_extras = [each for each in needs(told, optional) if each in always or canonicalize_name(each.name) in pins]
    required, graph = reached(always), reached(with_extras)
    if missing := sorted(set(graph) - set(pins)):
        raise ValueError(f"{missing[0]} is needed and not in {LOCK.name}: lock it, as its first lines say.")

    def edges(who: str, names: Iterable[str], others: Iterable[str] = ()) -> dict[str, Any]:
        return {"ref": who, "dependsOn": sorted([*others, *(pin.url for name in names for pin in pins[name])])}

    page = bundled(json.loads(PAGE_LOCK.read_text("utf-8")))
    chosen = [pin for name in sorted(graph) for pin in pins[name]]
    when = {} if epoch is None else {"timestamp": _time(int(epoch))}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{itself.url}#{digest}").urn,
        "version": 1,
        "metadata": {
            **when,
            "component": {
                "type": "library",
                "bom-ref": itself.url,
                "name": itself.name,
                "version": itself.version,
                "description": metadata["Summary"],
                "licenses": licences(metadata),
                "purl": itself.url,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
        },
        "components": [
            *(component(pin, "required" if pin.name in required else "optional") for pin in chosen),
            *page,
        ],
        "dependencies": [
            edges(itself.url, {canonicalize_name(each.name) for each in with_extras}, [each["purl"] for each in page]),
            *(edges(pin.url, graph[pin.name]) for pin in chosen),
        ],
    }


def _metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return email.parser.BytesParser().parsebytes(archive.read(name))


def _time(epoch: int) -> str:
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    bill = described(options.wheel, locked(LOCK.read_text("utf-8")), os.environ.get("SOURCE_DATE_EPOCH"))
    options.output.write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
