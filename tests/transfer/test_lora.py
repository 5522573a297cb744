"""LoRA: how small it is, what files hold, and which files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checks import EMBEDDING_DIM, move_weights
from pretrained_models import CAPTIONS, check_exports_draw_the_same, fit, pretrained, refusal
from safetensors import safe_open

from keras_t2i import networks, transfer
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import CaptionDenoiser
from keras_t2i.training import Checkpoints, TrainingState
from keras_t2i.transfer.layers import named_layers


def tuned(seed: int = 0, **options: object) -> TextToImageGAN:
    """A model with adapters that have been trained, text centered anew, as `finetune` makes it."""
    gan = pretrained("dcgan", seed=seed)
    gan.adapt(CAPTIONS + 0.5)
    plan = transfer.lora(gan, **{"rank": 2, **options})
    gan.compile(generator_terms=plan.terms, penalty=None, run_eagerly=True)
    fit(gan, steps=2)
    return gan


@pytest.fixture(scope="module")
def adapted() -> TextToImageGAN:
    return tuned(alpha=3.0)


@pytest.fixture(scope="module")
def file(adapted: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters") / "mine.safetensors"
    transfer.save_adapters(adapted, path)
    return path


def drawn(gan: TextToImageGAN) -> np.ndarray:
    return gan.generate_from_embeddings(CAPTIONS)


def test_default_adapters_are_under_five_percent_of_the_default_generator() -> None:
    gan = TextToImageGAN(
        None, networks.CompactGenerator(), networks.CompactDiscriminator(widths=(4,) * 4), embedding_dim=384
    )
    base = gan.generator.count_params()
    plan = transfer.lora(gan)
    trained = plan.count("generator", "trained")
    assert 0 < trained < 0.05 * base
    assert plan.count("generator") == base + trained
    assert {weight.name for weight in plan.trained if weight.network == "generator"} == {
        "lora_kernel_a",
        "lora_kernel_b",
    }


def test_images_change_with_training_and_not_before(adapted: TextToImageGAN) -> None:
    plain = pretrained("dcgan")
    plain.adapt(CAPTIONS + 0.5)
    before = drawn(plain)
    transfer.lora(plain)
    np.testing.assert_array_equal(drawn(plain), before)
    assert (drawn(adapted) != before).any()


def test_adapters_on_a_fresh_model_draw_the_same_pixels(adapted: TextToImageGAN, file: Path) -> None:
    fresh = pretrained("dcgan")
    plan = transfer.load_adapters(fresh, file)
    assert plan.name == "lora"
    np.testing.assert_array_equal(drawn(fresh), drawn(adapted))
    transfer.load_adapters(fresh, file)  # Again, onto the same adapters.
    np.testing.assert_array_equal(drawn(fresh), drawn(adapted))
    fresh.compile(generator_terms=plan.terms, run_eagerly=True)
    fit(fresh)


def test_a_denoiser_of_other_captions_does_not_stay(file: Path, tmp_path: Path) -> None:
    """Adapters are trained after `adapt`, which takes the denoiser away that the fresh model still has."""

    def with_denoiser(seed: int = 0) -> TextToImageGAN:
        gan = pretrained("dcgan")
        gan.caption_denoiser = CaptionDenoiser(width=8, seed=seed)
        gan.caption_denoiser.adapt(CAPTIONS, updates=2, verbose=0)
        return gan

    fresh = with_denoiser()
    transfer.load_adapters(fresh, file)
    assert fresh.caption_denoiser is None

    kept = with_denoiser()
    transfer.lora(kept)
    transfer.save_adapters(kept, tmp_path / "kept.safetensors")
    again = with_denoiser()
    transfer.load_adapters(again, tmp_path / "kept.safetensors")
    assert again.fingerprint() == kept.fingerprint()
    for other in (with_denoiser(seed=1), pretrained("dcgan")):
        message = refusal(transfer.load_adapters, other, tmp_path / "kept.safetensors")
        assert "another caption denoiser" in message


def test_the_file_says_what_it_is_and_holds_nothing_else(file: Path) -> None:
    with safe_open(file, framework="np") as found:
        metadata, names = found.metadata(), list(found.keys())
    assert (metadata["rank"], metadata["alpha"]) == ("2", "3.0")
    assert len(metadata["base_sha256"]) == 64
    layers = [name for name in names if "/" in name]
    assert {name.rpartition("/")[2] for name in layers} == {"lora_kernel_a", "lora_kernel_b"}
    assert set(names) - set(layers) == {"text_mean", "text_scale"}
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]


@pytest.mark.parametrize("part", ["header", "metadata", "tensors", "end", "all"])
def test_damaged_files_are_refused(file: Path, tmp_path: Path, part: str) -> None:
    content = bytearray(file.read_bytes())
    if part == "header":
        content[3] ^= 0x10
    elif part == "metadata":
        at = content.index(b'"alpha":"3.0"')
        content[at + 9 : at + 12] = b"4.0"
    elif part == "tensors":
        content[-5] ^= 1
    elif part == "end":
        del content[-7:]
    else:
        content[:] = b"not a file of tensors"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    gan = pretrained("dcgan")
    before = drawn(gan)
    message = refusal(transfer.load_adapters, gan, damaged)
    assert "damaged" in message
    np.testing.assert_array_equal(drawn(gan), before)
    assert transfer.full(gan).count("generator") == gan.generator.count_params()


def test_a_changed_base_is_refused(file: Path) -> None:
    gan = pretrained("dcgan")
    weight = gan.ema_generator.weights[5]
    value = weight.numpy()
    value.flat[0] = np.nextafter(value.flat[0], 10, dtype=np.float32)
    weight.assign(value)
    message = refusal(transfer.load_adapters, gan, file)
    assert "trained on other weights than this model's" in message
    assert "load the very preset" in message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda file: transfer.lora(pretrained("mlp"), rank=0), "`rank` must be at least 1"),
        (lambda file: transfer.lora(pretrained("self_attention")), "spectrally normalised ones are not"),
        (
            lambda file: transfer.lora(pretrained("mlp"), adapt=["nothing"]),
            "No layer of the generator is called 'nothing'",
        ),
        (lambda file: [transfer.lora(gan) for gan in [pretrained("mlp")] * 2], "has adapters already"),
        (lambda file: transfer.save_adapters(pretrained("mlp"), file), "no adapters to save"),
        (lambda file: transfer.load_adapters(tuned(rank=1), file), "other adapters"),
        (lambda file: transfer.load_adapters(pretrained("mlp"), file.parent), "is not a file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(file: Path, call: object, words: str) -> None:
    assert words in refusal(call, file)


def test_presets_are_plain_models_that_draw_the_same_pixels(adapted: TextToImageGAN, tmp_path: Path) -> None:
    adapted.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(drawn(loaded), drawn(adapted))
    assert not any(getattr(layer, "lora_enabled", False) for layer in named_layers(loaded.generator).values())


def test_checkpoints_hold_the_factors(tmp_path: Path) -> None:
    gan, checkpoints = tuned(), Checkpoints(tmp_path)
    checkpoints.save(gan, TrainingState(2))
    other = tuned()
    move_weights(other.generator)
    checkpoints.restore(other)
    for ours, theirs in zip(gan.generator.weights, other.generator.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_exports_draw_with_the_adapters(adapted: TextToImageGAN, tmp_path: Path) -> None:
    expected = check_exports_draw_the_same(adapted, tmp_path)
    assert expected.shape == (2, 32, 32, 3)
    assert CAPTIONS.shape[1] == EMBEDDING_DIM
