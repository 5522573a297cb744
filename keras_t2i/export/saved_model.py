"""One SavedModel that holds tokenizer, text encoder and generator: strings in, images out.

It needs TensorFlow, or TensorFlow Serving, and the string operations of `tensorflow-text`; nothing of this package.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tensorflow as tf

from keras_t2i.core.pixels import rounded
from keras_t2i.export.disk import written_by_tensorflow
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

    Without a text encoder, `generate_from_embeddings` is the only one, and the default.

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
        latents = tf.map_fn(
            lambda seed: tf.random.stateless_normal((latent_dim,), tf.stack([seed, 0]), alg="philox"),
            seeds,
            fn_output_signature=tf.TensorSpec((latent_dim,), tf.float32),
        )
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
    with written_by_tensorflow(path, marker="saved_model.pb") as directory:
        tf.saved_model.save(module, str(directory), signatures=signatures)
