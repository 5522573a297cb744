"""Folders whose captions were written badly on purpose, and what `data check` says of each.

    python examples/benchmarks/broken_tables.py --number 300

Every way to write captions takes its turn, and every trouble. Each folder is checked twice, with cold caches. It should
end in a report or in a `ValueError` of one line; every row should be used, or skipped with file, line and a reason in
one line; images that no row names should be listed; captions should be short and without control characters; and all of
it the same both times, within 30 seconds. It takes some minutes, on Linux. `--keep DIR` keeps the folders. What to
expect: `examples/results/damage.md`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import signal
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_t2i.data import FolderReport, check_folder
from keras_t2i.data.rows import MAX_CAPTION_CHARACTERS

GIVEN_UP = 30
NAMES = ("0.png", "1.png", "2.png", "sub/3.png", "sub/caf\u00e9 4.png")
CONTROL = ("\x1b[31mred", "\x1b]0;title\x07", "\x08\x08", "\x7f", "\x9b2J", "\u202e", "\u2028", "a\nb", "\r", "\x0c")
LETTERS = "".join(map(chr, (*range(32, 127), *range(0xA0, 0x250), *range(0x5D0, 0x6FF), 0x4E00, 0x200D, 0x1F600)))


@dataclass
class Set:
    """What is to be written.

    Args:
        rows: Cells by column; a row may have others than the rest.
        encoding: Of tables and texts.
        files: Other files, by name: their content, or a function that makes them at a path.
        spoil: Called with what was written of each table or text.
    """

    rows: list[dict[Any, Any]]
    encoding: str = "utf-8"
    files: dict[str, bytes | Callable[[Path], None]] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] = bytes


class GaveUp(BaseException):
    """A check that took too long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="directory for the folders, which is made")
    options = parser.parse_args()
    if options.keep:
        print(table(measure(options.number, options.keep.resolve(), options.seed)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(table(measure(options.number, Path(folder), options.seed)))


# -- ways to write captions ---------------------------------------------------------------------------------------


def encoded(text: str, chosen: Set) -> bytes:
    return chosen.spoil(text.encode(chosen.encoding, "surrogatepass" if "utf" in chosen.encoding else "replace"))


def jsonl(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    lines = [json.dumps(row, ensure_ascii=draw.random() < 0.5) for row in chosen.rows]
    return {"metadata.jsonl": encoded("\n".join(lines) + "\n", chosen)}


def written(chosen: Set, delimiter: str, quoting: Any = csv.QUOTE_MINIMAL) -> str:
    buffer, columns = io.StringIO(), list(dict.fromkeys(column for row in chosen.rows for column in row))
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting)
    for cells in (columns, *([row.get(column, "") for column in columns] for row in chosen.rows)):
        writer.writerow([cell.strip("\u200b") if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue()


def metadata_csv(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    quoting = draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    return {"metadata.csv": encoded(written(chosen, ",", quoting), chosen)}


def any_csv(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    name = draw.choice(("captions.csv", "captions.txt", "table.tsv", "sub/list.csv"))
    return {name: encoded(written(chosen, draw.choice(",;\t|")), chosen)}


def token_file(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    lines = [f"{row.get('file_name')}#{draw.randrange(5)}\t{row.get('text')}" for row in chosen.rows]
    return {"results.token": encoded("\n".join(lines), chosen)}


def text_files(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    """Texts beside the images whose names can be those of files."""
    texts = {}
    for row in chosen.rows:
        name = str(row.get("file_name"))
        if name in NAMES or name in chosen.files:
            texts[os.path.splitext(name)[0] + draw.choice((".txt", ".txt", ".caption"))] = str(row.get("text"))
    return {name: encoded(text, chosen) for name, text in texts.items()}


def coco(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    images = [{**row, "id": number} for number, row in enumerate(chosen.rows)]
    annotations = [{"image_id": image["id"], "caption": image.pop("text", None)} for image in images]
    content: Any = {"images": images, "annotations": annotations}
    if draw.random() < 0.1:
        content = draw.choice(([], {}, {"images": {}}, {"images": [[]]}, {**content, "annotations": 7}, 7, None))
    return {"captions_train2017.json": encoded(json.dumps(content, ensure_ascii=draw.random() < 0.5), chosen)}


def json_list(chosen: Set, draw: random.Random) -> dict[str, bytes]:
    sentences = [{**row, "sentences": [{"raw": row.get("text")}]} for row in chosen.rows]
    content = draw.choice((chosen.rows, {"images": sentences}))
    return {"dataset.json": encoded(json.dumps(content), chosen)}


WAYS: dict[str, Callable[[Set, random.Random], dict[str, bytes]]] = {
    "metadata.jsonl": jsonl,
    "metadata.csv": metadata_csv,
    "another table": any_csv,
    "Flickr's tokens": token_file,
    "a text an image": text_files,
    "COCO's JSON": coco,
    "JSON of objects": json_list,
}


# -- troubles -----------------------------------------------------------------------------------------------------


def cells(*values: Any, column: str = "text") -> Callable[[Set, random.Random], None]:
    """Some cells get values of these."""

    def change(chosen: Set, draw: random.Random) -> None:
        for row in draw.sample(chosen.rows, 3):
            row[column] = draw.choice(values)

    return change


def unicode(chosen: Set, draw: random.Random) -> None:
    for row in chosen.rows:
        letters = [draw.choice(LETTERS) for _ in range(draw.randint(0, 30))]
        row["text"] = "".join(letters) + draw.choice(("", "\ud800", "\udfff x", "\ufffe", "\U000e0041", "\ufeff"))


def controls(chosen: Set, draw: random.Random) -> None:
    for row in draw.sample(chosen.rows, 3):
        row["text"] = f"a {draw.choice(CONTROL)} star {draw.choice(CONTROL)}"
    row = draw.choice(chosen.rows)
    row[draw.choice(("split", "file_name", "te" + draw.choice(CONTROL)))] = draw.choice(CONTROL)


def control_names(chosen: Set, draw: random.Random) -> None:
    """Files whose own names have control characters, named or not, good or not."""
    for number in range(3):
        name = f"{number}{draw.choice(CONTROL)}.png".replace("/", "")
        chosen.files[name] = draw.choice((picture(9), b"", b"no image"))
        if draw.random() < 0.7:
            chosen.rows.append({"file_name": name, "text": draw.choice(("a star", ""))})
    chosen.files[draw.choice(("captions\x1b[31m.csv", "b\ntrain.txt", "x\x07.heic"))] = b"file_name,text\n0.png,a\n"


def encodings(chosen: Set, draw: random.Random) -> None:
    names = ("utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-8-sig", "utf-32", "cp1252", "utf-7", "shift-jis")
    chosen.encoding = draw.choice(names)
    for row in chosen.rows:
        row["text"] = "un caf\u00e9 \u201cnoir\u201d \u00e0 l\u2019\u00e9toile"


def marks(chosen: Set, draw: random.Random) -> None:
    mark = draw.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf" * 2, b"\xff\xfe\0\0"))
    chosen.spoil = lambda content: mark + content


def inserted(*pieces: bytes) -> Callable[[Set, random.Random], None]:
    def change(chosen: Set, draw: random.Random) -> None:
        def spoil(content: bytes) -> bytes:
            for _ in range(draw.randint(1, 4)):
                place = draw.randint(0, len(content))
                content = content[:place] + draw.choice(pieces) + content[place:]
            return content

        chosen.spoil = spoil

    return change


def damaged(chosen: Set, draw: random.Random) -> None:
    def spoil(content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(draw.randint(1, 10) if changed else 0):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        return bytes(changed[: draw.choice((None, draw.randint(0, len(changed))))])

    chosen.spoil = spoil


def columns(chosen: Set, draw: random.Random) -> None:
    for row in chosen.rows:
        text, name = row["text"], row["file_name"]
        changed: dict[Any, Any] = draw.choice(
            (
                *({"file_name": name, "text": text, "text\u200b": "b"}, {"text": text}, {"file_name": name}),
                *({"FILE_NAME": name, "Text": text, "TEXT": "b"}, {"image": name, "caption": text, "captions": []}),
                *({"": text, " ": name}, {**{f"c{number}": 0 for number in range(2000)}, **row}, {}),
            )
        )
        row.clear()
        row.update(changed)


def empty(chosen: Set, draw: random.Random) -> None:
    content = draw.choice(
        (b"", b"\n\n \r\n", b"\xef\xbb\xbf", b"file_name,text\n", b"[]", b"{}", b"null", b'""', b"\0")
    )
    chosen.spoil = lambda written: content


def deep(chosen: Set, draw: random.Random) -> None:
    piece = draw.choice(("[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500, "9" * 5000, "1e999", "-Infinity"))
    chosen.rows[1]["text"] = "PIECE"
    chosen.spoil = lambda content: content.replace(b'"PIECE"', piece.encode()).replace(b"PIECE", piece.encode())


def links(chosen: Set, draw: random.Random) -> None:
    for number, (name, target) in enumerate(
        draw.sample(
            [
                *(("out.png", "../outside.png"), ("loop.png", "loop.png"), ("none.png", "absent.png")),
                *(("in.png", "0.png"), ("to_folder.png", "sub"), ("up", ".."), ("etc.png", "/etc/passwd")),
            ],
            4,
        )
    ):
        chosen.files[name] = lambda path, target=target: path.symlink_to(target)
        chosen.rows.append({"file_name": name, "text": f"link {number}"})


def no_files(chosen: Set, draw: random.Random) -> None:
    """Folders and pipes in the place of images, tables and texts."""
    kinds: tuple[Callable[[Path], None], ...] = (lambda path: path.mkdir(), os.mkfifo)
    places = (
        "odd.png",
        "0.txt",
        "0.caption",
        "metadata.jsonl",
        "captions.csv",
        "captions.json",
        "train.txt",
        "a.token",
    )
    for name in draw.sample(places, 4):
        chosen.files[name] = draw.choice(kinds)
    chosen.rows.append({"file_name": "odd.png", "text": "odd"})


def spellings(chosen: Set, draw: random.Random) -> None:
    for row in chosen.rows:
        form = draw.choice(("NFC", "NFD", "upper", "swap"))
        name = str(row["file_name"])
        row["file_name"] = unicodedata.normalize(form, name) if form[0] == "N" else name.upper()
    chosen.files["SUB/3.PNG"] = picture(7)
    chosen.files[unicodedata.normalize("NFD", "sub/caf\u00e9 5.png")] = picture(8)
    chosen.rows.append({"file_name": "sub/caf\u00e9 5.png", "text": "one more"})


def split_names(chosen: Set, draw: random.Random) -> None:
    for row in chosen.rows:
        row["split"] = draw.choice(("train", "VAL ", "test", 3, None, "", [], "\x1b[31m", "x" * 500, "holdout", True))


PATHS = (
    *(
        "../outside.png",
        "/etc/passwd",
        "sub/../0.png",
        "sub\\3.png",
        "..\\outside.png",
        "C:\\0.png",
        ".",
        "..",
        "/",
        "",
    ),
    *("./0.png", "sub//3.png", "0.png/", "~/0.png", "file://0.png", "3.png", " 0.png ", "a" * 5000, "a/" * 3000, "\0"),
    *("%30.png", "sub", "metadata.jsonl", "0.png\n", "0.png\0.jpg", "\x1b[31m.png", "nul", None, 0, ["0.png"], {}),
)
TROUBLES: dict[str, Callable[[Set, random.Random], None]] = {
    "any Unicode, halves of pairs": unicode,
    "control characters in cells": controls,
    "control characters in file names": control_names,
    "NULs": inserted(b"\0", b"\\u0000"),
    "byte order marks": marks,
    "other encodings": encodings,
    "quotes": inserted(b'"', b'""', b"'", b'\\"', b"`"),
    "newlines in cells": cells("a\nb", "a\r\nb", "a\rb", "\n", "a\n\n0.png,b", "a\u2029b"),
    "very long cells": cells("x" * 2001, "long " * 300_000, ["a"] * 3000, ["x" * 2001], "[" * 3000, "['a', " * 900),
    "columns twice, missing, many": columns,
    "no texts": cells(7, None, True, 1.5, [1], [None], [["a"]], {"a": 1}, [], [[], {}], "['a' 'b'", "[1, 2]", 10**400),
    "deep, or endless numbers": deep,
    "paths": cells(*PATHS, column="file_name"),
    "links": links,
    "folders and pipes for files": no_files,
    "other spellings of names": spellings,
    "odd splits": split_names,
    "empty files": empty,
    "bytes changed, ends cut off": damaged,
}


# -- what becomes of them -----------------------------------------------------------------------------------------


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(number).integers(0, 256, (5, 5, 3), np.uint8)
    Image.fromarray(values).resize((40, 40), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def measure(number: int, directory: Path, seed: int = 0) -> list[dict[str, Any]]:
    """For each folder what came of it."""
    results = []
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "outside.png").write_bytes(picture(99))
    for place in range(number):
        way = list(WAYS)[place % len(WAYS)]
        trouble = list(TROUBLES)[(place + place // len(WAYS)) % len(TROUBLES)]
        folder = directory / f"{place:04d}"
        write(folder, way, trouble, random.Random(f"{seed} {place}"))
        results.append({"number": place, "way": way, "trouble": trouble, **judged(folder)})
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    return results


def write(folder: Path, way: str, trouble: str, draw: random.Random) -> None:
    chosen = Set([{"file_name": name, "text": f"picture {number}"} for number, name in enumerate(NAMES)])
    chosen.files = {name: picture(number) for number, name in enumerate((*NAMES, "unnamed.png"))}
    TROUBLES[trouble](chosen, draw)
    texts = WAYS[way](chosen, draw)
    for name, content in {**texts, **chosen.files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content) if isinstance(content, bytes) else content(path)


def judged(folder: Path) -> dict[str, Any]:
    """Checks a folder twice: how it ended, rows used and skipped, and what is wrong, if anything is."""
    first, second = ended(folder), ended(folder)
    if isinstance(first, str):
        wrong = [] if first == second and first.startswith("ValueError: ") and is_line(first) else [first]
        return {"ended": first, "used": 0, "skipped": 0, "wrong": wrong}
    files = [file.name for file in first.contents.files]
    used = sum(len(file.sources) for file in first.contents.files)
    captions = [caption for file in first.contents.files for caption in file.captions]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.[pP][nN][gG]") if path.is_file()}
    untold = there - set(files) - set(first.unnamed)
    lines = [*map(str, first.skipped), *first.notices]
    reasons = {
        "not the same twice": isinstance(second, str) or first.as_dict() != second.as_dict(),
        "not all rows": used + len(first.skipped) != first.num_rows,
        "images untold": len(untold) > len(first.skipped),
        "a line": not all(map(is_line, lines)),
        "no place": any(not row.file or not row.reason for row in first.skipped),
        "a caption": not all(map(is_caption, captions)),
    }
    wrong = [reason for reason, is_so in reasons.items() if is_so]
    return {"ended": "report", "used": used, "skipped": len(first.skipped), "wrong": wrong}


def ended(folder: Path) -> FolderReport | str:
    def give_up(*_: Any) -> None:
        raise GaveUp(f"not within {GIVEN_UP} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(GIVEN_UP)
    with tempfile.TemporaryDirectory() as cache:
        try:
            return check_folder(folder, 32, cache_dir=cache)
        except (Exception, GaveUp) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)


def is_line(text: str) -> bool:
    """Whether a text is one line that does nothing to a terminal, and no longer than people read."""
    return 0 < len(text) < 2000 and not any(map(is_control, text))


def is_caption(text: str) -> bool:
    return 0 < len(text) <= MAX_CAPTION_CHARACTERS and not any(map(is_control, text))


def is_control(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def table(results: list[dict[str, Any]]) -> str:
    """A row a trouble."""
    rows = [
        "| trouble | folders | reports | refused in one line | rows used | rows skipped | otherwise |",
        "|---|---|---|---|---|---|---|",
    ]
    for trouble in TROUBLES:
        own = [result for result in results if result["trouble"] == trouble]
        others = [f"{each['way']}: {', '.join(each['wrong'])[:200]}" for each in own if each["wrong"]]
        reports = [each for each in own if each["ended"] == "report"]
        rows.append(
            f"| {trouble} | {len(own)} | {len(reports)} | {len(own) - len(reports)} "
            f"| {sum(each['used'] for each in own)} | {sum(each['skipped'] for each in own)} "
            f"| {'; '.join(others) or 'none'} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
