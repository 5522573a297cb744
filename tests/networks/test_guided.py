"""A generator that images guide: what it starts from, what it is given, and that what is known stays."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from checks import EMBEDDING_DIM, built_networks, make_batch, make_latents, move_weights, one_line, tensors

from keras_t2i.core.pixels import resize
from keras_t2i.core.precision import computing_in
from keras_t2i.networks import IMAGE_INPUTS, GuidedGenerator, UpscaledGenerator
from keras_t2i.networks.image_inputs import hide, random_masks, with_known
from keras_t2i.networks.outlines import moved

TEXT = np.random.default_rng(3).normal(size=(4, EMBEDDING_DIM)).astype(np.float32)
IMAGES = tensors(make_batch(4, seed=2))["images"]


def guided(image_input: str = "complete", image_size: int = 32) -> GuidedGenerator:
    keras.utils.set_random_seed(1)
    source, _ = built_networks("compact")
    if image_size > 32:
        source = UpscaledGenerator(source, image_size, width=8, depth=1)
        source.build_for(EMBEDDING_DIM)
    move_weights(source)
    network = GuidedGenerator(source, image_input, width=4)
    network.build_for(EMBEDDING_DIM)
    return network


def drawn(network: GuidedGenerator, images: object = IMAGES, seed: int = 0) -> np.ndarray:
    condition = {"sentence_embeddings": TEXT, **network.given(resize(images, network.image_size), seed)}
    return network(make_latents(4), network.select(condition), training=False).numpy()


def test_in_mixed_precision_a_second_stage_and_a_branch_draw_the_same_but_for_rounding() -> None:
    exact = guided("sketch", 64)
    with computing_in("mixed_bfloat16"):
        rounded = guided("sketch", 64)
    assert rounded.source.upscaler.stem.compute_dtype == "bfloat16"
    rounded.set_weights(exact.get_weights())
    images, expected = drawn(rounded), drawn(exact)
    assert images.dtype == np.float32
    assert 0 < np.abs(images - expected).max() < 0.1


@pytest.mark.parametrize(("image_input", "image_size"), [("complete", 32), ("edges", 32), ("sketch", 64)])
def test_an_untrained_branch_draws_what_the_source_draws_to_the_bit(image_input: str, image_size: int) -> None:
    network = guided(image_input, image_size)
    expected = network.source(make_latents(4), TEXT, training=False)
    np.testing.assert_array_equal(drawn(network), expected)
    move_weights(network.reader)
    for addition in network.additions:
        move_weights(addition)
    assert np.abs(drawn(network) - expected).mean() > 0.01
    np.testing.assert_array_equal(network(make_latents(4), TEXT, training=False), expected)
    copied = network.copy()
    assert copied.image_input == image_input
    np.testing.assert_array_equal(drawn(copied), drawn(network))


@pytest.mark.parametrize(("image_size", "maps"), [(32, 4), (64, 6), (128, 7)])
def test_the_branch_reaches_all_maps_of_the_source(image_size: int, maps: int) -> None:
    network = guided(image_size=image_size)
    assert len(network.additions) == maps  # 4, 8, 16 and 32 pixels; of a second stage 32, 64 and 128.
    for addition in network.additions:
        before = drawn(network)
        addition.to_maps.bias.assign(addition.to_maps.bias + 0.5)
        assert np.abs(drawn(network) - before).max() > 0


def test_a_branch_scales_maps_reads_the_caption_and_is_heard_whatever_their_size() -> None:
    network = guided("edges")
    for addition in network.additions:
        move_weights(addition)
    adjustment = network.additions[0]
    maps = np.random.default_rng(2).normal(size=network.source.features(make_latents(4), TEXT)[0].shape)
    maps, seen = maps.astype(np.float32), np.ones((4, 4, 4, adjustment.join.filters), np.float32)
    changed, hundredfold = (np.asarray(adjustment(times * maps, seen, None, TEXT)[0]) for times in (1.0, 100.0))
    assert np.abs(changed - maps).max() > 0.1
    np.testing.assert_allclose(hundredfold, 100 * changed, rtol=1e-3, atol=1e-2)
    assert np.abs(adjustment(maps, seen, None, TEXT[::-1])[0] - changed).max() > 0.01
    silenced = adjustment.to_maps.bias.numpy()
    silenced[: maps.shape[-1]] -= 1.0
    adjustment.to_maps.bias.assign(silenced)
    assert np.abs(adjustment(maps, seen, None, TEXT)[0] - (changed - maps)).max() < 1e-5


def test_a_branch_from_before_only_adds_as_it_did() -> None:
    network = guided()
    config = network.get_config()
    assert GuidedGenerator.from_config(config).modulates
    del config["modulates"]
    before = GuidedGenerator.from_config(config)
    before.build_for(EMBEDDING_DIM)
    addition = before.additions[0]
    assert addition.to_maps.filters == before.source.widths[0]
    move_weights(addition)
    maps, seen = np.ones((4, 4, 4, addition.to_maps.filters), np.float32), np.ones((4, 4, 4, 20), np.float32)
    once, hundredfold = (addition(times * maps, seen, None)[0] - times * maps for times in (1.0, 100.0))
    np.testing.assert_allclose(hundredfold, once, rtol=1e-2, atol=1e-2)
    assert np.isfinite(drawn(before)).all()


def test_inputs_are_made_of_images_as_the_table_says() -> None:
    for name, kind in IMAGE_INPUTS.items():
        given = np.asarray(kind.make(IMAGES, 5))
        assert given.shape == (4, 32, 32, kind.channels), name
        assert np.abs(given).max() <= 1 + 1e-5
        np.testing.assert_array_equal(given, kind.make(IMAGES, 5))
        np.testing.assert_allclose(kind.known(IMAGES, given) - kind.known(IMAGES, given), 0)
    assert np.abs(IMAGE_INPUTS["edges"].make(0.5 + 0 * IMAGES, 0)).max() < 0.01
    stripe = np.full((1, 32, 32, 3), -1, np.float32)
    stripe[:, :, 16:] = 1
    edges = np.asarray(IMAGE_INPUTS["edges"].make(stripe, 0))[0, ..., 0]
    assert edges[:, 15:17].min() > 0.9
    assert np.delete(edges, [15, 16], axis=1).max() < 0.01
    np.testing.assert_allclose(IMAGE_INPUTS["colorize"].make(stripe, 0)[..., 0], stripe[..., 0], atol=1e-6)
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    small = np.asarray(IMAGE_INPUTS["enlarge"].make(noise, 0))
    assert np.abs(np.diff(small, axis=1)).mean() < 0.5 * np.abs(np.diff(noise, axis=1)).mean()
    np.testing.assert_allclose(small.mean(axis=(1, 2)), noise.mean(axis=(1, 2)), atol=0.05)


def test_a_sketch_has_bent_lines_where_colors_change_and_is_read_from_dark_lines() -> None:
    sketch = IMAGE_INPUTS["sketch"]
    images = np.ones((200, 32, 32, 3), np.float32)
    images[:, 10:22, 8:24] = [1, 1, -1]  # Yellow on white, of which brightness says little.
    lines = np.asarray(sketch.make(images, 3))[..., 0]
    drawn = lines.max(axis=(1, 2)) > 0.9
    assert 0.8 < drawn.mean() < 0.97
    assert lines[~drawn].max() < 1e-6
    # Lines are where they are in most, within some pixels in all, and never within or far from the box.
    often = lines[drawn].mean(axis=0)
    assert min(often[12:20, 7:9].max(), often[9:11, 12:20].max()) > 0.8
    assert often[14:18, 12:20].max() < 0.05
    assert often[:6].max() < 0.05
    assert len(np.unique(lines[drawn].sum(axis=(1, 2)).round())) > 50
    known = np.asarray(sketch.known(images, lines[..., None]))
    assert (known.max(axis=(1, 2, 3)) > 0.1).tolist() == drawn.tolist()
    paper = np.ones((1, 32, 32, 3), np.float32)
    paper[0, 5, :] = -1
    asked = np.asarray(guided("sketch").asked(paper)["image_input"])[0, ..., 0]
    assert (asked == (np.arange(32) == 5)[:, None]).all()


def test_images_are_moved_and_only_on_a_plain_ground_turned_or_made_smaller() -> None:
    images = np.zeros((100, 32, 32, 3), np.float32)
    images[:, 12:20, 8:20] = 1
    images[:, 8:12, 8:12] = 0.5  # Which side is which.
    plain = np.asarray(moved(images, 1))
    shares = (plain > 0.75).mean(axis=(1, 2, 3)) / (images > 0.75).mean()
    assert 0.2 < shares.min() < 0.6
    assert 1.0 < shares.max() < 1.7
    centers = np.asarray([np.argwhere(image[..., 0] > 0.75).mean(axis=0) for image in plain])
    assert np.std(centers, axis=0).min() > 1
    assert np.abs(plain[:, [0, 0, -1, -1], [0, -1, 0, -1]]).max() == 0
    ground = np.linspace(-1, 1, 32, dtype=np.float32)
    busy = np.broadcast_to(ground[None, None, :, None], images.shape)
    columns = np.asarray(moved(busy, 1))
    assert np.abs(columns - columns[:, :1]).max() < 1e-5  # Never turned.
    steps = np.diff(columns[:, 0, :, 0], axis=1)
    assert (np.abs(steps) < ground[1] - ground[0] + 1e-5).all()  # Never smaller, ...
    assert (np.abs(steps) > 0.5 * (ground[1] - ground[0])).all()  # ... and nothing comes in from beyond the border.
    assert 0.3 < (steps.mean(axis=1) < 0).mean() < 0.7
    np.testing.assert_array_equal(plain, moved(images, 1))
    assert np.asarray(guided("sketch").moved(images, 1) != images).any()
    assert guided("complete").moved(images, 1) is images


def test_masks_hide_boxes_strokes_sides_and_what_is_around_a_box() -> None:
    masks = np.asarray(random_masks(np.zeros((400, 32, 32, 3), np.float32), 7))[..., 0]
    assert set(np.unique(masks)) == {0, 1}
    shares = masks.mean(axis=(1, 2))
    assert shares.min() > 0
    assert shares.max() < 1
    corners = masks[:, [0, 0, -1, -1], [0, -1, 0, -1]].sum(axis=1)
    around = (corners == 4) & (masks[:, 4:-4, 4:-4].mean(axis=(1, 2)) < 0.95)
    rows, columns = (masks == masks[:, :1]).all(axis=(1, 2)), (masks == masks[:, :, :1]).all(axis=(1, 2))
    sides = (rows | columns) & (corners == 2)
    assert 0.05 < around.mean() < 0.4
    assert 0.15 < sides.mean() < 0.4
    assert 0.3 < (corners == 0).mean() < 0.7
    assert len(np.unique(shares)) > 100
    np.testing.assert_array_equal(masks, np.asarray(random_masks(np.zeros((400, 32, 32, 3)), 7))[..., 0])


def test_what_is_known_stays_to_the_bit_and_the_seam_is_blended() -> None:
    masks = np.zeros((4, 32, 32, 1), np.float32)
    masks[:, 6:26, 6:26] = 1
    drawing = np.random.default_rng(1).uniform(-1, 1, IMAGES.shape).astype(np.float32)
    completed = with_known(drawing, hide(IMAGES, masks)).numpy()
    known = np.broadcast_to(masks == 0, IMAGES.shape)
    np.testing.assert_array_equal(completed[known], IMAGES.numpy()[known])
    np.testing.assert_array_equal(completed[:, 12:20, 12:20], drawing[:, 12:20, 12:20])
    # A drawing that is darker throughout comes up to the picture at the seam, and only there.
    flat = with_known(np.full_like(drawing, -0.5), hide(np.full_like(drawing, 0.5), masks)).numpy()
    assert np.abs(np.diff(flat[:, 5:7, 10:20], axis=1)).max() < 0.6
    np.testing.assert_allclose(flat[:, 12:20, 12:20], -0.5, atol=1e-6)
    everything = with_known(drawing, hide(IMAGES, np.ones_like(masks))).numpy()
    np.testing.assert_allclose(everything, drawing, atol=1e-6)


def test_what_cannot_be_guided_is_said_in_one_line() -> None:
    with pytest.raises(ValueError, match="no DCGANGenerator") as error:
        GuidedGenerator(built_networks("dcgan")[0])
    assert "compact and projected" in one_line(error)
    with pytest.raises(ValueError, match="Unknown image input 'doodle'"):
        GuidedGenerator(built_networks("compact")[0], "doodle")
