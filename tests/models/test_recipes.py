"""The table of names: every family builds and compiles with its recipe, at the sizes it says."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from checks import one_line, sizes_of
from keras_t2i.penalties import R2

from keras_t2i.objectives import PENALTIES
from keras_t2i.presets import FAMILIES, build_gan


@pytest.mark.parametrize("family", FAMILIES)
def test_family_builds_with_its_recipe(family: str, text_encoder: Any) -> None:
    recipe = FAMILIES[family]
    gan = build_gan(family, text_encoder, image_size=32)
    built_of = {name: part.network for name, part in gan.parts().items() if part.is_trained}
    assert built_of.keys() == {"generator"} | ({"discriminator"} if recipe.discriminator else set())
    for name, built in built_of.items():
        network = getattr(recipe, name)
        config = built.get_config()
        assert type(built) is (network.func if isinstance(network, partial) else network)
        settings = network.keywords if isinstance(network, partial) else {}
        by_name = {"attention_at": 16, "widths": (256, 192, 96)}  # At this size.
        assert {name: config[name] for name in settings} == {
            name: value if value is None or name not in by_name else by_name[name] for name, value in settings.items()
        }
    optimizers = [part.optimizer for part in gan.parts().values() if part.is_trained]
    rates = [float(optimizer.learning_rate.numpy()) for optimizer in optimizers]
    assert rates == pytest.approx(recipe.learning_rates[: len(rates)])
    assert [(optimizer.beta_1, optimizer.beta_2) for optimizer in optimizers] == [recipe.betas] * len(rates)
    if recipe.discriminator:
        assert [type(penalty) for penalty in gan.objective.penalties] == [
            PENALTIES[name] for name in [recipe.penalty] if name
        ]
    assert gan.generate("a red star").shape == (1, 32, 32, 3)


def test_seed_decides_the_weights(text_encoder: Any) -> None:
    first, same, other = (build_gan("mlp", text_encoder, 32, seed=seed).generator.get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_recipe_can_be_overridden(text_encoder: Any) -> None:
    gan = build_gan("mlp", text_encoder, 32, loss="hinge", penalty="r2", matching_weight=0.25)
    assert type(gan.objective.loss).__name__ == "Hinge"
    assert [type(penalty) for penalty in gan.objective.penalties] == [R2]
    assert gan.objective.matching_weight == 0.25
    assert build_gan("compact", text_encoder, 32, penalty=None).objective.penalties == []


def test_unknown_name_is_refused_with_those_there_are(text_encoder: Any) -> None:
    with pytest.raises(ValueError, match="Unknown family 'biggan'") as error:
        build_gan("biggan", text_encoder)
    assert all(name in one_line(error) for name in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_sizes_are_refused(family: str, text_encoder: Any) -> None:
    for image_size in {100, 16, 512, 128} - set(sizes_of(family)):
        with pytest.raises(ValueError, match=str(image_size)) as error:
            build_gan(family, text_encoder, image_size)
        one_line(error)
