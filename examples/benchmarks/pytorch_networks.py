"""The networks of `compact` and `projected` in PyTorch, for `step_beside_pytorch.py`, which alone imports them.

Each module takes its weights, as this package stores them, in the order of its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Seen = tuple[Tensor, Tensor]
"""How real each image looks, and what is compared with captions."""


def stored(file: Path) -> Iterator[Tensor]:
    """Arrays in the order in which they were written."""
    with np.load(file) as arrays:
        return iter([torch.from_numpy(arrays[key]) for key in arrays.files])


class Conv(nn.Module):
    """A convolution as Keras has it, padded to keep the size, or to divide it by the stride."""

    def __init__(self, weights: Iterator[Tensor], stride: int = 1, bias: bool = True, depth: bool = False) -> None:
        super().__init__()
        kernel = next(weights)
        kernel = kernel.permute(2, 3, 0, 1) if depth else kernel.permute(3, 2, 0, 1)
        self.weight = nn.Parameter(kernel.contiguous())
        self.bias = nn.Parameter(next(weights)) if bias else None
        self.stride, self.groups = stride, kernel.shape[0] if depth else 1
        needed = kernel.shape[-1] - stride
        self.before, self.after = needed // 2, needed - needed // 2

    def kernel(self) -> Tensor:
        return self.weight

    def forward(self, maps: Tensor) -> Tensor:
        padding = self.before
        if self.before != self.after:
            maps, padding = F.pad(maps, (self.before, self.after, self.before, self.after)), 0
        return F.conv2d(maps, self.kernel(), self.bias, self.stride, padding, groups=self.groups)


class Spectral(Conv):
    """Its kernel divided by the largest singular value, by one power iteration a call."""

    def __init__(self, weights: Iterator[Tensor], stride: int = 1) -> None:
        super().__init__(weights, stride)
        self.register_buffer("direction", next(weights).clone())

    def kernel(self) -> Tensor:
        matrix = self.weight.flatten(1)  # One row an output.
        with torch.no_grad():
            left = F.normalize(self.direction @ matrix, dim=0)
            right = F.normalize(matrix @ left, dim=0)
            self.direction.copy_(right)
        return self.weight / (right @ (matrix @ left))


class Linear(nn.Module):
    def __init__(self, weights: Iterator[Tensor], bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(next(weights).T.contiguous())
        self.bias = nn.Parameter(next(weights)) if bias else None

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(values, self.weight, self.bias)


def activate(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, 0.2)


def unit_rms(maps: Tensor) -> Tensor:
    return maps * torch.rsqrt(maps.square().mean(1, keepdim=True) + 1e-6)


def as_it_is(maps: Tensor) -> Tensor:
    return maps


def grow(maps: Tensor, mode: str = "bilinear") -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode=mode)


def modulate(affine: Linear, maps: Tensor, style: Tensor) -> Tensor:
    scale, shift = affine(style)[:, :, None, None].chunk(2, 1)
    return maps * (1.0 + scale) + shift


class Up(nn.Module):
    def __init__(self, weights: Iterator[Tensor], mode: str, normalize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.mode, self.normalize = mode, normalize
        self.affine_in, self.conv_in = Linear(weights), Conv(weights)
        self.affine_out, self.conv_out = Linear(weights), Conv(weights)
        self.shortcut = Conv(weights, bias=False)

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        residual = activate(modulate(self.affine_in, self.normalize(maps), style))
        residual = self.conv_in(grow(residual, self.mode))
        residual = self.conv_out(activate(modulate(self.affine_out, self.normalize(residual), style)))
        return grow(self.shortcut(maps), self.mode) + residual


class Generator(nn.Module):
    """That of `compact`, or of `projected`, whose maps are `smooth` and begin with the noise alone."""

    def __init__(self, weights: Iterator[Tensor], smooth: bool) -> None:
        super().__init__()
        self.mode, self.normalize = ("bilinear", unit_rms) if smooth else ("nearest", as_it_is)
        self.register_buffer("mean", next(weights))
        self.register_buffer("scale", next(weights))
        self.noise_first = smooth
        self.text, self.style, self.features = Linear(weights), Linear(weights), Linear(weights, bias=not smooth)
        self.blocks = nn.ModuleList([Up(weights, self.mode, self.normalize) for _ in range(3)])
        self.full_size, self.to_image = Conv(weights), Conv(weights)

    def forward(self, latents: Tensor, embeddings: Tensor) -> Tensor:
        text = activate(self.text((embeddings - self.mean) * self.scale))
        joined = torch.cat([latents, text], 1)
        style = activate(self.style(joined))
        maps = self.features(latents if self.noise_first else joined).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        if not self.to_image.weight.is_contiguous(memory_format=torch.channels_last):
            maps = maps.contiguous()
        for block in self.blocks:
            maps = block(maps, style)
        maps = self.full_size(grow(activate(self.normalize(maps)), self.mode))
        return torch.tanh(self.to_image(activate(self.normalize(maps))))


class Judge(nn.Module):
    """What both discriminators have: captions, and the two projections, which are made last."""

    mean: Tensor
    scale: Tensor

    def center(self, weights: Iterator[Tensor]) -> None:
        self.register_buffer("mean", next(weights))
        self.register_buffer("scale", next(weights))

    def texts(self, embeddings: Tensor) -> Tensor:
        return self.project_text((embeddings - self.mean) * self.scale) / 128**0.5

    def judge(self, seen: Seen, texts: Tensor) -> Tensor:
        return seen[0] + (self.project_image(seen[1]) * texts).sum(1)

    def match(self, seen: Seen, texts: Tensor) -> Tensor:
        return self.project_image(seen[1]) @ texts.T


class Down(nn.Module):
    def __init__(self, weights: Iterator[Tensor]) -> None:
        super().__init__()
        self.conv_in, self.conv_out = Conv(weights, 2), Conv(weights)
        self.shortcut = Conv(weights, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.conv_out(activate(self.conv_in(activate(maps))))
        return self.shortcut(F.avg_pool2d(maps, 2)) + residual


class Compact(Judge):
    def __init__(self, weights: Iterator[Tensor]) -> None:
        super().__init__()
        self.center(weights)
        self.stem = Conv(weights, 2)
        self.blocks = nn.ModuleList([Down(weights) for _ in range(3)])
        self.head, self.realness = Conv(weights), Linear(weights)
        self.project_image, self.project_text = Linear(weights), Linear(weights)

    def forward(self, images: Tensor) -> Seen:
        maps = self.stem(images)
        for block in self.blocks:
            maps = block(maps)
        seen = activate(self.head(activate(maps))).permute(0, 2, 3, 1).flatten(1)
        return self.realness(seen)[:, 0], seen


class Bottleneck(nn.Module):
    def __init__(self, weights: Iterator[Tensor], expansion: int, stride: int, same: bool) -> None:
        super().__init__()
        self.widen = Conv(weights) if expansion > 1 else None
        self.depthwise = Conv(weights, stride, depth=True)
        self.narrow, self.same = Conv(weights), same

    def forward(self, maps: Tensor) -> Tensor:
        found = maps if self.widen is None else F.relu6(self.widen(maps))
        found = self.narrow(F.relu6(self.depthwise(found)))
        return maps + found if self.same else found


class Head(nn.Module):
    def __init__(self, weights: Iterator[Tensor], halvings: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([Spectral(weights, 2) for _ in range(halvings)] + [Spectral(weights)])
        self.realness = Spectral(weights)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            maps = activate(conv(maps))
        return self.realness(maps).mean((1, 2, 3)), maps.mean((2, 3))


class Projected(Judge):
    def __init__(self, weights: Iterator[Tensor]) -> None:
        super().__init__()
        self.center(weights)
        self.stem, self.bottlenecks, channels = Conv(weights, 2), nn.ModuleList(), 32
        stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
        for expansion, width, count, stride in (*stages, (6, 320, 1, 1)):
            for number in range(count):
                first = stride if number == 0 else 1
                block = Bottleneck(weights, expansion, first, first == 1 and channels == width)
                self.bottlenecks.append(block)
                channels = width
        self.mix_channels = nn.ModuleList([Conv(weights, bias=False) for _ in range(4)])
        self.mix_scales = nn.ModuleList([Conv(weights, bias=False) for _ in range(3)])
        for module in (self.stem, self.bottlenecks, self.mix_channels, self.mix_scales):
            module.requires_grad_(False)
        self.heads = nn.ModuleList([Head(weights, halvings) for halvings in (3, 2, 1, 0, 4)])
        self.project_image, self.project_text = Linear(weights), Linear(weights)

    def forward(self, images: Tensor) -> Seen:
        maps, taps = F.relu6(self.stem(grow(images))), []
        for number, block in enumerate(self.bottlenecks):
            maps = block(maps)
            if number in (2, 5, 12, 16):
                taps.append(maps)
        mixed = [mix(tap) for mix, tap in zip(self.mix_channels, taps, strict=True)]
        for i in (2, 1, 0):
            mixed[i] = (mixed[i] + self.mix_scales[i](grow(mixed[i + 1]))) / 2**0.5
        found = [head(each) for head, each in zip(self.heads, [*mixed, images], strict=True)]
        return sum(realness for realness, _ in found) / len(found), torch.cat([each for _, each in found], 1)


def losses_of(discriminator: Judge, real: Seen, fake: Seen, texts: Tensor, hinge: bool) -> tuple[Tensor, Tensor]:
    """Those of the discriminator and of the generator, without a penalty; no two captions are the same."""
    real_logits, fake_logits = discriminator.judge(real, texts), discriminator.judge(fake, texts)
    mismatched = discriminator.judge(real, texts.roll(1, 0))
    if hinge:
        judged = F.relu(1.0 - real_logits) + 0.5 * (F.relu(1.0 + fake_logits) + F.relu(1.0 + mismatched))
        fooled = -fake_logits
    else:
        judged = F.softplus(-real_logits) + 0.5 * (F.softplus(fake_logits) + F.softplus(mismatched))
        fooled = F.softplus(-fake_logits)
    own = torch.arange(len(texts))
    told, said = (F.cross_entropy(discriminator.match(each, texts), own) for each in (real, fake))
    return judged.mean() + 0.5 * told, fooled.mean() + 0.5 * said


def r1(discriminator: Judge, images: Tensor, embeddings: Tensor) -> Tensor:
    """Half the squared slope of the logits at real images."""
    varied = images.detach().requires_grad_()
    logits = discriminator.judge(discriminator(varied), discriminator.texts(embeddings))
    (slope,) = torch.autograd.grad(logits.sum(), varied, create_graph=True)
    return 0.5 * slope.square().sum((1, 2, 3)).mean()
