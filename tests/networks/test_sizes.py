"""Sizes: four and sixteen times the multiply-adds, for the families that have them, wherever a size is asked for."""

from __future__ import annotations

import pytest
from checks import one_line

from keras_t2i import TextToImageGAN
from keras_t2i.metrics import count_multiply_adds
from keras_t2i.models import build_gan
from keras_t2i.networks import FAMILIES, SIZES
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import build

WITH_SIZES = [name for name, family in FAMILIES.items() if family.wider is not None]


@pytest.mark.parametrize("family", WITH_SIZES)
def test_base_costs_four_times_and_large_sixteen_times_as_much(family: str) -> None:
    found = FAMILIES[family]
    costs = []
    for size in SIZES:
        of_generator, of_discriminator = found.sized(size, 64)
        generator = found.generator(image_size=64, **of_generator)
        generator.build_for(32)
        costs.append(count_multiply_adds(generator, generator.noise_shape, (32,)))
        assert found.discriminator(image_size=64, **of_discriminator).image_size == 64
    assert costs[1] / costs[0] == pytest.approx(4, rel=0.1)
    assert costs[2] / costs[0] == pytest.approx(16, rel=0.1)


def test_small_is_what_every_family_has_without_being_asked() -> None:
    plain, small = (build_gan("compact", None, 32, embedding_dim=8, **size) for size in ({}, {"size": "small"}))
    assert small.generator.get_config()["widths"] == plain.generator.get_config()["widths"]
    assert WITH_SIZES == ["compact", "projected"]


def test_a_run_of_another_size_is_built_and_kept_so(tmp_path) -> None:
    gan = build(RunConfig("shapes", image_size=32, size="base"))
    assert gan.generator.widths == (256, 192, 128)
    assert gan.discriminator.head_width == 384
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    assert loaded.generator.widths == gan.generator.widths


@pytest.mark.parametrize(("family", "size"), [("compact", "huge"), ("mlp", "base")])
def test_sizes_that_are_not_there_are_refused_in_one_line(family: str, size: str) -> None:
    with pytest.raises(ValueError, match=size) as error:
        build_gan(family, None, 32, embedding_dim=8, size=size)
    one_line(error)
