"""Memory of fine-tuning Stable Diffusion 3: a table of the real ones, and how far the count agrees with XLA.

    python examples/benchmarks/stable_diffusion_memory.py
    KERAS_BACKEND=jax python examples/benchmarks/stable_diffusion_memory.py --measure

The first prints, for KerasHub's presets, what a training step takes, and the smallest card of 16, 24 and 40 GB that it
fits into; nothing is fetched or built. The second compiles the gradient of small networks of the same kind, and prints
what XLA sets aside for it beside what is counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from keras_t2i.models.stable_diffusion import described
from keras_t2i.networks.stable_diffusion import StableDiffusion3Generator
from keras_t2i.transfer.memory import Memory, memory_of, shapes_of

PRESETS = ("stable_diffusion_3_medium", "stable_diffusion_3.5_medium", "stable_diffusion_3.5_large")
WAYS = (
    ("lora:rank=8", "bfloat16"),
    ("biases", "mixed_bfloat16"),
    ("freeze:trained_blocks=2", "mixed_bfloat16"),
    ("full", "mixed_bfloat16"),
)
BATCHES = (1, 4)
SMALL: Sequence[tuple[dict[str, int], int, int]] = (
    ({"num_layers": 2, "hidden_dim": 64, "num_heads": 2}, 256, 4),
    ({"num_layers": 2, "hidden_dim": 128, "num_heads": 4}, 128, 8),
    ({"num_layers": 3, "hidden_dim": 96, "num_heads": 3}, 192, 4),
)
"""Transformers, image sizes and batch sizes that are compiled."""


def table() -> str:
    """The real ones, in gigabytes."""
    heads = ["preset", "strategy", "weights as", "pixels", "weights", "gradients", "slots"]
    heads += [f"activations of {batch_size}" for batch_size in BATCHES] + [f"card for {n}" for n in BATCHES]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for preset in PRESETS:
        for strategy, dtype in WAYS:
            for image_size in (512, 1024):
                network = shapes_of(described(preset), strategy, image_size=image_size, dtype=dtype)
                told = (preset.removeprefix("stable_diffusion_"), strategy, dtype, image_size)
                rows.append(" | ".join(["", *map(str, told), *numbers(network), ""]).strip())
    return "\n".join(rows)


def numbers(network: StableDiffusion3Generator) -> list[str]:
    """Gigabytes by kind; of activations, and cards, with blocks kept and, behind a stroke, computed again."""
    found: dict[tuple[int, bool], Memory] = {}
    for batch_size in BATCHES:
        for network.rematerialized in (False, True):
            found[batch_size, network.rematerialized] = memory_of(network, batch_size)
    first = found[BATCHES[0], False]
    always = [f"{part / 1e9:.2f}" for part in (first.weights, first.gradients, first.slots)]
    pairs = [(found[batch_size, False], found[batch_size, True]) for batch_size in BATCHES]
    kept = [" / ".join(f"{each.activations / 1e9:.1f}" for each in pair) for pair in pairs]
    return always + kept + [" / ".join(str((*each.fits, "-")[0]) for each in pair) for pair in pairs]


def small(settings: dict[str, int], image_size: int) -> StableDiffusion3Generator:
    """A network of the same kind."""
    diffuser = {"patch_size": 2, "position_size": 192, "qk_norm": "rms_norm", "latent_channels": 16, **settings}
    filters = {f"{side}_num_filters": [32] * 4 for side in ("encoder", "decoder")}
    autoencoder = {**filters, "encoder_num_blocks": [1] * 4, "decoder_num_blocks": [1] * 4}
    network = StableDiffusion3Generator(image_size, diffuser, autoencoder, text_width=192, text_length=16)
    network.build_for(network.row_length)
    return network


def measured(network: StableDiffusion3Generator, batch_size: int) -> int:
    """Bytes that XLA sets aside for the gradient of a step, beside arguments and results."""
    import jax
    import jax.numpy as jnp
    import keras

    variables = list(network.trainable_variables)

    def loss(values: list[Any], noisy: Any, rows: Any, times: Any, target: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return jnp.mean((network.velocity(noisy, times, rows) - target) ** 2)

    def spec(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, "float32")

    codes = spec(batch_size, *network.noise_shape)
    arguments = (
        [spec(*v.shape) for v in variables],
        codes,
        spec(batch_size, network.row_length),
        spec(batch_size),
        codes,
    )
    compiled = jax.jit(jax.grad(loss)).lower(*arguments).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


def last_block(network: StableDiffusion3Generator) -> None:
    for layer in network.diffuser.layers:
        layer.trainable = layer.name in (
            "output_ada_layer_norm",
            "output_dense",
            network.diffuser.joint_blocks[-1].name,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--first", type=int, default=len(SMALL), help="Networks that are measured.")
    arguments = parser.parse_args()
    if not arguments.measure:
        print(table())
        return
    print("| layers | width | heads | pixels | batch | trained | measured | counted | counted / measured |")
    print("|---|---|---|---|---|---|---|---|---|")
    ways: dict[str, Callable[[StableDiffusion3Generator], None]] = {"whole": lambda network: None, "last": last_block}
    for settings, image_size, batch_size in SMALL[: arguments.first]:
        for name, choose in ways.items():
            network = small(settings, image_size)
            choose(network)
            counted, found = memory_of(network, batch_size).activations, measured(network, batch_size)
            told = (
                *settings.values(),
                image_size,
                batch_size,
                name,
                f"{found:,}",
                f"{counted:,}",
                f"{counted / found:.2f}",
            )
            print("| " + " | ".join(map(str, told)) + " |", flush=True)


if __name__ == "__main__":
    main()
