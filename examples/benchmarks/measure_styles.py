"""How far pictures come into a style, and how much of what they show is left, in features that nothing was trained on.

Command:  python examples/benchmarks/measure_styles.py RUN STYLE.png --weights FILE --output GRID.jpg
Needs:    a run of `stylize train`, or of `finetune --strategy style` with --source, the model that it began with;
          SqueezeNet's weights, as for measure_in_squeezenet.py
Cost:     about a minute of one core
Result:   a line of a table: Gram distance to the style, as a share of what it is before, on average and in each of
          SqueezeNet's fire modules 3, 5, 7 and 9; correlation of content features with those before; milliseconds of
          processor time, by LiteRT on one thread, for a picture of 256 pixels (or one of the model's), and how many
          times those of shapes_64 that is; with --source, attributes right before and after, of 200 drawings. The grid
          has the pictures, and below each what was drawn

Gram matrices are those of `keras_t2i.losses.gram_loss`. Content is correlated place by place in fire7, the mean of each
channel taken away. Everything is seen at 256 pixels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import measure_in_squeezenet
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import keras_t2i
from keras_t2i.core.pixels import from_bytes
from keras_t2i.data import RENDERED
from keras_t2i.data.pictures import style_picture
from keras_t2i.export.stylizer import write
from keras_t2i.metrics.attributes import AttributeJudge
from keras_t2i.models import Stylizer
from keras_t2i.objectives.style import gram_matrices

SIZE, NUM_IMAGES, NUM_DRAWN, IN_GRID = 256, 24, 200, 8
CONTENT = "fire7"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--source", help="the model that was given a style: its drawings are what is shown")
    parser.add_argument("--domain", default="faces", help="rendered pictures that are shown, or what the source draws")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.source:
            before, after, cells = drawn(options, Path(folder))
        else:
            before, after, cells = stylized(options, Path(folder))
    style = style_picture(options.style, 2 * before.shape[1] if options.source else SIZE)
    shares, correlation = compared(options.weights, style, before, after)
    each = ", ".join(f"{share:.2f}" for share in shares)
    print("| run | Gram distance left | by module | content | ms | of shapes_64 | attributes before | after |")
    print("|---" * 8 + "|")
    print(f"| {options.run} | {np.mean(shares):.2f} | {each} | {correlation:.2f} | {' | '.join(cells)} |")
    rows = [np.concatenate(list(images[:IN_GRID]), axis=1) for images in (before, after)]
    Image.fromarray(np.concatenate(rows)).save(options.output, quality=88)


def stylized(options: argparse.Namespace, folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Held-out pictures, the same in the style, and what it costs."""
    split = RENDERED[options.domain].load(image_size=SIZE).validation_split
    assert split is not None
    before = split.pixels(np.random.default_rng(5).permutation(split.num_images)[:NUM_IMAGES])
    stylizer = Stylizer.from_preset(options.run)
    write(stylizer, folder / "stylizer", SIZE, SIZE)
    own = milliseconds(folder / "stylizer" / "stylizer.tflite")
    return before, np.stack([stylizer.stylize(image) for image in before]), [*beside(own, folder), "", ""]


def drawn(options: argparse.Namespace, folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What a model drew of held-out captions, what it draws now, what it costs, and how often attributes are right."""
    split = RENDERED[options.domain].load(image_size=64).validation_split
    judge = AttributeJudge.packaged(options.domain)
    assert split is not None
    assert split.labels is not None
    assert judge is not None
    numbers = np.random.default_rng(5).permutation(split.num_images)[:NUM_DRAWN]
    captions = [split.captions[position] for position in split.caption_of_each(numbers)]
    found, cells = [], []
    for name in (options.source, options.run):
        gan = keras_t2i.TextToImage.from_preset(name)
        found.append(gan.generate(captions, seed=3))
        right = judge.predict(found[-1]) == split.labels[numbers]
        cells.append(f"{right.mean():.1%} ({right.all(axis=1).mean():.1%} all)")
    gan.export(folder / "generator", "litert", precision="float16")
    return (
        found[0][:NUM_IMAGES],
        found[1][:NUM_IMAGES],
        [*beside(milliseconds(folder / "generator" / "generator.tflite"), folder), *cells],
    )


def beside(own: float, folder: Path) -> list[str]:
    """Milliseconds, and how many times those of a packaged generator that is."""
    keras_t2i.TextToImage.from_preset("shapes_64").export(folder / "shapes", "litert", precision="float16")
    return [f"{own:.0f}", f"{own / milliseconds(folder / 'shapes' / 'generator.tflite'):.1f} times"]


def milliseconds(path: Path) -> float:
    """Of processor time for a call, the least of several."""
    interpreter = Interpreter(str(path), num_threads=1)
    given = {
        each["name"].split("_", 2)[-1].split(":")[0]: np.zeros(each["shape"], np.float32)
        for each in interpreter.get_input_details()
    }
    call, seconds = interpreter.get_signature_runner(), []
    for _ in range(15):
        start = time.process_time()
        call(**given)
        seconds.append(time.process_time() - start)
    return 1000 * min(seconds)


def compared(weights: Path, style: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[list[float], float]:
    """Gram distances to the style as shares of those before, by module, and the correlation of content features."""
    measure_in_squeezenet.SIZE = SIZE
    network = measure_in_squeezenet.squeezenet(weights)
    # The style at the scale of the pictures: squares of it that are as large as they.
    size = before.shape[1]
    places = [range(0, side - size + 1, max(1, size // 2)) for side in style.shape[:2]]
    squares = np.stack([style[top : top + size, left : left + size] for top in places[0] for left in places[1]])

    def maps(images: np.ndarray) -> dict[str, np.ndarray]:
        whole = [np.asarray(Image.fromarray(each).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for each in images]
        found = network.predict(from_bytes(np.stack(whole).astype(np.float32)), batch_size=4, verbose=0)
        return {name: value for name, value in found.items() if name != "pool"}

    def gram(found: np.ndarray) -> np.ndarray:
        units = found / np.sqrt(np.sum(found**2, axis=-1, keepdims=True) + 1e-8)
        return np.asarray(gram_matrices([units])[0])

    wanted, were, are = maps(squares), maps(before), maps(after)
    shares = []
    for name in sorted(wanted):
        target = gram(wanted[name]).mean(axis=0)
        far, near = (np.mean((gram(each[name]) - target) ** 2) for each in (were, are))
        shares.append(float(near / far))
    centered = [each[CONTENT] - each[CONTENT].mean(axis=(0, 1, 2)) for each in (were, are)]
    return shares, float(np.corrcoef(*(each.ravel() for each in centered))[0, 1])


if __name__ == "__main__":
    main()
