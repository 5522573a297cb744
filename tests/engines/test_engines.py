"""TensorFlow and JAX: the same losses and gradients, presets that go to and fro, and training without TensorFlow."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from checks import FAMILIES
from packaging.requirements import Requirement
from PIL import Image

from keras_t2i import TextToImageGAN
from keras_t2i.data import PackedImages
from keras_t2i.models import build_gan
from keras_t2i.runs import RunConfig, train
from keras_t2i.runs.packing import pack

pytest.importorskip("jax")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NEEDED = ("jax", "keras", "pillow", "filelock", "platformdirs")
"""What is installed where TensorFlow is not, with all that these need."""
BATCH_NORMALIZED = "dcgan"
"""Here the R1 penalty's gradient is another in TensorFlow, whose mean and variance are not made to be differentiated
twice: see the test of it."""


def run(script: str, *arguments: object, backend: str, **environment: str) -> subprocess.Popen[str]:
    """Starts a script of this folder; JAX compiles quickly, and what it compiles is slow."""
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    variables = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": flags, "PYTHONPATH": paths, **environment}
    bare = ["-S"] if "PYTHONPATH" in environment else []
    command = [sys.executable, *bare, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What `one_step.py` finds on each backend."""
    place = tmp_path_factory.mktemp("steps")
    families = (*FAMILIES, "flow")
    running = [run("one_step.py", place / f"{name}.npz", *families, backend=name) for name in ("tensorflow", "jax")]
    for process in running:
        finish(process)
    return {name: dict(np.load(place / f"{name}.npz")) for name in ("tensorflow", "jax")}


@pytest.mark.parametrize("due", ["due", "not_due"])
@pytest.mark.parametrize("family", [*FAMILIES, "flow"])
def test_losses_and_gradients_are_the_same_in_both(steps: Any, family: str, due: str) -> None:
    ours, theirs = steps["tensorflow"], steps["jax"]
    assert ours.keys() == theirs.keys()
    names = [name for name in ours if name.startswith(f"{family}/{due}/")]
    assert sum("/gradient/" in name for name in names) > 8
    assert family == "flow" or (ours[f"{family}/{due}/number/penalty"] > 0) == (
        due == "due" or family in ("wgan_gp", "df_gan")
    )
    for name in names:
        tolerance = 1e-4 if "/gradient/" in name else 1e-5
        if family == BATCH_NORMALIZED and due == "due" and "/gradient/discriminator/" in name:
            continue
        scale = float(np.abs(ours[name]).max())
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0, atol=tolerance * scale + 1e-7, err_msg=name)


def test_a_shift_before_batch_normalization_costs_no_penalty_and_jax_knows_it(steps: Any) -> None:
    """Why the one gradient is left out above: whatever is added before the mean is taken away changes nothing."""
    bias = "dcgan/due/gradient/discriminator/009"
    assert steps["jax"][bias].shape == (4,)
    assert np.abs(steps["jax"][bias]).max() < 1e-6


@pytest.mark.parametrize("family", ["compact", "mlp", "flow"])
def test_a_whole_step_ends_with_the_same_weights_and_averages(steps: Any, family: str) -> None:
    ours, theirs = steps["tensorflow"], steps["jax"]
    names = [name for name in ours if name.startswith((f"{family}/after/", f"{family}/log/"))]
    assert len(names) > 30
    for name in names:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, np.ndarray]]:
    """Where packed images were trained on, what was said, and what was drawn, in a Python without TensorFlow."""
    place = tmp_path_factory.mktemp("elsewhere")
    (place / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(24):
        color, rgb = (("red", (200, 30, 30)), ("blue", (30, 30, 200)))[number % 2]
        pixels = np.clip(np.asarray(rgb) + random.normal(0, 20, (40, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / "images" / f"{number:02d}.png")
        (place / "images" / f"{number:02d}.txt").write_text(f"a {color} picture\na picture, {color}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        told = pack(RunConfig(str(place / "images"), image_size=32), place / "packed")
    assert told["train_images"] + told["validation_images"] == 24
    np.save(place / "text.npy", TextToImageGAN.from_preset("shapes_64").text_encoder.encode(["a red star"]))
    finish(run("without_tensorflow.py", place / "packed", place, backend="jax", PYTHONPATH=bare_python(place)))
    with np.load(place / "drawn.npz") as drawn:
        return place, json.loads((place / "told.json").read_text()), dict(drawn)


def bare_python(place: Path) -> str:
    """Paths with links to `NEEDED`, to all that they need and to this package, and to nothing else."""
    found, waiting = set(), [*NEEDED, "h5py", "rich"]
    site = place / "site"
    site.mkdir()
    while waiting:
        name = waiting.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # Of another system.
        if distribution.metadata["Name"] in found:
            continue
        found.add(distribution.metadata["Name"])
        for file in distribution.files or []:
            top = Path(distribution.locate_file(file.parts[0]))
            if file.parts[0] not in ("..", "__pycache__") and not (site / top.name).exists():
                (site / top.name).symlink_to(top)
        waiting += [Requirement(each).name for each in distribution.requires or [] if "extra ==" not in each]
    (site / "keras_t2i").unlink(missing_ok=True)
    (site / "keras_t2i").symlink_to(ROOT / "keras_t2i")
    return str(site)


def test_it_trains_where_there_is_no_tensorflow(elsewhere: Any) -> None:
    _, told, drawn = elsewhere
    assert not any(told["installed"].values())
    assert all(told["moved"])
    assert all(np.isfinite(values).all() and len(values) == 3 for values in told["history"].values())
    assert {"val_generator_loss", "penalty"} < told["history"].keys()
    assert told["evaluated"]["discriminator_loss"] > 0
    np.testing.assert_array_equal(drawn["again"], drawn["trained"])
    assert drawn["trained"].std() > 1


def test_what_needs_tensorflow_says_so_in_one_line(elsewhere: Any) -> None:
    _, told, _ = elsewhere
    assert "install keras-nlp and tensorflow" in told["captions"]
    assert "KERAS_BACKEND=tensorflow" in told["export"]
    assert "captions are read ahead of time" in told["strings"]
    assert all("\n" not in told[name] for name in ("captions", "export", "strings"))


def test_a_loss_that_is_not_finite_stops_training_and_changes_no_weight(elsewhere: Any) -> None:
    _, told, _ = elsewhere
    assert told["not_finite"].startswith("FloatingPointError: Training stopped")
    assert told["kept"]
    assert told["steps"] == 3 * told["batches"] > 0


def test_a_step_that_does_not_fit_names_a_batch_that_does(elsewhere: Any) -> None:
    _, told, _ = elsewhere
    message = "A training step on 4 images of 32 pixels does not fit into the memory: take batches of 2, which need"
    assert told["memory"].startswith(f"MemoryError: {message}")

    def huge(images: Any) -> Any:
        return images + keras.ops.mean(keras.random.uniform((10**6, 10**7)))

    gan = build_gan("mlp", None, 32, embedding_dim=8, augmentation=huge)
    batch = {"images": np.zeros((4, 32, 32, 3), np.float32), "sentence_embeddings": np.ones((4, 8), np.float32)}
    before = gan.get_weights()
    with pytest.raises(MemoryError, match=message):
        gan.fit(batch, batch_size=4, verbose=0)
    assert all(np.array_equal(old, new) for old, new in zip(before, gan.get_weights(), strict=True))


def test_its_presets_draw_the_same_here_and_read_captions(elsewhere: Any, tmp_path: Path) -> None:
    place, _, drawn = elsewhere
    gan = TextToImageGAN.from_preset(place / "preset")
    text = PackedImages.read(place / "packed").train.embeddings[:5].astype("float32")
    difference = np.abs(gan.generate_from_embeddings(text, seed=3).astype(int) - drawn["trained"])
    assert difference.max() <= 1  # One step of 255, where rounding differs.
    assert gan.text_encoder.packaged_name == "caption_mini_en"
    assert gan.generate("a red picture").shape == (1, 32, 32, 3)
    gan.export(tmp_path / "bundle", "litert")
    shapes = TextToImageGAN.from_preset("shapes_64")
    theirs = drawn["shapes"].astype(int)
    assert np.abs(shapes.generate_from_embeddings(np.load(place / "text.npy"), seed=3) - theirs).max() <= 1


def test_a_run_begun_there_goes_on_here(elsewhere: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, _ = elsewhere
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    config = RunConfig(str(place / "images"), "mlp", image_size=32, batch_size=4, start_from=str(place / "preset"))
    train(config, tmp_path / "run", steps=2, verbose=0)
    before, after = (TextToImageGAN.from_preset(path) for path in (place / "preset", tmp_path / "run"))
    moved = [np.abs(old - new).max() for old, new in zip(before.get_weights(), after.get_weights(), strict=True)]
    assert 0 < max(moved) < 0.1  # Two steps from where it was, not from the start.


def test_with_tensorflow_beside_it_jax_reads_captions_too(tmp_path: Path) -> None:
    finish(run("captions_in_jax.py", tmp_path / "drawn.npz", backend="jax", XDG_CACHE_HOME=str(tmp_path / "cache")))
    ours = TextToImageGAN.from_preset("shapes_64")
    with np.load(tmp_path / "drawn.npz") as theirs:
        embeddings = ours.text_encoder.encode(["a red star", "a blue circle"])
        np.testing.assert_allclose(theirs["embeddings"], embeddings, atol=1e-5)
        drawn = ours.generate(["a red star", "a blue circle"], seed=3)
        assert np.abs(theirs["images"].astype(int) - drawn).max() <= 1
        assert theirs["steps"] == 2
        first, second = theirs["trained_to"]
        assert second == 2 * first > 0
        assert np.isfinite(theirs["losses"]).all()
        assert theirs["source_kept"]
        assert len(theirs["out_of_range"]) == 2
        assert all("'images' in [-1, 1], floating point; got values from" in said for said in theirs["out_of_range"])
        assert "Images are measured in `fit` with TensorFlow, and Keras runs on 'jax'" in str(theirs["refused"])
        assert theirs["enlarged"].shape == (2, 64, 64, 3)
    assert TextToImageGAN.from_preset(tmp_path / "run").generate("a red star").shape == (1, 32, 32, 3)


def test_other_backends_are_refused_in_one_line() -> None:
    code = "import keras; keras.backend.backend = lambda: 'torch'; import keras_t2i.models"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode != 0
    assert "Keras runs on 'torch' here, and keras_t2i on TensorFlow and JAX" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "KERAS_BACKEND",
            "torch",
            "Keras runs on 'torch' here, and keras_t2i on TensorFlow and JAX: set KERAS_BACKEND=",
        ),
        (
            "TF_USE_LEGACY_KERAS",
            "1",
            "TF_USE_LEGACY_KERAS=1 has TensorFlow use Keras 2, and keras_t2i needs Keras 3: unset",
        ),
    ],
)
def test_what_nothing_runs_on_is_refused_before_anything_is_imported(
    name: str, value: str, line: str, tmp_path: Path
) -> None:
    """On the command line and in Python, also where torch is not installed."""
    command = f"""
import sys
from keras_t2i.cli import main
try:
    main(["train", "shapes", "-o", {str(tmp_path / "run")!r}])
except SystemExit as exit:
    print(exit.code, sorted({{"tensorflow", "keras", "torch"}} & set(sys.modules)))
import keras_t2i
keras_t2i.TextToImageGAN
"""
    environment = {**os.environ, name: value, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.stdout == "2 []\n"
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"Error: {line}")
    assert lines[-1].startswith(f"ImportError: {line}")
    assert not (tmp_path / "run").exists()


def test_packed_images_are_those_of_the_folder_and_come_in_one_order(elsewhere: Any) -> None:
    packed = PackedImages.read(elsewhere[0] / "packed")
    assert packed.image_size == 32
    first, second = (packed.batches(batch_size=4, seed=1) for _ in range(2))
    for number in range(len(first)):
        for name, values in first[number][0].items():
            np.testing.assert_array_equal(values, second[number][0][name])
    batch = first[0][0]
    assert batch["images"].dtype == np.float32
    assert np.abs(batch["images"]).max() <= 1
    reds = batch["images"][..., 0].mean(axis=(1, 2)) > batch["images"][..., 2].mean(axis=(1, 2))
    named = TextToImageGAN.from_preset("shapes_64").text_encoder.encode(["a red picture", "a picture, red"])
    near = np.abs(batch["sentence_embeddings"][:, None] - named[None]).max(axis=2).min(axis=1) < 0.01
    np.testing.assert_array_equal(reds, near)  # Each image with one of its own captions.
    second.on_epoch_end()
    assert any(not np.array_equal(first[i][0]["images"], second[i][0]["images"]) for i in range(len(first)))
    flipped = packed.batches(batch_size=4, seed=1, horizontal_flip=True)
    assert any(not np.array_equal(first[i][0]["images"], flipped[i][0]["images"]) for i in range(len(first)))


@pytest.mark.parametrize("damage", ["missing", "json", "format", "cut"])
def test_what_is_not_packed_is_refused_in_one_line(elsewhere: Any, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "packed"
    shutil.copytree(elsewhere[0] / "packed", folder)
    about = folder / "packed.json"
    if damage == "missing":
        (folder / "train-starts.npy").unlink()
    elif damage == "cut":
        (folder / "images-00000.bin").write_bytes((folder / "images-00000.bin").read_bytes()[:200])
    else:
        about.write_text({"json": "{", "format": about.read_text().replace("packed 2", "packed 9")}[damage])
    with pytest.raises(ValueError, match="holds no packed images") as error:
        PackedImages.read(folder)
    assert "\n" not in str(error.value)
