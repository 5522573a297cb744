"""Presets, adapters, checkpoints and bundles that mean harm, and how loading each of them ends.

    python examples/benchmarks/malicious_presets.py --output DIR

Every attack is built as real files with right checksums, checked to be really there, and loaded in a process of its
own, whose seconds (after imports) and memory (over what a good one takes) are measured. It should be refused with a
`ValueError` of one line within 2 seconds and 300 MiB, and run nothing. All of them take a few minutes, on Linux.
`--only WORD,WORD` loads those with such a word in their kind or name. What to expect: `examples/results/strangers.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SECONDS, MEBIBYTES, GIVEN_UP = 2.0, 300, 60
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "star")
HUGE = 30_000_000
CANARY = "canary"


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        kind: What the table counts it under.
        name: What it does.
        what: What is loaded: `preset`, `encoder`, `adapters`, `prompt`, `checkpoint` or `bundle`.
        make: Called with the path of a copy of a good one: turns it into the attack, and returns whether it is there.
        unsafe: Whether Keras' unsafe deserialization is switched on in the process that loads it.
    """

    kind: str
    name: str
    what: str
    make: Callable[[Path], bool]
    unsafe: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, required=True, help="directory to write to")
    parser.add_argument(
        "--only", default="", help="attacks with one of these words, set apart by commas, in their kind or name"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    else:
        print(table(run(options.output.resolve(), options.only)))


def run(output: Path, only: str = "") -> list[dict[str, Any]]:
    """Makes and loads the attacks; a dictionary of what came of each."""
    good = make_good(output / "good")
    chosen = [each for each in attacks(output) if any(word in f"{each.kind} {each.name}" for word in only.split(","))]
    loader = Loader()
    usual = {what: loader(what, good[what]) for what in sorted({each.what for each in chosen})}
    for what, result in usual.items():
        if result["ended"] != "loaded":
            raise SystemExit(f"The good {what} does not load: {result}")
    results = []
    for number, attack in enumerate(chosen):
        path = copy(good[attack.what], output / "attacks" / f"{number:03d}")
        there = attack.make(path)
        (output / CANARY).unlink(missing_ok=True)
        result = loader(attack.what, path, attack.unsafe)
        result |= {"kind": attack.kind, "name": attack.name, "there": there, "ran": (output / CANARY).exists()}
        result["over"] = max(0.0, result["grown"] - usual[attack.what]["grown"])
        result["good"] = is_good(result)
        print(json.dumps(result), file=sys.stderr, flush=True)
        results.append(result)
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    loader.close()
    (output / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def is_good(result: dict[str, Any]) -> bool:
    quick = result["seconds"] <= SECONDS and result["over"] <= MEBIBYTES
    return result["there"] and not result["ran"] and result["ended"] == "refused" and quick


def copy(good: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.is_dir():
        shutil.rmtree(to)
    return Path(shutil.copytree(good, to) if good.is_dir() else shutil.copyfile(good, to))


class Loader:
    """A process that has imported everything and loads nothing itself: it forks one of its own for each thing."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "--output", ".", "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, what: str, path: Path, unsafe: bool = False) -> dict[str, Any]:
        """How loading it ended, in how many seconds, by how many MiB memory grew, and how many layers were made."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, str(path), unsafe]) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(GIVEN_UP)


def serve() -> None:
    """What the process of `Loader` does."""
    import keras_nlp  # noqa: F401
    import tensorflow_text  # noqa: F401

    import keras_t2i.metrics
    import keras_t2i.models
    import keras_t2i.training
    import keras_t2i.transfer.prompt_tuning  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Whatever else is printed goes where it harms nothing.
    for line in sys.stdin:
        what, path, unsafe = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, json.dumps(load(what, Path(path), unsafe)).encode())
            os._exit(0)
        os.close(write)
        told: dict[str, Any] = {"ended": f"not within {GIVEN_UP} s", "line": "", "seconds": GIVEN_UP, "grown": 0}
        if select.select([read], [], [], GIVEN_UP)[0]:
            content = os.read(read, 1 << 16)
            told = json.loads(content) if content else {**told, "ended": "died", "seconds": 0}
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        print(json.dumps({"layers": 0, **told}), file=answers, flush=True)


def resident(name: str) -> float:
    """Memory of this process in MiB: `VmRSS` now, `VmHWM` at its highest."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1]) / 1024


def load(what: str, path: Path, unsafe: bool) -> dict[str, Any]:
    """Loads one thing: how it ended, in how many seconds, how memory grew, and how many layers had been made."""
    import keras

    import keras_t2i
    from keras_t2i.export.litert_runner import LiteRTBundle
    from keras_t2i.text import TextEncoder
    from keras_t2i.training.checkpoint import Checkpoints
    from keras_t2i.transfer.adapters import load_adapters
    from keras_t2i.transfer.prompt_tuning import SoftPrompt

    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))  # What goes wrong here is to end here.
    if unsafe:
        keras.config.enable_unsafe_deserialization()
    gan = tiny_gan() if what in ("adapters", "checkpoint") else None
    loaders: dict[str, Callable[[Path], Any]] = {
        "preset": keras_t2i.TextToImageGAN.from_preset,
        "encoder": TextEncoder.from_preset,
        "adapters": lambda path: load_adapters(gan, path),
        "prompt": SoftPrompt.load,
        "checkpoint": lambda path: Checkpoints(path).restore(gan),
        "bundle": lambda path: LiteRTBundle(path).generate_from_embeddings(np.zeros((1, 8), np.float32)),
    }
    made, new = [0], keras.layers.Layer.__new__

    def counted(cls: Any, *args: Any, **kwargs: Any) -> Any:
        made[0] += 1
        return new(cls, *args, **kwargs)

    keras.layers.Layer.__new__ = staticmethod(counted)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Forgets the peak of what was before.
    before, started, line = resident("VmRSS"), time.perf_counter(), ""
    try:
        loaders[what](path)
        ended = "loaded"
    except ValueError as error:
        line = str(error)
        ended = "refused in several lines" if "\n" in line or not line else "refused"
    except Exception as error:
        ended, line = type(error).__name__, str(error)[:300]
    seconds = round(time.perf_counter() - started, 3)
    grown = round(resident("VmHWM") - before, 1)
    return {"ended": ended, "line": line, "seconds": seconds, "grown": grown, "layers": made[0]}


def table(results: list[dict[str, Any]]) -> str:
    """A row a kind: how many, how they ended, the slowest, the largest."""
    rows = [
        "| kind | attacks | refused | otherwise | slowest | most memory | before any layer |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(result["kind"] for result in results):
        own = [result for result in results if result["kind"] == kind]
        others = [f"{each['name']}: {told(each)}" for each in own if not each["good"]]
        rows.append(
            f"| {kind} | {len(own)} | {len(own) - len(others)} | {'; '.join(others) or 'none'} "
            f"| {max(each['seconds'] for each in own):.2f} s | {max(each['over'] for each in own):.0f} MiB "
            f"| {sum(each['layers'] == 0 for each in own)} |"
        )
    refused = sum(result["good"] for result in results)
    return "\n".join([*rows, "", f"{refused} of {len(results)} attacks ended as they should."])


def told(result: dict[str, Any]) -> str:
    if not result["there"]:
        return "the attack is not there"
    code = "ran code, " if result["ran"] else ""
    return f"{code}{result['ended']}, {result['seconds']:.1f} s, {result['over']:.0f} MiB"


# What is good -------------------------------------------------------------------------------------------------------


def tiny_gan(text_encoder: Any = None, family: str = "mlp") -> Any:
    """A compiled model of a few thousand weights, the same one every time."""
    import keras

    from keras_t2i import TextToImageGAN
    from keras_t2i.networks import FAMILIES

    keras.utils.set_random_seed(7)
    found = FAMILIES[family]
    of_generator, of_discriminator = found.tiny(32)
    generator = found.generator(image_size=32, latent_dim=6, **of_generator)
    discriminator = found.discriminator(image_size=32, **of_discriminator)
    gan = TextToImageGAN(text_encoder, generator, discriminator, embedding_dim=None if text_encoder else 8)
    gan.compile(penalty=None)
    return gan


def make_good(directory: Path) -> dict[str, Path]:
    """One of each thing that can be loaded."""
    from keras_t2i.text import CaptionDenoiser, TextEncoder
    from keras_t2i.training.checkpoint import Checkpoints, TrainingState
    from keras_t2i.transfer.adapters import lora, save_adapters
    from keras_t2i.transfer.prompt_tuning import SoftPrompt

    shutil.rmtree(directory, ignore_errors=True)
    names = ("preset", "encoder", "adapters", "prompt", "checkpoint", "bundle")
    good = {name: directory / name for name in names}
    write_encoder(good["encoder"])
    gan = tiny_gan(TextEncoder.from_preset(good["encoder"]))
    gan.caption_denoiser = CaptionDenoiser(width=8)
    gan.caption_denoiser.build((None, gan.embedding_dim))
    gan.save_to_preset(good["preset"], card={"license": "CC0-1.0"})
    Checkpoints(good["checkpoint"]).save(tiny_gan(), TrainingState(step=1))
    plain = tiny_gan()
    plain.export(good["bundle"], format="litert")
    lora(plain, rank=2)
    save_adapters(plain, good["adapters"])
    SoftPrompt("mystar", np.zeros(16, np.float32), "0" * 64, "star", (1.0, 0.5)).save(good["prompt"])
    return good


def write_encoder(directory: Path) -> None:
    import keras_nlp

    size = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 16, "max_sequence_length": 64}
    backbone = keras_nlp.models.BertBackbone(vocabulary_size=len(WORDS), **size)
    tokenizer = keras_nlp.models.BertTokenizer(list(WORDS), lowercase=True)
    preprocessor = keras_nlp.models.BertTextEmbedderPreprocessor(tokenizer, sequence_length=32)
    keras_nlp.models.BertTextEmbedder(backbone, preprocessor).save_to_preset(str(directory))


# What changes it ----------------------------------------------------------------------------------------------------


def listed(directory: Path) -> None:
    """Right checksums, as whoever writes the files can make them."""
    from keras_t2i.core.files import CHECKSUMS, write_checksums

    if (directory / CHECKSUMS).exists():
        write_checksums(directory)


def changed(file: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], bool]:
    """An attack in a JSON file; it is there when the file has changed."""

    def make(directory: Path) -> bool:
        before = (directory / file).read_text(encoding="utf-8")
        config = json.loads(before)
        change(config)
        (directory / file).write_text(json.dumps(config), encoding="utf-8")
        listed(directory)
        return json.loads(before) != config

    return make


def replaced(file: str, content: bytes | Callable[[], bytes]) -> Callable[[Path], bool]:
    """An attack that is another file in the place of one."""

    def make(directory: Path) -> bool:
        path = directory / file if directory.is_dir() else directory
        path.write_bytes(content if isinstance(content, bytes) else content())
        if path.is_relative_to(directory) and directory.is_dir():
            listed(directory)
        return path.stat().st_size > 0

    return make


def running(make: Callable[[Path], bool], canary: Path) -> Callable[[Path], bool]:
    """An attack by a lambda; it is there if Keras, made to trust it, runs it."""

    def make_and_run(directory: Path) -> bool:
        import keras

        layer = keras.saving.deserialize_keras_object(lambda_layer(canary), safe_mode=False)
        layer(np.zeros((1, 1), np.float32))
        ran = canary.exists()
        canary.unlink(missing_ok=True)
        return make(directory) and ran

    return make_and_run


def lambda_layer(canary: Path) -> dict[str, Any]:
    """A layer whose marshalled code writes a file when it is called."""
    import keras

    code = eval(f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]")
    return dict(json.loads(json.dumps(keras.saving.serialize_keras_object(keras.layers.Lambda(code)))))


def function(module: str, name: str, registered: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered or name}


def hdf5(
    change: Callable[[Any, Path], Any], proof: Callable[[Any], bool], file: str = "generator.weights.h5"
) -> Callable[[Path], bool]:
    """An attack in a file of weights: something else in the place of the first kernel."""
    import h5py

    def make(directory: Path) -> bool:
        found: list[str] = []
        with h5py.File(directory / file, "r+") as weights:
            weights.visititems(lambda name, item: found.append(name) if getattr(item, "ndim", 0) == 2 else None)
            change((weights, found[0]), directory)
            there = proof((weights, found[0]))
        listed(directory)
        return bool(there)

    return make


def instead(**how: Any) -> Callable[[Any, Path], None]:
    def change(place: Any, directory: Path) -> None:
        weights, name = place
        del weights[name]
        weights.create_dataset(name, **how)

    return change


def filled(value: float, dtype: str = "float32") -> Callable[[Any, Path], None]:
    def change(place: Any, directory: Path) -> None:
        weights, name = place
        values = weights[name][()].astype(dtype)
        values[0, 0] = value
        del weights[name]
        weights[name] = values

    return change


def links_out(place: Any, directory: Path) -> None:
    import h5py

    weights, name = place
    del weights[name]
    weights[name] = h5py.ExternalLink("/etc/hostname.h5", "/secret")


def links_within(place: Any, directory: Path) -> None:
    import h5py

    weights, name = place
    del weights[name]
    weights[name] = h5py.SoftLink("/nowhere")


def stored_outside(place: Any, directory: Path) -> None:
    weights, name = place
    shape, dtype = weights[name].shape, weights[name].dtype
    del weights[name]
    weights.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, int(np.prod(shape)) * 4)])


def virtual(place: Any, directory: Path) -> None:
    import h5py

    weights, name = place
    shape, dtype = weights[name].shape, weights[name].dtype
    del weights[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("/etc/elsewhere.h5", "secret", shape)
    weights.create_virtual_dataset(name, layout)


def texts(place: Any, directory: Path) -> None:
    import h5py

    weights, name = place
    del weights[name]
    weights.create_dataset(name, (4, 4), h5py.string_dtype())


def many_names(place: Any, directory: Path) -> None:
    weights, name = place
    weights["loop"] = weights["/"]
    weights[name].parent["loop"] = weights["/"]
    filled(float("nan"))(place, directory)


def npz_of_pickles() -> bytes:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, generator=np.array([{"pickled": print}], dtype=object))
    return buffer.getvalue()


def zip_bomb() -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("generator/0000.npy", "generator/0001.npy"):
            with archive.open(name, "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 28,)}
                )
                for _ in range(1 << 6):
                    member.write(bytes(1 << 24))
    return buffer.getvalue()


def safetensors(header: dict[str, Any], length: int | None = None, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def signed(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Callable[[Path], bool]:
    """An attack in a file of tensors, with a right digest."""

    def make(path: Path) -> bool:
        from safetensors import safe_open

        from keras_t2i.transfer.tensor_file import write_tensors

        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata.pop("sha256")
        before = repr((tensors, metadata))
        change(tensors, metadata)
        write_tensors(path, metadata.pop("format"), tensors, metadata)
        return before != repr((tensors, metadata))

    return make


def manifest(
    change: Callable[[dict[str, Any]], Any], arrays: Callable[[], bytes] | None = None
) -> Callable[[Path], bool]:
    """An attack in a checkpoint, with right digests."""
    import hashlib

    def make(directory: Path) -> bool:
        folder = next(directory.glob("checkpoint-*"))
        told = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        del told["manifest_sha256"]
        if arrays is not None:
            (folder / "arrays.npz").write_bytes(arrays())
            told["arrays_sha256"] = hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest()
        change(told)
        told["manifest_sha256"] = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
        return True

    return make


def nan_arrays(directory: Path) -> bool:
    import io

    folder = next(directory.glob("checkpoint-*"))
    with np.load(folder / "arrays.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["generator/0004"] = np.full_like(arrays["generator/0004"], np.nan)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return manifest(lambda told: None, buffer.getvalue)(directory)


def family_of(family: str, side: str, **settings: Any) -> Callable[[Path], bool]:
    """A preset of that family whose configuration asks for far more than its weights are."""

    def make(directory: Path) -> bool:
        shutil.rmtree(directory)
        gan = tiny_gan(family=family)
        gan.save_to_preset(directory)
        return changed("config.json", lambda config: config[side]["config"].update(settings))(directory)

    return make


# The attacks --------------------------------------------------------------------------------------------------------


def attacks(output: Path) -> Iterator[Attack]:
    canary = output / CANARY
    yield from code_attacks(canary)
    yield from size_attacks()
    yield from hdf5_attacks()
    yield from json_attacks()
    yield from folder_attacks()
    yield from archive_attacks()


def with_tokenizer(values: dict[str, str]) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["config"]["preprocessor"]["config"]["tokenizer"]["config"].update(values)

    return change


def code_attacks(canary: Path) -> Iterator[Attack]:
    network = "code in a network's configuration"

    def of(file: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], bool]:
        return running(changed(file, change), canary)

    def in_place(key: str) -> Callable[[dict[str, Any]], Any]:
        return lambda config: config.update({key: lambda_layer(canary)})

    yield Attack(network, "a lambda as the generator", "preset", of("config.json", in_place("generator")))
    yield Attack(network, "the same, unsafe setting on", "preset", of("config.json", in_place("generator")), True)

    def settings(**values: Any) -> Callable[[Path], bool]:
        return changed("config.json", lambda config: config["generator"]["config"].update(values))

    def about(**values: Any) -> Callable[[Path], bool]:
        return changed("config.json", lambda config: config["generator"].update(values))

    lambda_code = {"class_name": "__lambda__", "config": {"value": "x"}}
    yield Attack(network, "a lambda as the activation", "preset", settings(activation=lambda_code), True)
    yield Attack(network, "os.system as the type", "preset", settings(dtype=function("os", "system")))
    yield Attack(
        network, "exec under a registered name", "preset", settings(dtype=function("builtins", "exec", "keras_t2i>x"))
    )
    yield Attack(
        network,
        "an address to fetch",
        "preset",
        settings(name=function("keras.utils", "get_file"), origin="http://localhost/x"),
    )
    yield Attack(network, "a foreign class under our name", "preset", about(module="os", class_name="system"))
    yield Attack(
        network,
        "a class of Keras by a registered name",
        "preset",
        about(registered_name="keras>Lambda", class_name="Lambda"),
    )
    yield Attack(
        network,
        "the name of a discriminator",
        "preset",
        about(registered_name="keras_t2i>MLPDiscriminator", class_name="MLPDiscriminator"),
    )
    upscaled = {"registered_name": "keras_t2i>UpscaledGenerator", "class_name": "UpscaledGenerator"}
    yield Attack(
        network,
        "a lambda inside a second stage",
        "preset",
        of(
            "config.json",
            lambda config: config["generator"].update(
                **upscaled, config={"source": lambda_layer(canary), "image_size": 64}
            ),
        ),
        True,
    )
    yield Attack(
        network,
        "a functional model with a lambda",
        "preset",
        of(
            "config.json",
            lambda config: config["generator"].update(
                module="keras",
                class_name="Functional",
                registered_name="Functional",
                config={"layers": [lambda_layer(canary)]},
            ),
        ),
        True,
    )
    yield Attack(
        network,
        "a lambda in the denoiser",
        "preset",
        of("config.json", lambda config: config["caption_denoiser"].update(dtype=lambda_layer(canary))),
        True,
    )

    encoder = "code in a text encoder"
    for what, folder in (("preset", "text_encoder/"), ("encoder", "")):
        where = "in a preset" if folder else "alone"
        yield Attack(
            encoder,
            f"{where}: a lambda as the tokenizer",
            what,
            of(
                f"{folder}task.json",
                lambda config: config["config"]["preprocessor"]["config"].update(tokenizer=lambda_layer(canary)),
            ),
            True,
        )
        yield Attack(
            encoder,
            f"{where}: a lambda under KerasNLP's name",
            what,
            of(
                f"{folder}config.json",
                lambda config: config.update({**lambda_layer(canary), "registered_name": "keras_hub>BertBackbone"}),
            ),
            True,
        )
        yield Attack(
            encoder,
            f"{where}: a function of a module",
            what,
            changed(
                f"{folder}preprocessor.json", lambda config: config["config"].update(truncate=function("os", "system"))
            ),
        )
    yield Attack(
        encoder,
        "alone: code to compile with",
        "encoder",
        of("config.json", lambda config: config.update(compile_config={"loss": lambda_layer(canary)})),
        True,
    )
    yield Attack(
        encoder,
        "alone: a lambda inside lists",
        "encoder",
        of("task.json", lambda config: config["config"].update(extra=[[lambda_layer(canary)]])),
        True,
    )
    elsewhere = "files elsewhere, named in a text encoder"
    for name, values in {
        "a vocabulary without end": {"vocabulary": "/dev/zero"},
        "a vocabulary in another place": {"vocabulary": "/etc/passwd"},
        "a folder of assets in another place": {"config_file": "/etc/tokenizer.json"},
    }.items():
        yield Attack(elsewhere, name, "encoder", changed("task.json", with_tokenizer(values)), True)

    def sharded(directory: Path) -> bool:
        (directory / "model.weights.h5").unlink()
        (directory / "model.weights.json").write_text(json.dumps({"weight_map": {"x": "../../secret.weights.h5"}}))
        return True

    yield Attack(elsewhere, "weights by a way up", "encoder", sharded)


def size_attacks() -> Iterator[Attack]:
    from keras_t2i.networks import FAMILIES

    kind = "a configuration larger than its weights"
    for family in FAMILIES:
        yield Attack(
            kind, f"{family}: noise of {HUGE:,} numbers", "preset", family_of(family, "generator", latent_dim=HUGE)
        )
    yield Attack(kind, "mlp: a width of 10^12", "preset", family_of("mlp", "generator", text_width=10**12))
    yield Attack(kind, "compact: 10^9 layers", "preset", family_of("compact", "discriminator", depth=10**9))
    yield Attack(
        kind, "compact: images of 2^30 pixels", "preset", family_of("compact", "generator", image_size=1 << 30)
    )
    yield Attack(kind, "compact: 10^9 words", "preset", family_of("compact", "generator", vocabulary_size=10**9))

    def whole(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], bool]:
        return changed("config.json", change)

    yield Attack(kind, "embeddings of 10^9 numbers", "preset", whole(lambda config: config.update(embedding_dim=10**9)))
    yield Attack(
        kind, "a denoiser 10^6 wide", "preset", whole(lambda config: config["caption_denoiser"].update(width=10**6))
    )
    yield Attack(
        kind, "a denoiser of 10^9 steps", "preset", whole(lambda config: config["caption_denoiser"].update(steps=10**9))
    )

    def both(directory: Path, **values: int) -> bool:
        for file in ("config.json", "task.json"):

            def change(config: dict[str, Any]) -> None:
                found = config["config"]
                found.get("backbone", config)["config"].update(values)

            changed(file, change)(directory)
        return True

    yield Attack(kind, "text encoder: 10^9 words", "encoder", lambda path: both(path, vocabulary_size=10**9))
    yield Attack(kind, "text encoder: 10^9 layers", "encoder", lambda path: both(path, num_layers=10**9))
    yield Attack(kind, "text encoder: 10^9 positions", "encoder", lambda path: both(path, max_sequence_length=10**9))
    yield Attack(kind, "text encoder: 10^6 wide", "encoder", lambda path: both(path, hidden_dim=10**6))
    yield Attack(
        kind,
        "text encoder in a preset: 10^9 words",
        "preset",
        lambda path: both(path / "text_encoder", vocabulary_size=10**9) and not listed(path),
    )


def hdf5_attacks() -> Iterator[Attack]:
    import h5py

    kind = "HDF5"

    def link(place: Any) -> Any:
        return place[0].get(place[1], getlink=True)

    def data(place: Any) -> Any:
        return place[0][place[1]]

    def some(test: Callable[[Any], Any]) -> Callable[[Any], bool]:
        return lambda place: bool(test(data(place)[()]).any())

    large = {"shape": (1 << 16, 1 << 16), "dtype": "float32"}
    yield Attack(
        kind, "an external link", "preset", hdf5(links_out, lambda place: isinstance(link(place), h5py.ExternalLink))
    )
    yield Attack(
        kind, "a soft link", "preset", hdf5(links_within, lambda place: isinstance(link(place), h5py.SoftLink))
    )
    yield Attack(kind, "external storage", "preset", hdf5(stored_outside, lambda place: bool(data(place).external)))
    yield Attack(kind, "a virtual dataset", "preset", hdf5(virtual, lambda place: data(place).is_virtual))
    yield Attack(
        kind,
        "16 GiB that were never written",
        "preset",
        hdf5(instead(**large), lambda place: data(place).nbytes == 1 << 34),
    )
    yield Attack(
        kind,
        "16 GiB in compressed pieces",
        "preset",
        hdf5(instead(**large, chunks=(256, 256), compression="gzip"), lambda place: data(place).chunks is not None),
    )
    piece = {
        "shape": (1, 1),
        "maxshape": (None, None),
        "chunks": (1 << 14, 1 << 14),
        "dtype": "float32",
        "compression": "gzip",
        "data": np.ones((1, 1), np.float32),
    }
    yield Attack(
        kind,
        "one number in a piece of 1 GiB",
        "preset",
        hdf5(instead(**piece), lambda place: data(place).chunks == (1 << 14, 1 << 14)),
    )
    yield Attack(kind, "texts for numbers", "preset", hdf5(texts, lambda place: data(place).dtype.kind == "O"))
    yield Attack(
        kind, "groups within themselves", "preset", hdf5(many_names, lambda place: place[0]["loop/loop"] == place[0])
    )
    yield Attack(
        kind,
        "16 GiB in a text encoder",
        "encoder",
        hdf5(instead(**large), lambda place: data(place).nbytes == 1 << 34, "model.weights.h5"),
    )
    lies = "numbers that are not finite"
    for name, what, value, is_there, *file in (
        ("NaN in the generator", "preset", np.nan, np.isnan),
        ("infinity in the discriminator", "preset", np.inf, np.isinf, "discriminator.weights.h5"),
        ("NaN in the denoiser", "preset", np.nan, np.isnan, "caption_denoiser.weights.h5"),
        ("NaN in a text encoder", "encoder", np.nan, np.isnan, "model.weights.h5"),
    ):
        yield Attack(lies, name, what, hdf5(filled(value), some(is_there), *file))
    yield Attack(
        lies,
        "10^300, which float32 cannot hold",
        "preset",
        hdf5(filled(1e300, "float64"), lambda place: data(place)[()].max() > 1e299),
    )
    yield Attack(
        lies, "NaN in adapters", "adapters", signed(lambda tensors, about: next(iter(tensors.values())).fill(np.nan))
    )
    yield Attack(lies, "NaN in a soft prompt", "prompt", signed(lambda tensors, about: tensors["vector"].fill(np.nan)))
    yield Attack(lies, "NaN in a checkpoint", "checkpoint", nan_arrays)
    swapped = "other files under a known name"
    yield Attack(swapped, "a pickle for weights", "preset", replaced("generator.weights.h5", pickle.dumps(print)))
    yield Attack(
        swapped, "an archive of pickles for weights", "preset", replaced("generator.weights.h5", npz_of_pickles)
    )
    yield Attack(
        swapped,
        "half of the weights",
        "preset",
        lambda path: replaced("generator.weights.h5", (path / "generator.weights.h5").read_bytes()[:4000])(path),
    )
    yield Attack(
        swapped,
        "the discriminator's weights for the generator's",
        "preset",
        lambda path: replaced("generator.weights.h5", (path / "discriminator.weights.h5").read_bytes())(path),
    )


def json_attacks() -> Iterator[Attack]:
    kind = "JSON"
    for name, content in {
        "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
        "900 levels in the card": b'{"format": "keras_t2i preset 3", "card": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
        "a number of a million digits": b'{"format": ' + b"9" * 1_000_000 + b"}",
        "5 million lists": b"[" + b"[]," * 5_000_000 + b"[]]",
        "100 MB of spaces": b" " * 100_000_000,
        "not UTF-8": b'{"format": "\xff\xfe"}',
        "a list for everything": b"[]",
    }.items():
        yield Attack(kind, name, "preset", replaced("config.json", content))

    def text(old: str, new: str) -> Callable[[Path], bool]:
        def make(directory: Path) -> bool:
            before = (directory / "config.json").read_text(encoding="utf-8")
            (directory / "config.json").write_text(before.replace(old, new, 1), encoding="utf-8")
            listed(directory)
            return before.replace(old, new, 1) != before

        return make

    yield Attack(
        kind, "one key twice", "preset", text('"embedding_dim": 16', '"embedding_dim": 16, "embedding_dim": 17')
    )
    yield Attack(kind, "NaN", "preset", text('"embedding_dim": 16', '"embedding_dim": NaN'))
    yield Attack(kind, "1e999", "preset", text('"conditioning_dropout": 0.0', '"conditioning_dropout": 1e999'))
    yield Attack(
        kind, "a card that is a list", "preset", changed("config.json", lambda config: config.update(card=["x"]))
    )
    yield Attack(
        kind, "a card that is a text", "preset", changed("config.json", lambda config: config.update(card="x"))
    )
    yield Attack(kind, "no networks", "preset", changed("config.json", lambda config: config.pop("generator")))
    yield Attack(
        kind, "100,000 levels in a text encoder", "encoder", replaced("tokenizer.json", b"[" * 100_000 + b"]" * 100_000)
    )


def folder_attacks() -> Iterator[Attack]:
    kind = "folders"

    def pipe(directory: Path, file: str) -> bool:
        (directory / file).unlink(missing_ok=True)
        os.mkfifo(directory / file)
        return stat.S_ISFIFO((directory / file).lstat().st_mode)

    def link(directory: Path, file: str, to: str) -> bool:
        path = directory / file
        path.unlink(missing_ok=True)
        path.symlink_to(to)
        return path.is_symlink()

    def hollow(directory: Path, file: str) -> bool:
        with open(directory / file, "r+b") as weights:
            weights.truncate(1 << 40)
        found = (directory / file).stat()
        return found.st_size == 1 << 40 and found.st_blocks * 512 < 1 << 30

    def deep(directory: Path) -> bool:
        place = directory
        for _ in range(200):
            place = place / "d"
        place.mkdir(parents=True)
        return place.is_dir()

    def many(directory: Path) -> bool:
        for number in range(20_000):
            (directory / str(number)).touch()
        listed_ok = len(os.listdir(directory)) > 20_000
        return listed_ok

    def climbing(directory: Path) -> bool:
        (directory.parent / "outside.txt").write_text("secret")
        with open(directory / "SHA256SUMS", "a", encoding="utf-8") as file:
            file.write(f"{'0' * 64}  ../outside.txt\n")
        return "../outside" in (directory / "SHA256SUMS").read_text(encoding="utf-8")

    def odd_name(directory: Path) -> bool:
        with open(os.fsencode(directory) + b"/\xff\n", "w"):
            return True

    yield Attack(kind, "a pipe for weights", "preset", lambda path: pipe(path, "generator.weights.h5"))
    yield Attack(kind, "a pipe for the configuration", "preset", lambda path: pipe(path, "config.json"))
    yield Attack(kind, "a pipe for the checksums", "preset", lambda path: pipe(path, "SHA256SUMS"))
    yield Attack(kind, "a pipe in a text encoder", "encoder", lambda path: pipe(path, "tokenizer.json"))
    yield Attack(kind, "a pipe for a vocabulary", "encoder", lambda path: pipe(path, "assets/tokenizer/vocabulary.txt"))
    yield Attack(
        kind,
        "a pipe for arrays of a checkpoint",
        "checkpoint",
        lambda path: pipe(next(path.glob("checkpoint-*")), "arrays.npz"),
    )
    yield Attack(kind, "a device for weights", "preset", lambda path: link(path, "generator.weights.h5", "/dev/zero"))
    yield Attack(
        kind,
        "a device for weights of a text encoder",
        "encoder",
        lambda path: link(path, "model.weights.h5", "/dev/zero"),
    )
    yield Attack(kind, "a link out of the preset", "preset", lambda path: link(path, "README.md", "/etc/passwd"))
    yield Attack(kind, "a way up in the checksums", "preset", climbing)
    yield Attack(kind, "a name that is no text", "preset", odd_name)
    yield Attack(kind, "weights of 1 TiB that are a hole", "preset", lambda path: hollow(path, "generator.weights.h5"))
    yield Attack(kind, "checksums of 1 TiB that are a hole", "preset", lambda path: hollow(path, "SHA256SUMS"))
    yield Attack(kind, "folders 200 deep", "preset", deep)
    yield Attack(kind, "20,000 files", "preset", many)


def archive_attacks() -> Iterator[Attack]:
    kind = "safetensors, archives and bundles"
    lying = {"vector": {"dtype": "F32", "shape": [10**10], "data_offsets": [0, 4 * 10**10]}}
    yield Attack(kind, "40 GB in the header of 80 bytes", "prompt", lambda path: replaced("", safetensors(lying))(path))
    yield Attack(kind, "a header of 2^62 bytes", "prompt", lambda path: replaced("", safetensors(lying, 1 << 62))(path))
    yield Attack(
        kind,
        "a header of 100 MB",
        "prompt",
        lambda path: replaced("", safetensors({"__metadata__": {"x": "x" * 100_000_000}}))(path),
    )

    def hugging_face(directory: Path) -> bool:
        (directory / "model.safetensors").write_bytes(safetensors(lying))
        return True

    yield Attack(kind, "the same beside a text encoder", "encoder", hugging_face)
    yield Attack(
        kind, "adapters of rank 10^9", "adapters", signed(lambda tensors, about: about.update(rank="1000000000"))
    )
    yield Attack(
        kind,
        "adapters for layers that are not there",
        "adapters",
        signed(lambda tensors, about: about.update(layers='["os.system"]')),
    )
    yield Attack(kind, "adapters that say nothing", "adapters", signed(lambda tensors, about: about.pop("rank")))
    yield Attack(kind, "adapters times NaN", "adapters", signed(lambda tensors, about: about.update(alpha="nan")))
    yield Attack(
        kind,
        "a soft prompt in five dimensions",
        "prompt",
        signed(lambda tensors, about: tensors.update(vector=np.zeros((1, 1, 1, 1, 16), np.float32))),
    )
    yield Attack(kind, "a checkpoint of pickles", "checkpoint", manifest(lambda told: None, npz_of_pickles))
    yield Attack(kind, "a checkpoint that unpacks to 2 GiB", "checkpoint", manifest(lambda told: None, zip_bomb))
    yield Attack(kind, "a checkpoint without counters", "checkpoint", manifest(lambda told: told.pop("state")))
    yield Attack(
        kind,
        "a bundle with noise of 10^9 numbers",
        "bundle",
        changed("bundle.json", lambda bundle: bundle["generator"]["inputs"]["latents"].update(shape=[1, 10**9])),
    )
    yield Attack(
        kind,
        "a bundle whose network lies elsewhere",
        "bundle",
        changed("bundle.json", lambda bundle: bundle["generator"].update(file="../../generator.tflite")),
    )
    yield Attack(
        kind, "a bundle without checksums", "bundle", changed("bundle.json", lambda bundle: bundle.update(sha256={}))
    )


if __name__ == "__main__":
    main()
