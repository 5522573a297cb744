"""What every way to transfer has in common: it lists what it trains, and nothing else moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from checks import tiny_gan
from pretrained_models import CAPTIONS, check_only_the_plan_moves, fit, pretrained, refusal, values

from keras_t2i import transfer
from keras_t2i.core.precision import computing_in
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.transfer.layers import named_layers

WAYS: dict[str, Callable[[TextToImageGAN], transfer.Plan]] = {
    "full": transfer.full,
    "freeze by name": lambda gan: transfer.freeze(gan, generator=["text", "*_0"], discriminator=["*_1*"]),
    "freeze early": lambda gan: transfer.freeze(gan, early_blocks=2),
    "freeze late": lambda gan: transfer.freeze(gan, late_blocks=1),
    "freeze_d": lambda gan: transfer.freeze_d(gan, trained_blocks=1),
    "modulation": transfer.modulation,
    "lora": lambda gan: transfer.lora(gan, rank=2),
    "ewc": lambda gan: transfer.ewc(gan, CAPTIONS, num_images=3),
    "correspondence": lambda gan: transfer.correspondence(gan, num_images=3),
}
CASES = [
    *((way, "compact") for way in ("freeze by name", "freeze_d", "modulation", "lora", "correspondence")),
    *((way, "dcgan") for way in ("full", "freeze early", "freeze late", "freeze_d", "lora", "ewc")),
    *((way, "mlp") for way in ("freeze late", "ewc", "correspondence")),
    ("modulation", "df_gan"),
    ("freeze early", "self_attention"),
    ("full", "projected"),
]


@pytest.mark.parametrize(("way", "family"), CASES)
def test_nothing_moves_but_what_the_plan_lists(way: str, family: str) -> None:
    gan = pretrained(family)
    check_only_the_plan_moves(gan, WAYS[way](gan))


def test_nothing_else_moves_in_the_compiled_step_either() -> None:
    gan = pretrained("dcgan")
    check_only_the_plan_moves(gan, transfer.freeze_d(gan, trained_blocks=1), run_eagerly=False)


@pytest.mark.parametrize("family", ["dcgan", "self_attention"])  # Batch and spectral normalisation.
def test_a_frozen_layer_keeps_its_statistics_and_computes_with_them(family: str) -> None:
    gan = pretrained(family)
    plan = transfer.freeze(gan, generator=["normalization_*", "conv_*"], discriminator=["conv_*"])
    listed = {weight.path for weight in plan.statistics}
    assert not any("generator/normalization_8" in path or "conv_8" in path for path in listed)
    layer = named_layers(gan.generator)["normalization_8"]
    features = np.random.default_rng(0).normal(size=(4, 8, 8, layer.gamma.shape[0])).astype(np.float32)
    np.testing.assert_array_equal(layer(features, training=True), layer(features, training=False))
    check_only_the_plan_moves(gan, plan)


def test_every_way_starts_from_the_average() -> None:
    for name, way in WAYS.items():
        if name == "modulation":  # The quickest family to build has none.
            continue
        gan = pretrained("mlp")
        average = gan.generate_from_embeddings(CAPTIONS[:2])
        way(gan)
        np.testing.assert_array_equal(gan.generate_from_embeddings(CAPTIONS[:2]), average)
        gan.ema_generator.set_weights(gan.generator.get_weights())
        np.testing.assert_array_equal(gan.generate_from_embeddings(CAPTIONS[:2]), average)


def test_ways_can_be_joined() -> None:
    gan = pretrained("mlp")
    transfer.freeze_d(gan, trained_blocks=0)
    plan = transfer.lora(gan, rank=1)
    assert {weight.role for weight in plan.weights if weight.layer == "from_pixels"} == {"frozen"}
    check_only_the_plan_moves(gan, plan)


def test_counts_and_summary_agree_with_the_model() -> None:
    gan = pretrained()
    plan = transfer.freeze_d(gan, trained_blocks=1)
    for side in ("generator", "discriminator"):
        network = getattr(gan, side)
        assert plan.count(side) == network.count_params()
        assert plan.count(side, "trained") == sum(int(np.prod(w.shape)) for w in network.trainable_weights)
    lines = plan.summary().splitlines()
    assert lines[0].split() == ["freeze_d", "trained", "frozen"]
    stem = next(line.split() for line in lines if line.split()[0] == "stem")
    assert stem == ["stem", "-", str(named_layers(gan.discriminator)["stem"].count_params())]
    total = sum(int(line.split()[1].replace(",", "")) for line in lines if line.startswith("generator"))
    assert total == plan.count("generator", "trained")


def test_names_are_the_same_whatever_was_built_before() -> None:
    first = [weight.path for weight in transfer.full(pretrained("df_gan")).weights]
    tiny_gan("df_gan")
    assert [weight.path for weight in transfer.full(pretrained("df_gan")).weights] == first
    assert "generator/block_8/affines_in_0/scale_hidden/kernel" in first


def test_a_way_before_compile_leaves_optimizers_of_its_own_weights() -> None:
    gan = pretrained()
    plan = transfer.modulation(gan)
    gan.compile(generator_terms=plan.terms)
    slots = [v for v in gan.generator_optimizer.variables if "velocity" in v.path]
    assert len(slots) == sum(weight.network == "generator" for weight in plan.trained)
    fit(gan, steps=1)


def test_nothing_to_train_is_refused() -> None:
    message = refusal(transfer.freeze, pretrained("mlp"), discriminator=["*"])
    assert "leave the discriminator nothing to train" in message


def test_mixed_precision_keeps_frozen_weights_too() -> None:
    with computing_in("mixed_bfloat16"):
        gan = pretrained()
        check_only_the_plan_moves(gan, transfer.lora(gan, rank=2))
    assert values(gan, "generator")["generator/features/kernel"].dtype == np.float32
