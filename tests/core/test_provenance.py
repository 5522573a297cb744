"""Pictures say what they are: what was written is read back, and what cannot be read is refused in one line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from checks import move_weights, one_line, tiny_gan
from PIL import Image

from keras_t2i.core import provenance

MODEL = "0f" * 32


@pytest.mark.parametrize(
    "prompt", ["a red star", 'a "red" \\ star', "red\0star\n", "\u7ea2 \u05d0 \U0001f600 e\u0301", "x" * 9999]
)
def test_a_picture_gives_back_what_was_recorded(prompt: str, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    facts = provenance.provenance(MODEL, prompt, seed=-5, index=3, truncation=0.7)
    (tmp_path / "x.png").write_bytes(provenance.png(image, facts))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), image)
    found = provenance.inspect(tmp_path / "x.png")
    assert found == {**facts, "digital_source_type": "trainedAlgorithmicMedia"}
    assert found["seed"] == -5
    assert found["generator"].startswith("keras_t2i ")
    assert len(found["prompt"]) <= provenance.MAX_PROMPT
    assert found["prompt"].isprintable()


def test_captions_can_be_left_out_and_real_parts_are_told(tmp_path: Path) -> None:
    content = provenance.png(Image.new("RGB", (4, 4)), provenance.provenance(MODEL), composite=True)
    assert b"red star" not in content
    (tmp_path / "x.png").write_bytes(content)
    found = provenance.inspect(tmp_path / "x.png")
    assert "prompt" not in found
    assert found["digital_source_type"] == "compositeWithTrainedAlgorithmicMedia"


def test_other_programs_find_the_source_type(tmp_path: Path) -> None:
    """Photo software looks for the IPTC's address in the XMP packet, which is well-formed XML."""
    from xml.etree import ElementTree

    image = Image.open(io.BytesIO(provenance.png(Image.new("RGB", (4, 4)), {})))
    image.load()
    packet = ElementTree.fromstring(image.text["XML:com.adobe.xmp"].lstrip("\ufeff"))
    source = packet.find(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert source is not None
    assert source.text == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_what_says_nothing_is_refused_in_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    if content is None:
        Image.new("RGB", (4, 4)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="drawn by keras_t2i" if content is None else "no PNG") as error:
        provenance.inspect(path)
    assert str(path) in one_line(error)


def test_the_fingerprint_is_of_what_decides_pixels() -> None:
    gan, same = tiny_gan("compact"), tiny_gan("compact")
    same.ema_generator.set_weights(gan.ema_generator.get_weights())
    before = gan.fingerprint()
    assert before == same.fingerprint()
    move_weights(same.discriminator)
    assert before == same.fingerprint()
    weight = same.ema_generator.weights[0]
    weight.assign(weight.numpy() + 1e-3)
    assert before != same.fingerprint()
