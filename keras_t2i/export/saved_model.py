"""One SavedModel that holds tokenizer, text encoder and generator: strings in, images out.

It needs TensorFlow, or TensorFlow Serving, and the string operations of `tensorflow-text`; nothing of this package.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_t2i.core.pixels import from_bytes, rounded
from keras_t2i.export.completer import completed, completes, picture_shapes
from keras_t2i.export.disk import written_by_tensorflow
from keras_t2i.export.pictures_in_graph import Cut, central_square
from keras_t2i.export.png_in_graph import PngWriter

if TYPE_CHECKING:
    from keras_t2i.export import Drawable

__all__ = ["write"]


def write(gan: Drawable, path: str | os.PathLike[str], record_prompts: bool = True) -> None:
    """Writes a SavedModel of the averaged generator.

    Signatures; every input has a leading batch dimension, and no row depends on the others:

    - `serving_default`: `prompts` (string, `[B]`), `seeds` (int64, `[B]`) and `truncation` (float32, `[B]`) to
      `image_bytes` (string, `[B]`): PNG files that say what they are (`keras_t2i.core.provenance`). The name is the
      one by which TF Serving knows that they travel as base64. Row `b` is `gan.generate(prompts[b], seed=seeds[b],
      truncation=truncation[b])`: its noise follows from its own seed, wherever in a batch a server may put it. For
      more images of a caption, send it again with other seeds.
      A model that draws in steps has a fourth input, `num_steps` (int32, `[B]`), of which 0 is the model's own number.
    - `generate`: the same to `images` (uint8, `[B, H, W, 3]`).
    - `generate_from_embeddings`: `latents` (float32, `[B, Z]`) and `sentence_embeddings` (float32, `[B, D]`) to
      `images` (float32 in [-1, 1], `[B, H, W, 3]`). The embeddings are those of `embed_text`.
    - `embed_text`: `prompts` to `sentence_embeddings`.

    Where images guide the model, there are two more:

    - `complete`: `prompts` and `seeds`, `picture_bytes` (string, `[B]`: PNG files of at most 2048 x 2048 pixels) and,
      where it fills holes, `mask_bytes` (likewise: as large as its picture, white where something is to be drawn) to
      `image_bytes`: what `gan.complete` makes of it, a composite.
    - `complete_from_embeddings`: `latents`, `sentence_embeddings`, and what `completer.py` says of pictures of the
      model's size, to `images` (float32 in [-1, 1]).

    Without a text encoder, `generate_from_embeddings` is the default, and those that read captions are missing.

    Args:
        gan: The model.
        path: The directory to write.
        record_prompts: Whether PNG files hold the caption that they were drawn from.

    Raises:
        ValueError: if other files are at `path`.
        OSError: if it cannot be written.
    """
    generator, encoder = gan.drawer, gan.text_encoder
    latent_dim = generator.latent_dim
    prompts = tf.TensorSpec((None,), tf.string, "prompts")
    seeds, truncation = tf.TensorSpec((None,), tf.int64, "seeds"), tf.TensorSpec((None,), tf.float32, "truncation")
    asked = [prompts, seeds, truncation]
    if hasattr(generator, "num_steps"):
        asked.append(tf.TensorSpec((None,), tf.int32, "num_steps"))
    latents = tf.TensorSpec((None, latent_dim), tf.float32, "latents")
    embeddings = tf.TensorSpec((None, gan.embedding_dim), tf.float32, "sentence_embeddings")

    @tf.function(input_signature=[latents, embeddings], autograph=False)
    def generate_from_embeddings(latents: tf.Tensor, sentence_embeddings: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": generator(latents, sentence_embeddings, training=False)}

    @tf.function(input_signature=[prompts], autograph=False)
    def embed_text(prompts: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sentence_embeddings": gan.denoised(encoder(prompts)["sentence_embeddings"])}

    def draw(prompts: tf.Tensor, seeds: tf.Tensor, truncation: tf.Tensor, *num_steps: tf.Tensor) -> tf.Tensor:
        latents = _latents(seeds, latent_dim)
        text = embed_text(prompts)["sentence_embeddings"]
        if not num_steps:
            return rounded(generator(latents * truncation[:, None], text, training=False))
        steps = tf.where(num_steps[0] < 1, generator.num_steps, num_steps[0])
        return rounded(generator.draw(latents * truncation[:, None], text, steps, generator.own_guidance))

    @tf.function(input_signature=asked, autograph=False)
    def generate(prompts: tf.Tensor, *asked: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": draw(prompts, *asked)}

    @tf.function(input_signature=asked, autograph=False)
    def generate_png(
        prompts: tf.Tensor, seeds: tf.Tensor, truncation: tf.Tensor, *num_steps: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        images = draw(prompts, seeds, truncation, *num_steps)
        return {"image_bytes": module.png(images, prompts, seeds, truncation)}

    # A plain module, so that the weights and the tokenizer's tables are written, and nothing of Keras is. (Keras' own
    # ExportArchive writes the same graph, after tracing everything three times more.)
    module = tf.Module()
    module.variables_ = [weight.value for weight in generator.weights]
    signatures = {"serving_default": generate_from_embeddings}
    if encoder is not None:
        module.png = PngWriter(gan.fingerprint(), record_prompts)
        readers = [encoder, *([] if gan.caption_denoiser is None else [gan.caption_denoiser])]
        module.variables_ += [weight.value for reader in readers for weight in reader.weights]
        module.tokenizers = encoder.trackables
        signatures = {"serving_default": generate_png, "generate": generate, "embed_text": embed_text}
    signatures["generate_from_embeddings"] = generate_from_embeddings
    if completes(gan):
        signatures |= _completing(gan, module, embed_text if encoder is not None else None, record_prompts)
    with written_by_tensorflow(path, marker="saved_model.pb") as directory:
        tf.saved_model.save(module, str(directory), signatures=signatures)


def _latents(seeds: tf.Tensor, latent_dim: int) -> tf.Tensor:
    """Noise of image 0 of each seed."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal((latent_dim,), tf.stack([seed, 0]), alg="philox"),
        seeds,
        fn_output_signature=tf.TensorSpec((latent_dim,), tf.float32),
    )


def _completing(
    gan: Drawable, module: tf.Module, embed_text: Callable[..., Any] | None, record_prompts: bool
) -> dict[str, Any]:
    """The signatures of a model that images guide."""
    drawer, latent_dim = gan.drawer, gan.drawer.latent_dim
    size, has_hole = drawer.image_size, drawer.kind.has_hole
    shapes = {"latents": (latent_dim,), "sentence_embeddings": (gan.embedding_dim,), **picture_shapes(drawer)}
    tensors = [tf.TensorSpec((None, *shape), tf.float32, name) for name, shape in shapes.items()]

    @tf.function(input_signature=tensors, autograph=False)
    def complete_from_embeddings(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": completed(drawer, dict(zip(shapes, inputs, strict=True)))}

    if embed_text is None:
        return {"complete_from_embeddings": complete_from_embeddings}
    module.composite_png = png = PngWriter(gan.fingerprint(), record_prompts, {"image": drawer.image_input}, True)
    types = {"prompts": tf.string, "seeds": tf.int64, "picture_bytes": tf.string}
    types |= {"mask_bytes": tf.string} if has_hole else {}

    def seen(files: Any) -> tuple[tf.Tensor, ...]:
        """What the network is given of one row."""
        pixels, *hole = Cut.of(files[0], files[1], size).seen(size) if has_hole else (central_square(files[0], size),)
        given = from_bytes(tf.cast(pixels, tf.float32)), *(tf.cast(each, tf.float32)[..., None] for each in hole)
        return tuple(given)

    def file(drawn: tf.Tensor, facts: tf.Tensor, *files: tf.Tensor) -> tf.Tensor:
        return png.file(Cut.of(files[0], files[1], size).put_back(drawn) if has_hole else drawn, facts)

    @tf.function(input_signature=[tf.TensorSpec((None,), type, name) for name, type in types.items()], autograph=False)
    def complete(prompts: tf.Tensor, seeds: tf.Tensor, *files: tf.Tensor) -> dict[str, tf.Tensor]:
        names = list(picture_shapes(drawer))
        given = tuple(tf.TensorSpec(shapes[name], tf.float32) for name in names)
        # One row at a time: a picture takes far more memory than what the network sees of it.
        pictures = tf.map_fn(seen, files, fn_output_signature=given, parallel_iterations=1)
        inputs = {
            "latents": _latents(seeds, latent_dim),
            **embed_text(prompts),
            **dict(zip(names, pictures, strict=True)),
        }
        facts = png.facts(prompts, seeds, tf.ones_like(seeds, tf.float32))
        rows = (rounded(completed(drawer, inputs)), facts, *files)
        string = tf.TensorSpec((), tf.string)
        return {
            "image_bytes": tf.map_fn(lambda row: file(*row), rows, fn_output_signature=string, parallel_iterations=1)
        }

    return {"complete": complete, "complete_from_embeddings": complete_from_embeddings}
