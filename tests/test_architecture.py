"""The house stays as it was drawn: who imports whom, what starts without TensorFlow, how much a file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "keras_t2i"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = (
    "core report serve",
    "networks",
    "text image_features data objectives",
    "presets export",
    "models",
    "transfer training metrics",
    "tasks",
    "runs",
    "cli",
    "__main__",
)
"""From the ground up. A room imports its own files and what lies on lower floors, for types too; nothing beside it."""
ALONE = ("report", "serve")
"""Plain data in, a page out; an artefact, whoever made it, served: they import nothing of ours."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
MAX_ENTRIES, MAX_LINES = 20, 350
named = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "keras_t2i"


def imports(file: Path) -> set[str]:
    """Every module that a file names: in any import, for types as well, and in references such as "module:name"."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in submodules if name in MODULES} or {str(node.module)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            reference = re.fullmatch(r"(keras_t2i[\w.]*):\w+", node.value)
            found |= {reference[1]} if reference else set()
    return found


def ours(file: Path) -> set[str]:
    return {name for name in imports(file) if name.split(".")[0] == "keras_t2i"}


@named
def test_imports_lead_down(file: Path) -> None:
    module = module_of(file)
    room = room_of(module)
    if module == "keras_t2i":
        return  # The front door: it knows every room, and opens each at first use (tested below).
    assert room in FLOOR_OF, f"{room} is a new room: say on which floor it lies"
    for name in ours(file) - {"keras_t2i"}:  # The version is known to all.
        assert name in MODULES, f"{module} imports {name}, which is not there"
        other = room_of(name)
        assert other == room or (room not in ALONE and FLOOR_OF[other] < FLOOR_OF[room]), f"{module} imports {name}"


def test_there_is_no_circle() -> None:
    arrows = {module: {name for name in ours(file) if name != module} for module, file in MODULES.items()}
    arrows = {module: {n for n in names if n in MODULES and n != "keras_t2i"} for module, names in arrows.items()}
    del arrows["keras_t2i"]  # Its names are loaded at first use.
    # A package's front door offers what its modules hold, and a table says where its entries are in its own room: both
    # are imported at first use, by whoever asks.
    arrows = {m: {n for n in names if not n.startswith(f"{m}.")} for m, names in arrows.items()}
    arrows["keras_t2i.data.names"] -= {n for n in arrows["keras_t2i.data.names"] if room_of(n) == "data"}
    arrows["keras_t2i.networks.families"] -= {n for n in arrows["keras_t2i.networks.families"] if "Family" not in n}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in arrows[module]:
                visit(name, (*path, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


def test_no_module_is_called_as_what_its_package_offers_lazily() -> None:
    """Whoever imported the module first would get that, and not what it offers."""
    found = 0
    for file in FILES:
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "lazy":
                offers = {name for names in ast.literal_eval(call.args[1]).values() for name in names}
                assert not offers & {path.stem for path in file.parent.iterdir()}, file
                found += 1
    assert found >= 5


def test_the_package_is_seen_at_a_glance() -> None:
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MAX_ENTRIES
    assert {path.name for path in entries if path.is_file()} <= {"__init__.py", "__main__.py", "py.typed"}
    told = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in entries:
        assert path.is_file() or f"`{path.name}/`" in told, f"CONTRIBUTING.md has no line for {path.name}/"


def test_names_are_looked_up_in_one_table_each() -> None:
    tables: dict[str, list[str]] = {}
    for module, file in MODULES.items():
        for name in re.findall(r"^([A-Z_]+): Table\[", file.read_text(encoding="utf-8"), flags=re.MULTILINE):
            tables.setdefault(name, []).append(module)
    assert {name for name, homes in tables.items() if len(homes) > 1} == set()
    assert {"FAMILIES", "LOSSES", "PENALTIES", "STRATEGIES", "METHODS", "FORMATS", "TASKS", "MEASURES"} <= set(tables)


@pytest.mark.parametrize(
    "file",
    [file for room in ("networks", "objectives") for file in sorted((PACKAGE / room).glob("*.py"))],
    ids=lambda file: str(file.relative_to(PACKAGE)),
)
def test_what_is_trained_is_free_of_tensorflow(file: Path) -> None:
    assert not {name for name in imports(file) if name.split(".")[0] in ("tensorflow", "torch", "jax")}


def test_private_names_of_others_are_used_in_one_place() -> None:
    """They may change with any release: whoever raises the bounds in pyproject.toml looks at that file first."""
    ours, used = {"_asdict", "_fields", "_replace"}, {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                ours.add(node.id)
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
                if isinstance(node.ctx, ast.Store):
                    ours.add(node.attr)
                else:
                    used[node.attr] = used.get(node.attr, set()) | {module_of(file)}
    found = {name: modules for name, modules in used.items() if name not in ours}
    assert set().union(*found.values()) == {"keras_t2i.core.keras_internals"}, found
    told = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    for name in ("keras", "tensorflow"):
        assert any(re.fullmatch(rf"{name}>=[\d.]+,<[\d.]+", each) for each in told), f"{name} has no upper bound"


@named
def test_files_are_short(file: Path) -> None:
    """How many ways lead through a function is bounded by ruff (C901)."""
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", ["keras_t2i", "keras_t2i.cli", "keras_t2i.cli.making", "keras_t2i.runs"])
def test_import_needs_no_tensorflow(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'numpy'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_module_has_one_identity_under_its_old_name_too() -> None:
    code = """
import keras_t2i.losses as old
from keras_t2i.objectives import losses as new
from keras_t2i import losses
from keras_t2i.gan import TextToImageGAN
from keras_t2i.presets import FAMILIES, build_gan
import keras_t2i
assert old is new is losses and new.__spec__.name == "keras_t2i.objectives.losses"
assert keras_t2i.TextToImageGAN is TextToImageGAN and keras_t2i.networks.FAMILIES is FAMILIES
assert build_gan is keras_t2i.models.build_gan
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@named
def test_data_with_arrays_compares_as_a_whole_or_not_at_all(file: Path) -> None:
    """Comparing arrays field by field raises, from Python 3.13 on even where they are the same object."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            made = [ast.unparse(each) for each in node.decorator_list if "dataclass" in ast.unparse(each)]
            fields = [ast.unparse(each.annotation) for each in node.body if isinstance(each, ast.AnnAssign)]
            if made and any("ndarray" in field for field in fields):
                assert "eq=False" in made[0], node.name


OPENERS = {
    "h5py.File": {"core.gate", "presets.half"},
    "zipfile.ZipFile": {"core.gate"},
    "safe_open": {"core.gate", "transfer.tensor_file"},
    "load_weights": {"models.files", "models.stylizer", "text.stable_diffusion"},
    "deserialize_keras_object": {"text.tokens", "networks.nested", "models.manners"},
    "keras_nlp.models.TextEmbedder.from_preset": {"text.encoder"},
    "keras_nlp.models.Backbone.from_preset": {"text.encoder"},
    "keras_nlp.models.TextClassifierPreprocessor.from_preset": {"text.encoder"},
    "keras_hub.models.StableDiffusion3TextToImagePreprocessor.from_preset": {"models.stable_diffusion"},
    "keras_hub.models.StableDiffusion3Backbone.from_preset": {"models.stable_diffusion"},
    "keras_nlp.models.CLIPBackbone.from_preset": {"metrics.clip"},
    "keras_nlp.models.CLIPPreprocessor.from_preset": {"metrics.clip"},
    "tf.saved_model.load": {"serve.model", "metrics.resources"},
    "load_checkpoint": {"serve.model"},
    "Interpreter": {"export.litert_runner", "export.stylizer", "metrics.resources"},
}
"""What opens files or builds what they say, and where. All of it goes through `core.gate` and `core.limits`, but for
what was written a moment ago (`half`, `resources`, `export.stylizer`), what Keras' own `load_model` has opened
(`manners`), and SavedModels, which are programs. What a preset's generator is around (`nested`) is looked through
before it is built."""
NEVER = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "yaml", "tarfile"}
_DANGEROUS = {"eval", "exec", "load_model", "read_pickle", "enable_unsafe_deserialization", "unpack_archive"}


def calls(file: Path) -> list[tuple[str, ast.Call]]:
    found = [each for each in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(each, ast.Call)]
    return [(ast.unparse(each.func), each) for each in found]


@named
def test_files_of_strangers_are_opened_at_the_gate(file: Path) -> None:
    here = module_of(file).removeprefix("keras_t2i.")
    assert not {name.split(".")[0] for name in imports(file)} & NEVER
    for name, call in calls(file):
        assert name.split(".")[-1] not in _DANGEROUS or name.startswith("re."), f"{here} calls {name}"
        foreign = name.startswith(("keras_nlp.", "keras_hub.")) and name.endswith(".from_preset")
        for opener, modules in OPENERS.items():
            assert not (name == opener or name.endswith(f".{opener}")) or here in modules, f"{here} calls {name}"
        assert not foreign or name in OPENERS, f"{here} calls {name}"
        if name in ("np.load", "numpy.load"):
            told = {each.arg: ast.unparse(each.value) for each in call.keywords}
            assert told.get("allow_pickle") == "False", f"{here} loads arrays that may be pickles"


def test_every_opener_is_one_that_is_used() -> None:
    used = {name for file in FILES for name, _ in calls(file)}
    for opener in OPENERS:
        assert any(name == opener or name.endswith(f".{opener}") for name in used), opener


def test_what_keras_nlp_opens_was_looked_through() -> None:
    """Its `from_preset`, and what builds a preprocessor, stand in a block that the gate opens."""
    for module in ("text.encoder", "text.tokens", "text.stable_diffusion", "metrics.clip", "models.stable_diffusion"):
        tree = ast.parse(MODULES[f"keras_t2i.{module}"].read_text(encoding="utf-8"))
        blocks = [each for each in ast.walk(tree) if isinstance(each, ast.With)]
        gated = [each for each in blocks if any(ast.unparse(item).startswith("opened(") for item in each.items)]
        within = {id(call) for block in gated for call in ast.walk(block)}
        loads = [
            each
            for each in ast.walk(tree)
            if isinstance(each, ast.Call)
            and (
                ast.unparse(each.func).startswith(("keras_nlp.models.", "keras_hub.models."))
                or "deserialize" in ast.unparse(each.func)
            )
        ]
        assert loads
        assert all(id(each) in within for each in loads), module
