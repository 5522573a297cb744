"""Style: what is minimised so that pictures look like another one, and still show what they showed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_t2i.objectives.losses import gram_matrix

__all__ = ["StyleLoss", "gram_matrices", "roughness"]

_SHIFTS = 8
"""As many places as the strides of the last map tell apart."""

Maps = Callable[[Any], Sequence[Any]]


def gram_matrices(maps: Sequence[Any]) -> list[Any]:
    """How strong features are together, on average over the picture and channels: for each map, `(B, C, C)`.

    Reference:
        Image Style Transfer Using Convolutional Neural Networks (Gatys et al., 2016).

    Args:
        maps: Feature maps, each of shape `(B, H, W, C)` with static height and width.
    """
    return [gram_matrix(each) / each.shape[-1] for each in maps]


def roughness(images: Any) -> Any:
    """Mean absolute difference of neighboring pixels, a scalar: the total variation of a pixel."""
    down, across = images[:, 1:] - images[:, :-1], images[:, :, 1:] - images[:, :, :-1]
    return ops.mean(ops.abs(down)) + ops.mean(ops.abs(across))


class StyleLoss:
    """How far pictures are from a style, and from what they are to show.

    Reference:
        Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al., 2016), arXiv:1603.08155.
        Differs: each map's term is divided by what it is between the pictures themselves, before anything is drawn, so
        that all maps count alike, whatever network they are of; and colors count as a map of their own.

    Args:
        maps: What makes of images in [-1, 1], shape `(B, H, W, 3)`, the feature maps, fine to coarse.
        style: The picture whose style it is, in [-1, 1], float32, shape `(1, H, W, 3)`.
        images: Some pictures of what is to be shown, in [-1, 1], float32, shape `(N, H, W, 3)`, two at least: how far
            they are from the style, and from each other, is what 1 means.
        content_maps: So many of the last maps are those in which pictures are compared place by place.
        content_weight: Weight of what is shown.
        style_weight: Weight of the style.
        color_weight: Weight of the colors of what is shown, averaged over squares of 8 pixels. Above 0, those of the
            style do not count as a map of their own.
        smooth_weight: Weight of `roughness`.
        seed: Seed of the places that are looked at in training.

    Call arguments:
        drawn: Pictures in the style, in [-1, 1], float32, shape `(B, H, W, 3)`, of 16 pixels and more.
        images: What each is to show, of the same shape.
        training: Whether a few pixels are left out at the borders, other ones each time: a network with strides sees
            some of the places in a picture less than others, and would else be shown a fine grid.

    Returns:
        The loss, a scalar, and its parts by name: `"content"`, 1 between unlike pictures, and `"style"`, 1 for the
        pictures as they are. Gradients reach `drawn` alone.

    Raises:
        ValueError: if a weight is negative, or there are fewer than two pictures.
    """

    def __init__(
        self,
        maps: Maps,
        style: Any,
        images: Any,
        content_maps: int = 2,
        content_weight: float = 1.0,
        style_weight: float = 5.0,
        color_weight: float = 0.0,
        smooth_weight: float = 0.02,
        seed: int = 0,
    ) -> None:
        weights = {"content_weight": content_weight, "style_weight": style_weight}
        weights |= {"color_weight": color_weight, "smooth_weight": smooth_weight}
        if negative := [name for name, weight in weights.items() if weight < 0]:
            raise ValueError(f"`{negative[0]}` must be at least 0; got {weights[negative[0]]}.")
        if len(images) < 2:
            raise ValueError(f"Two pictures of what is to be shown are needed at least; got {len(images)}.")
        self.maps, self.content_maps = maps, content_maps
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.content_weight, self.style_weight = content_weight, style_weight
        self.color_weight, self.smooth_weight = color_weight, smooth_weight
        # Arrays, not tensors: what is computed eagerly in JAX must not be kept by a traced function.
        self._style = [ops.convert_to_numpy(gram) for gram in self._grams(style, maps(style))]
        found = maps(images)
        apart = zip(self._grams(images, found), self._style, strict=True)
        self._style_units = [_unit(ops.square(gram - style)) for gram, style in apart]
        self._content_units = [_unlike(each) for each in found[-content_maps:]]
        self._color_units = [_unlike(_coarse(images))]

    def __call__(self, drawn: Any, images: Any, training: bool = False) -> tuple[Any, dict[str, Any]]:
        if training:
            drawn, images = self._shifted(drawn, images)
        found = self.maps(drawn)
        shown = [ops.stop_gradient(each) for each in self.maps(images)[-self.content_maps :]]
        style = _mean_of(self._grams(drawn, found), self._style, self._style_units)
        content = _mean_of(found[-self.content_maps :], shown, self._content_units)
        loss = self.content_weight * content + self.style_weight * style + self.smooth_weight * roughness(drawn)
        if self.color_weight:
            loss += self.color_weight * _mean_of([_coarse(drawn)], [_coarse(images)], self._color_units)
        return loss, {"content": content, "style": style}

    def _grams(self, images: Any, maps: Sequence[Any]) -> list[Any]:
        """Gram matrices of maps, and first of the colors, of which the 1 beside them makes means too."""
        colors = ops.concatenate([images, ops.ones_like(images[..., :1])], axis=-1)
        return gram_matrices(maps if self.color_weight else [colors, *maps])

    def _shifted(self, *pictures: Any) -> list[Any]:
        """Pictures without some pixels at the borders, the same in all of them."""
        _, height, width, _ = pictures[0].shape
        down, across = (keras.random.randint((), 0, _SHIFTS, seed=self.seed_generator) for _ in range(2))
        rows = down + ops.arange(height - _SHIFTS + 1)
        columns = across + ops.arange(width - _SHIFTS + 1)
        return [ops.take(ops.take(each, rows, axis=1), columns, axis=2) for each in pictures]


def _coarse(images: Any) -> Any:
    """Colors of squares."""
    return ops.average_pool(images, _SHIFTS, strides=4)


def _unlike(maps: Any) -> float:
    """How far those of different pictures are from each other."""
    return _unit(ops.square(maps - ops.roll(maps, 1, axis=0)))


def _unit(distances: Any) -> float:
    return max(float(ops.convert_to_numpy(ops.mean(distances))), 1e-8)


def _mean_of(found: Sequence[Any], wanted: Sequence[Any], units: Sequence[float]) -> Any:
    """Mean squared differences in their units, averaged over the maps."""
    terms = [ops.mean(ops.square(a - b)) / unit for a, b, unit in zip(found, wanted, units, strict=True)]
    return sum(terms) / len(terms)
