"""Strategies by name: how they are written, and that every one is a function with these options."""

from __future__ import annotations

import inspect

import pytest
from pretrained_models import CAPTIONS, check_only_the_plan_moves, pretrained, refusal

from keras_t2i import transfer
from keras_t2i.models.recipes import family_of
from keras_t2i.networks import IMAGE_INPUTS
from keras_t2i.transfer import strategies
from keras_t2i.transfer.strategies import STRATEGIES, apply, needs_source, parse


def test_options_are_written_after_colons() -> None:
    assert parse("full") == [("full", {})]
    assert parse("lora:rank=8:alpha=16") == [("lora", {"rank": 8, "alpha": 16.0})]
    assert parse("freeze:generator=text,block_0:early_blocks=1+ewc:weight=1e-3") == [
        ("freeze", {"generator": ("text", "block_0"), "early_blocks": 1}),
        ("ewc", {"weight": 0.001}),
    ]
    assert needs_source("freeze_d+mixing")
    assert not needs_source("freeze_d+lora")


def test_every_option_is_one_of_the_function() -> None:
    for name, strategy in STRATEGIES.items():
        guiding = transfer.guide if name in IMAGE_INPUTS else None
        function = guiding or (transfer.mix_source if name == "mixing" else getattr(transfer, name))
        assert set(strategy.options) <= set(inspect.signature(function).parameters), name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nonsense", "Unknown strategy 'nonsense'. Expected one of: full, freeze"),
        ("lora:size=3", "'size=3' cannot be set of 'lora'. Expected: rank=int"),
        ("lora:rank=many", "'rank=many' cannot be set of 'lora'"),
        ("full:rank", "Expected: no options"),
        ("lora+", "Unknown strategy ''"),
    ],
)
def test_what_is_not_a_strategy_is_refused(spec: str, words: str) -> None:
    assert words in refusal(parse, spec)


def test_joined_strategies_leave_what_all_of_them_leave() -> None:
    gan = pretrained()
    plan = apply("freeze_d:trained_blocks=0+modulation+ewc:num_images=2+correspondence", gan, CAPTIONS)
    assert plan.name.startswith("freeze_d")
    assert len(plan.terms) == 2
    trained = {(weight.network, weight.layer.partition("/")[0]) for weight in plan.trained}
    assert ("generator", "features") not in trained
    assert ("discriminator", "stem") not in trained
    check_only_the_plan_moves(gan, plan)


@pytest.mark.parametrize("family", ["compact", "df_gan", "dcgan", "wgan_gp", "mlp", "projected"])
def test_a_model_s_family_is_found_by_its_networks(family: str) -> None:
    gan = pretrained(family)
    assert family_of(gan) == family
    gan.card = {"family": "self_attention"}
    assert family_of(gan) == "self_attention"


def test_help_starts_light() -> None:
    assert not {"np", "keras", "tf"} & vars(strategies).keys()
