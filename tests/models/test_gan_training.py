import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import (
    EMBEDDING_DIM,
    FAMILIES,
    LATENT_DIM,
    copies,
    make_batch,
    move_weights,
    one_line,
    tensors,
    tiny_gan,
    tiny_networks,
)
from keras_t2i.augmentation import DiffAugment

from keras_t2i.core.precision import computing_in
from keras_t2i.models.gan import TextToImageGAN

CAPTIONS = ["a small red star", "two dogs on a beach", "a blue ring, top left", "a yellow flower"]
LOGS = {"discriminator_loss", "generator_loss", "penalty", "caption_accuracy"}


def _captioned(count=4):
    return {"images": make_batch(count)["images"], "captions": np.array(CAPTIONS[:count])}


def _dataset(*batches):
    """A `tf.data` of the batches given, in their order."""
    signature = {
        key: tf.TensorSpec((None, *value.shape[1:]), value.dtype) for key, value in tensors(batches[0]).items()
    }
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def _fit(gan, *batches, **kwargs):
    return gan.fit(_dataset(*batches), verbose=0, **kwargs).history


def _sgd(rate=0.05):
    return {f"{side}_optimizer": keras.optimizers.SGD(rate) for side in ("generator", "discriminator")}


# -- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_weight_of_both_networks_and_none_of_the_encoder(family, text_encoder):
    """With plain SGD a weight moves if, and only if, a gradient that is not zero has reached it."""
    gan = tiny_gan(family, text_encoder, run_eagerly=True, **_sgd())
    encoder_before = copies(text_encoder.variables)
    assert encoder_before
    before = copies(gan.generator.trainable_weights), copies(gan.discriminator.trainable_weights)
    for _ in range(4):  # scales that start at zero let gradients through from the second step on
        gan.train_step(tensors(_captioned()))
    after = copies(gan.generator.trainable_weights), copies(gan.discriminator.trainable_weights)
    for network_before, network_after in zip(before, after, strict=True):
        unmoved = [name for name, value in network_before.items() if np.array_equal(value, network_after[name])]
        assert unmoved == []
        assert all(np.isfinite(value).all() for value in network_after.values())
    encoder_after = copies(text_encoder.variables)
    assert all(np.array_equal(value, encoder_after[name]) for name, value in encoder_before.items())
    assert not text_encoder.trainable_variables


# -- losses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize("matching_weight", [0.0, 0.5, 1.0])
def test_losses_are_those_of_the_description(twins, matching_weight):
    gan = tiny_gan("dcgan", matching_weight=matching_weight, run_eagerly=True)
    for network in (gan.ema_generator, gan.discriminator):
        network.trainable = True
        move_weights(network, 0.3)
    batch = make_batch()
    images, text = batch["images"], batch["sentence_embeddings"]
    if twins:
        text[1], text[3] = text[0], text[2]
    logs = gan.evaluate(_dataset(batch), return_dict=True, verbose=0)

    latents = tf.random.stateless_normal((4, LATENT_DIM), seed=(0, 0))
    real = gan.discriminator(images, text, training=False).numpy()
    fake = gan.discriminator(gan.ema_generator(latents, text, training=False), text, training=False).numpy()
    mismatched = gan.discriminator(images, np.roll(text, 1, axis=0), training=False).numpy()
    # Captions equal to their neighbour's are right, so they are neither rejected nor counted.
    counted = np.array([1, 0, 1, 0] if twins else [1, 1, 1, 1], np.float32)
    expected = (
        np.logaddexp(0, -real)
        + (1 - matching_weight * counted) * np.logaddexp(0, fake)
        + matching_weight * counted * np.logaddexp(0, mismatched)
    )
    np.testing.assert_allclose(logs["discriminator_loss"], expected.mean(), rtol=1e-4)
    np.testing.assert_allclose(logs["generator_loss"], np.logaddexp(0, -fake).mean(), rtol=1e-4)
    accuracy = (counted * (real > mismatched)).sum() / counted.sum()
    np.testing.assert_allclose(logs["caption_accuracy"], accuracy, rtol=1e-6)


# -- averaged generator ------------------------------------------------------------------------------------------------


def test_the_average_follows_its_recursion_batch_statistics_included():
    decay = 0.3
    gan = tiny_gan("dcgan", ema_decay=decay)
    start = average = [weight.numpy() for weight in gan.generator.weights]
    step = tf.function(gan.train_step)
    for number in range(1, 6):
        step(tensors(make_batch(seed=number)))
        warm_up = min(decay, (1 + number) / (10 + number))
        average = [
            old + (1 - warm_up) * (weight.numpy() - old)
            for old, weight in zip(average, gan.generator.weights, strict=True)
        ]
    for expected, weight in zip(average, gan.ema_generator.weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6, err_msg=weight.path)
    moved = [
        not np.array_equal(old, weight.numpy())
        for old, weight in zip(start, gan.ema_generator.weights, strict=True)
        if "moving" in weight.path
    ]
    assert moved
    assert all(moved)


# -- safety ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["graph", "eager", "xla"])
def test_a_loss_that_is_not_finite_stops_before_any_weight_changes(how):
    gan = tiny_gan("dcgan" if how != "xla" else "mlp", run_eagerly=how == "eager")
    if how == "xla":  # It would drop the stop, so Keras is told that the model cannot be compiled.
        with pytest.warns(UserWarning, match="Proceeding with `jit_compile=False`"):
            gan.jit_compile = True
    good, bad = make_batch(seed=0), make_batch(seed=1)
    bad["images"][2, 5, 5] = np.nan
    state = [gan.generator, gan.discriminator, gan.ema_generator, gan.generator_optimizer, gan.discriminator_optimizer]
    _fit(gan, good)
    before = [value for part in state for value in copies(_state_of(part)).values()]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite; no weight was changed"):
        _fit(gan, bad)
    after = [value for part in state for value in copies(_state_of(part)).values()]
    assert len(before) > 40
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(np.isfinite(values).all() for values in _fit(gan, good).values())


def _state_of(part):
    return part.variables if isinstance(part, keras.optimizers.Optimizer) else part.weights


# -- Keras manners -----------------------------------------------------------------------------------------------------


def test_fit_takes_captions_with_validation_data_and_steps(text_encoder):
    gan = tiny_gan("mlp", text_encoder)
    train = _dataset(_captioned()).repeat()
    history = gan.fit(
        train,
        validation_data=_dataset(_captioned(3)),
        steps_per_epoch=2,
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history
    assert set(history) == LOGS | {f"val_{name}" for name in LOGS}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())
    assert gan.generator_optimizer.iterations == gan.discriminator_optimizer.iterations == 4
    logs = gan.evaluate(_dataset(_captioned(3)), return_dict=True, verbose=0)
    assert set(logs) == LOGS
    assert np.isfinite(list(logs.values())).all()


def test_fit_takes_embeddings_and_gives_what_captions_give(text_encoder):
    captioned = _captioned()
    embedded = {"images": captioned["images"], "sentence_embeddings": text_encoder.encode(CAPTIONS)}
    results = []
    for batch in (captioned, embedded):
        keras.utils.set_random_seed(0)
        gan = tiny_gan("mlp", text_encoder, **_sgd())
        _fit(gan, batch, batch)
        results.append(copies(gan.generator.weights))
    for one, other in zip(results[0].values(), results[1].values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_eager_and_compiled_training_agree():
    results = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        gan = tiny_gan("compact", run_eagerly=run_eagerly, augmentation=DiffAugment(), **_sgd())
        logs = _fit(gan, make_batch(seed=0), make_batch(seed=1), make_batch(3, seed=2))
        results.append((copies(gan.generator.weights) | copies(gan.discriminator.weights), logs))
    (compiled, compiled_logs), (eager, eager_logs) = results
    for name, values in compiled_logs.items():
        np.testing.assert_allclose(values, eager_logs[name], rtol=1e-3, atol=1e-5)
    for one, other in zip(compiled.values(), eager.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_mixed_bfloat16_trains_float32_weights():
    with computing_in("mixed_bfloat16"):
        gan = tiny_gan("dcgan", augmentation=DiffAugment())
        before = copies(gan.generator.trainable_weights)
        history = _fit(gan, make_batch(), make_batch(seed=1))
    assert gan.generator.convolutions[0].compute_dtype == "bfloat16"
    assert {str(weight.dtype) for weight in gan.generator.weights + gan.discriminator.weights} == {"float32"}
    assert all(np.isfinite(values).all() for values in history.values())
    after = copies(gan.generator.trainable_weights)
    assert all(not np.array_equal(value, after[name]) for name, value in before.items())


def test_mixed_float16_is_refused_with_the_alternative():
    with computing_in("mixed_float16"), pytest.raises(ValueError, match="mixed_bfloat16") as error:
        tiny_gan("mlp")
    one_line(error)


def test_summary_names_the_networks_and_counts_their_weights():
    gan = tiny_gan("mlp")
    lines = []
    gan.summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    for network in (gan.generator, gan.discriminator):
        assert type(network).__name__ in text
        assert f"{network.count_params():,}" in text


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [("loss", "wgan"), ("penalty", "r3"), ("matching_weight", 1.5), ("matching_weight", -0.1)],
)
def test_compile_refuses_what_it_does_not_know_in_one_line(argument, value):
    with pytest.raises(ValueError, match=str(value)) as error:
        tiny_gan("mlp", **{argument: value})
    one_line(error)


def test_networks_of_different_sizes_are_refused():
    generator, discriminator = tiny_networks("mlp", 32)[0], tiny_networks("mlp", 64)[1]
    with pytest.raises(ValueError, match="32 pixels and the discriminator expects 64") as error:
        TextToImageGAN(None, generator, discriminator, embedding_dim=EMBEDDING_DIM)
    one_line(error)


def test_the_length_of_embeddings_must_be_known():
    with pytest.raises(ValueError, match="embedding_dim") as error:
        TextToImageGAN(None, *tiny_networks("mlp"))
    one_line(error)


def test_batches_of_another_form_are_refused():
    gan = tiny_gan("mlp", run_eagerly=True)
    batch = make_batch()
    for bad in ((batch["images"], batch["sentence_embeddings"]), {"images": batch["images"]}):
        with pytest.raises(ValueError, match="A batch must be a dictionary") as error:
            gan.train_step(bad)
        one_line(error)
    with pytest.raises(ValueError, match="no `text_encoder`") as error:
        gan.train_step(tensors(_captioned()))
    one_line(error)


def test_floats_of_any_width_train_alike_and_bytes_are_refused():
    batch = make_batch(4, seed=3)
    batch["images"] = batch["images"].astype(np.float16).astype(np.float32)
    losses = []
    for widths in ({}, {"images": np.float64}, {"images": np.float16, "sentence_embeddings": np.float64}):
        keras.utils.set_random_seed(0)
        gan = tiny_gan("mlp", run_eagerly=True)
        given = {name: rows.astype(widths.get(name, rows.dtype)) for name, rows in batch.items()}
        losses.append(gan.train_on_batch(given, return_dict=True))
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-5)
    bytes_ = {**batch, "images": ((batch["images"] + 1) * 127.5).astype(np.uint8)}
    with pytest.raises(ValueError, match=r"'images' in \[-1, 1\], floating point; got uint8") as error:
        tiny_gan("mlp").fit(bytes_, verbose=0)
    assert one_line(error)
