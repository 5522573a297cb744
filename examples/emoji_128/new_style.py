"""A style that emoji_128 has never seen, from 60 pictures: is it drawn, and are names still told apart?

Command:  python examples/emoji_128/new_style.py make NEW
          keras-t2i finetune emoji_128 NEW/known --strategy translate -o RUN --steps N
          python examples/emoji_128/new_style.py measure NEW FOLDER emoji_128 RUN --known --squeezenet FILE
Needs:    npm; resvg-py; to measure, the folder of make_data.py, and SqueezeNet 1.0 as measure_in_squeezenet.py reads
          it
Cost:     a minute to make, five minutes of one core to measure
Result:   NEW/train, 60 captioned pictures in Fluent's high contrast, black on white (copyright Microsoft Corporation,
          MIT), NEW/known, the same with captions that call them flat, which is a style that emoji_128 knows, and
          NEW/all, those of all names. Then a table, a row a model and one of real pictures, of 300 other
          names, none of them held out from emoji_128: the share that a linear classifier of all six styles calls the
          new one, and R-precision (1 of 100) by a judge that was trained on real pictures of all six. Of `emoji_128`
          itself it is asked with the style of Fluent's flat pictures: that is how well it knew these names before;
          with `--known` of the others too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from make_data import NAMES, PACKAGES, captions, drawer, named, unpacked
from PIL import Image

STYLE, KNOWN = "high contrast", "flat"
PACKAGE = ("@iconify-json/fluent-emoji-high-contrast", "1.2.6")
NUM_SHOWN, NUM_ASKED = 60, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("new", type=Path)
    measuring = commands.add_parser("measure")
    measuring.add_argument("new", type=Path)
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("models", nargs="+")
    measuring.add_argument("--known", action="store_true", help="the models were taught NEW/known")
    measuring.add_argument("--squeezenet", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "make":
        make(options.new)
    else:
        measure(options)


def make(new: Path) -> None:
    """Writes the pictures of all names, and those of the few that are learned from."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        draw = drawer(unpacked(Path(scratch), *PACKAGE))
        entries = list(named(unpacked(Path(scratch), *NAMES[:2])))
        found = [(entry, picture) for entry in entries if (picture := draw(entry)) is not None]
    shown = set(random.permutation(len(found))[:NUM_SHOWN].tolist())
    rows: dict[str, list[dict[str, Any]]] = {"all": [], "train": [], "known": []}
    for number, (entry, picture) in enumerate(found):
        texts = [text for text in captions(entry["name"], STYLE, entry["keywords"], random) if STYLE in text]
        row = {"file_name": f"{entry['code']}.png", "text": texts, "name": entry["name"], "shown": number in shown}
        for folder in ("all", "train", "known") if number in shown else ("all",):
            (new / folder).mkdir(parents=True, exist_ok=True)
            picture.save(new / folder / row["file_name"], optimize=True)
            told = [text.replace(STYLE, KNOWN) for text in texts] if folder == "known" else texts
            rows[folder].append({**row, "text": told})
    for folder, some in rows.items():
        (new / folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    print(f"{len(rows['train'])} pictures of {len(found)} in {new / 'train'}.")


def measure(options: argparse.Namespace) -> None:
    from measure import linear, squeezenet

    import keras_t2i
    from keras_t2i.metrics.retriever import Retriever
    from keras_t2i.metrics.text_image import r_precision

    network = squeezenet(options.squeezenet)
    features = keras_t2i.ImageFeatures(network, "squeezenet-128")
    old = [row for row in _rows(options.folder) if "color" not in row and row["split"] == "train"]
    new = _rows(options.new / "all")
    of_old, of_new = _pixels(options.folder, old), _pixels(options.new / "all", new)
    known = {row["name"] for row in old}
    random = np.random.default_rng(1)
    others = [number for number, row in enumerate(new) if row["name"] in known and not row["shown"]]
    asked = random.permutation(others)[:NUM_ASKED]
    rest = np.setdiff1d(np.arange(len(new)), asked)
    styles = [*PACKAGES, STYLE]
    labels = [styles.index(row["style"]) for row in old] + [len(PACKAGES)] * len(rest)
    classify = linear(features(np.concatenate([of_old, of_new[rest]])), labels, len(styles))
    judge = Retriever(features)
    judge.fit(np.concatenate([of_old, of_new]), [row["text"] for row in (*old, *new)])
    print("| pictures | called the new style | R-precision, 1 of 100 |", "|---" * 3 + "|", sep="\n")
    for model in ("real", *options.models):
        style = STYLE if model == "real" or (Path(model).exists() and not options.known) else KNOWN
        texts = [f"{new[number]['name']}, {style} style" for number in asked]
        images = of_new[asked]
        if model != "real":
            images = keras_t2i.TextToImage.from_preset(model).generate(texts, seed=7)
        share = np.mean(classify(features(images)) == len(PACKAGES))
        found = r_precision(judge.image_embeddings(images), judge.text_embeddings(texts), texts).share
        print(f"| {model} | {share:.1%} | {found:.1%} |", flush=True)


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def _pixels(folder: Path, rows: list[dict[str, Any]]) -> np.ndarray:
    found = []
    for row in rows:
        with Image.open(folder / row["file_name"]) as picture:
            found.append(np.asarray(picture.convert("RGB")))
    return np.stack(found)


if __name__ == "__main__":
    main()
