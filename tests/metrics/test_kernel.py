"""The kernel distance has no bias, and its interval holds the truth about as often as it says."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from reference_features import reference_features

from keras_t2i.metrics.kernel import kernel_distance


def definition(x: np.ndarray, y: np.ndarray) -> float:
    """Means of the kernel over all pairs of different rows within each set, less twice that across."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1.0) ** 3

    def within(a: np.ndarray) -> float:
        return float(kernel(a, a)[~np.eye(len(a), dtype=bool)].mean())

    return within(x) + within(y) - 2.0 * float(kernel(x, y).mean())


def gaussian_moments(mean: np.ndarray, variance: np.ndarray) -> list[np.ndarray]:
    """E[x], E[xx'] and E[xxx] of a Gaussian with independent features."""
    covariance = np.diag(variance)
    mixed = np.einsum("i,jk->ijk", mean, covariance)
    third = np.einsum("i,j,k->ijk", mean, mean, mean) + mixed + mixed.transpose(1, 0, 2) + mixed.transpose(1, 2, 0)
    return [mean, covariance + np.outer(mean, mean), third]


def true_distance(p: list[np.ndarray], q: list[np.ndarray]) -> float:
    """Of two distributions with these moments: the kernel is a polynomial in x.y, and E[(x.y)^k] = <E x^k, E y^k>."""

    def kernel(a: list[np.ndarray], b: list[np.ndarray]) -> float:
        dim = len(a[0])
        return float(1.0 + sum(c * np.sum(a[k] * b[k]) / dim ** (k + 1) for k, c in enumerate((3, 3, 1))))

    return kernel(p, p) + kernel(q, q) - 2.0 * kernel(p, q)


@pytest.mark.parametrize("shape", [(50, 40, 8), (3, 4, 2), (20, 30, 100), (1030, 520, 3)], ids=str)
def test_equals_the_definition(shape: tuple[int, int, int]) -> None:
    real, generated = reference_features(*shape)
    assert kernel_distance(real, generated).value == pytest.approx(definition(real, generated), rel=1e-8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    # torch-fidelity 0.4.0, `kid_features_to_metric` over one subset that holds all rows, in float64.
    [((150, 150, 24), 0.03519190659101845), ((40, 40, 64), 0.01982075842314579)],
    ids=str,
)
def test_equals_what_torch_fidelity_gave(shape: tuple[int, int, int], expected: float) -> None:
    assert kernel_distance(*reference_features(*shape)).value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("num_real", "num_generated", "shift", "lowest", "highest"),
    # Of equal distributions the interval is wider than need be, as documented.
    [(100, 80, 0.3, 0.88, 0.99), (40, 60, 0.3, 0.88, 0.99), (60, 60, 0.0, 0.95, 1.0)],
)
def test_has_no_bias_and_the_interval_holds_the_truth(
    num_real: int, num_generated: int, shift: float, lowest: float, highest: float
) -> None:
    """Against the exact distance of two Gaussians, over many draws from them."""
    random, dim, draws = np.random.default_rng(0), 6, 500
    means = np.full(dim, 0.2), np.full(dim, 0.2 + shift)
    variances = np.ones(dim), np.linspace(0.5, 1.5, dim) if shift else np.ones(dim)
    truth = true_distance(*(gaussian_moments(*each) for each in zip(means, variances, strict=True)))
    results = []
    for _ in range(draws):
        real, generated = (
            random.standard_normal((count, dim)) * np.sqrt(variance) + mean
            for count, mean, variance in zip((num_real, num_generated), means, variances, strict=True)
        )
        results.append(kernel_distance(real, generated))
    values = np.array([result.value for result in results])
    assert abs(values.mean() - truth) < 4.0 * values.std() / np.sqrt(draws)
    assert lowest <= np.mean([result.low <= truth <= result.high for result in results]) <= highest


def test_interval_is_that_of_leaving_out_each_row_in_turn() -> None:
    real, generated = reference_features(9, 7, 4)
    variance = 0.0
    for without in (
        [definition(np.delete(real, i, axis=0), generated) for i in range(9)],
        [definition(real, np.delete(generated, i, axis=0)) for i in range(7)],
    ):
        variance += (len(without) - 1) * np.var(without)
    result = kernel_distance(real, generated)
    assert result.high - result.value == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-9)
    assert result.value - result.low == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-9)


def test_neither_the_order_of_images_nor_that_of_sets_matters() -> None:
    real, generated = reference_features(60, 50, 10)
    random, result = np.random.default_rng(0), kernel_distance(real, generated)
    for other in (
        kernel_distance(random.permutation(real), random.permutation(generated)),
        kernel_distance(generated, real),
    ):
        assert [other.value, other.low, other.high] == pytest.approx([result.value, result.low, result.high], rel=1e-9)


def test_memory_does_not_grow_with_the_square_of_the_rows() -> None:
    real, generated = reference_features(4000, 4000, 2)
    tracemalloc.start()
    kernel_distance(real, generated)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000**2 * 8 / 8


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (np.ones((2, 3)), np.ones((9, 3)), "`real` needs at least 3 rows; got 2"),
        (np.ones((9, 3)), np.ones((9, 4)), "`generated` has 4 features a row and `real` 3"),
        (np.ones((9, 3)), np.full((9, 3), np.nan), "`generated` must be finite"),
    ],
)
def test_bad_features_are_refused(real: np.ndarray, generated: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_distance(real, generated)
