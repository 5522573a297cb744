"""`keras-t2i finetune --strategy complete` and `keras-t2i complete`, with real files, as a user would."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import tiny_networks
from command_line import keras_t2i, write_images, write_rows
from PIL import Image

from keras_t2i import TextToImage, TextToImageGAN
from keras_t2i.core import provenance
from keras_t2i.text import TextEncoder

CAPTION = "picture number 3"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, eager_training: None) -> Path:
    """A folder with images, a run that completes, one that colorizes, and what they begin with."""
    place = tmp_path_factory.mktemp("completing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.chdir(place)
        write_rows(place / "images", write_images(place / "images", 6))
        encoder = TextEncoder.from_preset("caption_mini_en")
        TextToImageGAN(encoder, *tiny_networks("compact")).save_to_preset("small")
        command = ("finetune", "small", "images", "--batch-size", 4, "--no-augment")
        for strategy, epochs, output in (("complete", 2, "run"), ("complete", 1, "parts"), ("colorize", 1, "gray")):
            done = keras_t2i(*command, "--strategy", f"{strategy}:width=4", "--epochs", epochs, "-o", output)
            assert done.code == 0, done.err
        done = keras_t2i(*command, "--strategy", "complete:width=4", "--epochs", 2, "-o", "parts")
        assert done.code == 0, done.err
    return place


@pytest.fixture(scope="module")
def load() -> Callable[[Any], Any]:
    return functools.cache(TextToImage.from_preset)


@pytest.fixture(autouse=True)
def here(place: Path, load: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextToImage, "from_preset", lambda name: load(str(name)))  # Read once for all commands.
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.chdir(place)


def save(image: Image.Image, name: str, **options: object) -> str:
    image.save(name, **options)
    return name


def random_picture(height: int, width: int, channels: int = 3) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8))


def box_mask(height: int, width: int, mode: str = "L") -> Image.Image:
    mask = Image.new(mode, (width, height), 0)
    mask.paste("white", (width // 4, height // 4, width // 2, height // 2))
    return mask


def test_a_run_in_parts_ends_as_the_whole_one_and_leaves_its_source(place: Path) -> None:
    whole, parts, source = (TextToImage.from_preset(name) for name in ("run", "parts", "small"))
    for ours, theirs in zip(whole.ema_generator.get_weights(), parts.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(whole.generate(CAPTION, seed=2), source.generate(CAPTION, seed=2))
    measured = keras_t2i("evaluate", "run", "--features", "none", "--judge", "none")
    assert measured.code == 0, measured.err
    assert measured.json["num_images"]


def test_what_is_known_stays_and_several_answers_differ(place: Path) -> None:
    picture, mask = save(random_picture(150, 201), "large.png"), save(box_mask(150, 201), "mask.png")
    before = Path(picture).read_bytes()
    command = ("complete", "run", picture, CAPTION, "one more of 2", "--mask", mask, "-n", 2, "--seed", 1)
    done = keras_t2i(*command, "-o", "answers")
    assert done.code == 0, done.err
    images = [np.asarray(Image.open(name)) for name in done.json["images"]]
    hole, known = np.asarray(Image.open(mask)) > 0, np.asarray(Image.open(picture))
    assert len(images) == 4
    for image in images:
        np.testing.assert_array_equal(image[~hole], known[~hole])
    assert len({image[hole].tobytes() for image in images}) == 4
    assert Path(done.json["grid"]).is_file()
    assert Path(picture).read_bytes() == before
    facts = provenance.inspect(done.json["images"][3])
    assert facts["prompt"] == "one more of 2"
    assert facts["digital_source_type"] == "compositeWithTrainedAlgorithmicMedia"
    again = keras_t2i(*command, "-o", "again")
    assert [Path(a).read_bytes() for a in again.json["images"]] == [Path(a).read_bytes() for a in done.json["images"]]
    gan = TextToImage.from_preset("run")
    drawn = gan.complete(np.stack([known] * 2), np.stack([hole] * 2), [CAPTION, "one more of 2"], 2, seed=1)
    np.testing.assert_array_equal(drawn, images)


def test_a_bundle_completes_what_its_model_does() -> None:
    exported = keras_t2i("export", "run", "--to", "litert", "-o", "bundle")
    assert exported.code == 0, exported.err
    picture, mask = save(random_picture(150, 201), "big.png"), save(box_mask(150, 201), "big-mask.png")
    found = []
    for model in ("run", "bundle"):
        done = keras_t2i("complete", model, picture, CAPTION, "--mask", mask, "-n", 2, "-o", f"by-{model}")
        assert done.code == 0, done.err
        found.append(np.stack([np.asarray(Image.open(name)) for name in done.json["images"]]).astype(int))
        assert provenance.inspect(done.json["images"][0])["image"] == "complete"
    assert np.abs(found[0] - found[1]).max() <= 1


def test_a_model_without_a_branch_searches() -> None:
    picture, mask = save(random_picture(60, 50), "any.png"), save(box_mask(60, 50), "any-mask.png")
    command = ("complete", "small", picture, CAPTION, "--mask", mask, "--search", "-n", 2)
    done = keras_t2i(*command, "-o", "searched")
    assert done.code == 0, done.err
    images = [np.asarray(Image.open(name)) for name in done.json["images"]]
    hole, known = np.asarray(Image.open(mask)) > 0, np.asarray(Image.open(picture))
    for image in images:
        np.testing.assert_array_equal(image[~hole], known[~hole])
    assert (images[0] != images[1])[hole].any()
    assert provenance.inspect(done.json["images"][0])["image"] == "search"


def saved(name: str, image: Image.Image, **options: object) -> Callable[[], tuple[str, str]]:
    """A picture, with its mask, upright."""

    def make() -> tuple[str, str]:
        width, height = image.size if "exif" not in options else image.size[::-1]
        return save(image, name, **options), save(box_mask(height, width), f"mask-of-{name}.png")

    return make


TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (saved("gray.png", random_picture(40, 50).convert("L")), lambda seen: np.asarray(seen.convert("RGB"))),
        (saved("alpha.png", random_picture(40, 50, 4)), np.asarray),
        (saved("palette.gif", random_picture(40, 50).convert("P")), lambda seen: np.asarray(seen.convert("RGB"))),
        (
            saved("turned.jpg", random_picture(40, 50), exif=TURNED),
            lambda seen: np.asarray(seen.convert("RGB").transpose(Image.Transpose.ROTATE_270)),
        ),
        (
            saved("deep.png", Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50) * 32)),
            lambda seen: np.repeat(np.rint(np.asarray(seen)[..., None] / 65535 * 255), 3, axis=-1),
        ),
        (saved("tiny.png", random_picture(5, 7)), np.asarray),
    ],
    ids=["gray", "alpha", "palette", "turned", "deep", "tiny"],
)
@pytest.mark.filterwarnings("ignore:.*is completed with 8")
def test_pictures_of_every_kind_are_completed(
    make: Callable[[], tuple[str, str]], expected: Callable[[Image.Image], np.ndarray]
) -> None:
    picture, mask = make()
    done = keras_t2i("complete", "run", picture, CAPTION, "--mask", mask, "-n", 1, "-o", "kinds")
    assert done.code == 0, done.err
    with Image.open(picture) as opened:
        known = expected(opened)
    image = np.asarray(Image.open(done.json["images"][0]))
    hole = np.asarray(Image.open(mask)) > 0
    assert image.shape == known.shape
    np.testing.assert_array_equal(image[~hole], known[~hole])
    if image.shape[-1] == 4:
        assert (image[hole][:, 3] == 255).all()


def test_masks_are_white_and_opaque_or_what_is_transparent_of_the_picture() -> None:
    picture = save(random_picture(40, 50), "plain.png")
    painted = Image.new("RGBA", (50, 40), (255, 255, 255, 0))
    painted.paste((255, 255, 255, 255), (10, 10, 20, 30))
    erased = random_picture(40, 50).convert("RGBA")
    erased.paste((1, 2, 3, 0), (10, 10, 20, 30))
    command = ("complete", "run", picture, CAPTION, "-n", 1)
    first = keras_t2i(*command, "--mask", save(painted, "painted.png"), "-o", "painted")
    second = keras_t2i("complete", "run", save(erased, "erased.png"), CAPTION, "-n", 1, "-o", "erased")
    assert first.code == second.code == 0, (first.err, second.err)
    before, image = (np.asarray(Image.open(name)) for name in (picture, first.json["images"][0]))
    changed = (before != image).any(axis=-1)
    assert changed[10:30, 10:20].mean() > 0.9
    changed[10:30, 10:20] = False
    assert not changed.any()
    np.testing.assert_array_equal(np.asarray(Image.open(second.json["images"][0])), image)  # Whatever was hidden.
    everything = keras_t2i(*command, "--mask", save(Image.new("L", (50, 40), 255), "all.png"), "-o", "all")
    assert everything.code == 0, everything.err


def test_other_inputs_need_no_mask() -> None:
    picture = save(random_picture(40, 70).convert("L"), "wide.png")
    done = keras_t2i("complete", "gray", picture, CAPTION, "-n", 2, "-o", "colored")
    assert done.code == 0, done.err
    images = [np.asarray(Image.open(name)) for name in done.json["images"]]
    assert images[0].shape == (32, 32, 3)
    assert (images[0] != images[1]).any()
    refused = keras_t2i("complete", "gray", picture, CAPTION, "--mask", picture, "-o", "no")
    assert refused.code == 2
    assert "draws from 'colorize' and knows no mask" in refused.err


def test_what_cannot_be_completed_is_said_in_one_line(place: Path) -> None:
    picture, mask = save(random_picture(40, 50), "fine.png"), save(box_mask(40, 50), "fine-mask.png")
    (place / "text.png").write_text("no picture")
    save(Image.new("1", (11_000, 11_000)), "huge.png")
    Path("kept").mkdir()
    own = save(random_picture(40, 50), "kept/00-00.png")
    other, nothing = save(box_mask(50, 40), "other.png"), save(Image.new("L", (50, 40)), "nothing.png")
    for arguments, words in (
        ((picture, CAPTION), "Pass a mask of its size that is white there"),
        ((picture, CAPTION, "--mask", other), "has 40 x 50 pixels and its picture, upright, 50 x 40"),
        ((picture, CAPTION, "--mask", nothing), "has nothing white"),
        ((picture, CAPTION, "--mask", "missing.png"), "missing.png"),
        (("missing.png", CAPTION, "--mask", mask), "missing.png"),
        (("images", CAPTION, "--mask", mask), "images"),
        (("text.png", CAPTION, "--mask", mask), "'text.png' cannot be read: not an image"),
        (("huge.png", CAPTION, "--mask", mask), "'huge.png' cannot be read: 121 megapixels"),
        ((picture, "", "--mask", mask), "Caption 1 cannot be drawn: empty caption"),
        ((picture, CAPTION, "--mask", mask, "--context", "nan"), "context"),
        ((own, CAPTION, "--mask", mask, "-n", "1", "-o", "kept"), "would be written over"),
        ((picture, "--mask", mask), "Missing argument 'CAPTIONS...'"),
    ):
        refused = keras_t2i("complete", "run", *arguments, *(() if "-o" in arguments else ("-o", "refused")))
        assert refused.code == 2, (arguments, refused.err)
        assert words in refused.err, (words, refused.err)
        assert "Traceback" not in refused.err
    refused = keras_t2i("complete", "small", picture, CAPTION, "--mask", mask, "-o", "refused")
    assert refused.code == 2
    assert "draws from captions alone. Give it a branch" in refused.err
    assert "(--search)" in refused.err
    assert not Path("refused").exists()
