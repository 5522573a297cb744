"""The Fréchet distance equals its definition, also where covariances are singular."""

from __future__ import annotations

import numpy as np
import pytest
from reference_features import reference_features

from keras_t2i.metrics.frechet import frechet_distance


def definition(x: np.ndarray, y: np.ndarray) -> float:
    """As in the paper; the eigenvalues of C_1 C_2 are never negative, their roots are those of its square root."""
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (x, y)]
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)).real
    shift = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    return float(shift + np.trace(covariances[0]) + np.trace(covariances[1]) - 2.0 * roots.sum())


@pytest.mark.parametrize(
    "shape",
    [(300, 200, 20), (50, 300, 20), (30, 40, 60), (20, 200, 60), (200, 20, 60), (61, 60, 60), (2, 2, 5), (9, 7, 1)],
    ids=str,
)
def test_equals_the_definition(shape: tuple[int, int, int]) -> None:
    real, generated = reference_features(*shape)
    mixing = np.random.default_rng(0).standard_normal((shape[2], shape[2]))
    generated = generated @ mixing + 0.3
    assert frechet_distance(real, generated) == pytest.approx(definition(real, generated), rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    # torch-fidelity 0.4.0, `fid_statistics_to_metric`, in float64.
    [((150, 150, 24), 2.611881959903066), ((200, 120, 16), 1.3397762538220306), ((40, 40, 64), 51.72491807724785)],
    ids=str,
)
def test_equals_what_torch_fidelity_gave(shape: tuple[int, int, int], expected: float) -> None:
    assert frechet_distance(*reference_features(*shape)) == pytest.approx(expected, rel=1e-6)


def test_in_one_dimension_it_is_the_distance_of_means_and_of_deviations() -> None:
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0], [9.0]])
    assert frechet_distance(x, y) == pytest.approx(4.0**2 + (np.sqrt(2.0) - 4.0) ** 2, rel=1e-12)


def test_of_lines_through_space() -> None:
    """Covariances of rank 1, uu' and vv': the trace of the root is |u.v|."""
    random = np.random.default_rng(1)
    u, v, amounts = random.standard_normal(30), random.standard_normal(30), random.standard_normal((100, 1))
    amounts = (amounts - amounts.mean()) / amounts.std(ddof=1)
    expected = u @ u + v @ v - 2.0 * abs(u @ v)
    assert frechet_distance(amounts * u, amounts[::-1] * v) == pytest.approx(expected, rel=1e-9)


def test_constant_features_count_by_their_difference_alone() -> None:
    real, generated = reference_features(80, 90, 6)
    constant = np.full((90, 4), 7.0)
    wide = frechet_distance(np.hstack([real, constant[:80] - 2.0]), np.hstack([generated, constant]))
    assert wide == pytest.approx(frechet_distance(real, generated) + 4 * 2.0**2, rel=1e-9)


@pytest.mark.parametrize("shape", [(300, 300, 20), (20, 20, 300)], ids=str)
def test_of_a_set_with_itself_is_zero_and_of_a_shifted_one_the_shift(shape: tuple[int, int, int]) -> None:
    features, _ = reference_features(*shape)
    assert 0.0 <= frechet_distance(features, features) < 1e-10
    assert frechet_distance(features, features + 0.5) == pytest.approx(shape[2] * 0.25, rel=1e-9)
    assert frechet_distance(features + 1e5, features + 1e5) < 1e-8


def test_neither_the_order_of_images_nor_that_of_sets_matters() -> None:
    real, generated = reference_features(70, 50, 40)
    value = frechet_distance(real, generated)
    random = np.random.default_rng(0)
    assert frechet_distance(random.permutation(real), random.permutation(generated)) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(generated, real) == pytest.approx(value, rel=1e-10)


def test_bad_features_are_refused_in_one_line() -> None:
    good = np.ones((4, 3))
    broken = good.copy()
    broken[2, 1] = np.nan
    for real, generated, message in [
        (good[:1], good, "`real` needs at least 2 rows; got 1"),
        (good, good[:, :2], "`generated` has 2 features a row and `real` 3"),
        (good, good.ravel(), r"`generated` must be features of shape \(N, D\); got shape \(12,\)"),
        (good[:, :0], good, r"`real` must be features of shape \(N, D\)"),
        (good, broken, "`generated` must be finite; row 2 is not"),
        (good * np.inf, good, "`real` must be finite; row 0 is not"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            frechet_distance(real, generated)
        assert "\n" not in str(caught.value)
