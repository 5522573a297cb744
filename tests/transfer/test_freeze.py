"""Which layers the ways that freeze choose, and how they refuse."""

from __future__ import annotations

import pytest
from pretrained_models import pretrained, refusal

from keras_t2i import transfer
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.transfer import Plan


@pytest.fixture(scope="module")
def untouched() -> TextToImageGAN:
    """A model for what is refused."""
    return pretrained()


def layers_of(plan: Plan, network: str, role: str) -> set[str]:
    return {w.layer.partition("/")[0] for w in plan.weights if w.network == network and w.role == role and w.layer}


def test_depth_counts_from_either_end_and_leaves_what_reads_the_caption() -> None:
    early = transfer.freeze(pretrained(), early_blocks=1)
    assert layers_of(early, "generator", "frozen") == {"features", "block_0"}
    late = transfer.freeze(pretrained(), late_blocks=1)
    assert layers_of(late, "generator", "frozen") == {"block_1", "full_size", "to_image"}
    assert {"text", "style"} <= layers_of(early, "generator", "trained") & layers_of(late, "generator", "trained")
    assert not layers_of(early, "discriminator", "frozen")


def test_blocks_of_every_family_count_in_the_order_of_the_image() -> None:
    frozen = {
        "df_gan": {"features", "block_8"},
        "dcgan": {"features", "normalization_4"},
        "mlp": {"hidden_0"},
    }
    for family, layers in frozen.items():
        assert layers_of(transfer.freeze(pretrained(family), early_blocks=1), "generator", "frozen") == layers


def test_freeze_d_freezes_what_lies_below() -> None:
    frozen = {
        "compact": {"stem", "block_0"},
        "df_gan": {"stem", "block_16", "block_8"},
        "dcgan": {"conv_16", "conv_8", "normalization_8"},
        "mlp": {"from_pixels", "hidden_0"},
    }
    for family, layers in frozen.items():
        plan = transfer.freeze_d(pretrained(family), trained_blocks=1)
        assert layers_of(plan, "discriminator", "frozen") == layers
        assert not layers_of(plan, "generator", "frozen")


def test_modulation_trains_no_convolution() -> None:
    plan = transfer.modulation(pretrained("compact"))
    trained = {w.layer for w in plan.trained if w.network == "generator"}
    assert {"text", "style", "block_0/modulation_in/to_affine"} <= trained
    assert not any("conv" in layer or layer in ("features", "to_image") for layer in trained)
    assert layers_of(plan, "discriminator", "frozen") == set()
    assert "no modulation to train" in refusal(transfer.modulation, pretrained("dcgan"))


def test_patterns_reach_layers_within_blocks() -> None:
    plan = transfer.freeze(pretrained(), generator=["block_*/shortcut"], discriminator=["stem"])
    frozen = {w.layer for w in plan.frozen if w.layer}
    assert frozen == {"block_0/shortcut", "block_1/shortcut", "stem"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"generator": ["blok_0"]}, ["'blok_0'", "text, style, features, block_0"]),
        ({"discriminator": ["style"]}, ["discriminator is called 'style'", "stem"]),
        ({}, ["Nothing to freeze"]),
        ({"early_blocks": 3}, ["`early_blocks` must be from 0 to 2", "got 3"]),
        ({"late_blocks": -1}, ["`late_blocks` must be from 0 to 2", "got -1"]),
    ],
)
def test_what_cannot_be_frozen_is_refused_and_nothing_is_touched(
    untouched: TextToImageGAN, arguments: dict, words: list[str]
) -> None:
    message = refusal(transfer.freeze, untouched, **arguments)
    assert all(word in message for word in words)
    assert all(weight.role == "trained" for weight in transfer.full(untouched).weights if weight.layer)


def test_freeze_d_refuses_more_blocks_than_there_are(untouched: TextToImageGAN) -> None:
    message = refusal(transfer.freeze_d, untouched, trained_blocks=9)
    assert "`trained_blocks` must be from 0 to 2" in message
