"""Precision, recall, density and coverage equal their definitions and tell known failures apart."""

from __future__ import annotations

import numpy as np
import pytest
from reference_features import reference_features

from keras_t2i.metrics.manifold import manifold_metrics


def definition(real: np.ndarray, generated: np.ndarray, num_neighbors: int) -> dict[str, float]:
    """As in the papers, from all distances at once."""

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(sum((a[:, None, d] - b[None, :, d]) ** 2 for d in range(a.shape[1])))

    real_radii = np.sort(distances(real, real), axis=1)[:, num_neighbors]  # the nearest is the row itself
    generated_radii = np.sort(distances(generated, generated), axis=1)[:, num_neighbors]
    across = distances(real, generated)
    in_real, in_generated = across < real_radii[:, None], across < generated_radii[None]
    return {
        "precision": in_real.any(axis=0).mean(),
        "recall": in_generated.any(axis=1).mean(),
        "density": in_real.sum() / (num_neighbors * len(generated)),
        "coverage": (across.min(axis=1) < real_radii).mean(),
    }


@pytest.mark.parametrize("num_neighbors", [1, 5])
@pytest.mark.parametrize("shape", [(60, 80, 10), (80, 60, 3), (6, 7, 40), (1100, 1050, 4)], ids=str)
def test_equals_the_definition(shape: tuple[int, int, int], num_neighbors: int) -> None:
    real, generated = reference_features(*shape)
    ours = manifold_metrics(real, generated, num_neighbors)
    assert ours == pytest.approx(definition(real, generated, num_neighbors), rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "num_neighbors", "expected"),
    # prdc 0.2, `compute_prdc`; precision and recall by torch-fidelity 0.4.0, `prc_features_to_metric`, are the same.
    [
        ((150, 150, 24), 3, (0.8666666666666667, 0.47333333333333333, 1.7577777777777777, 0.9733333333333334)),
        ((150, 150, 24), 5, (0.94, 0.5733333333333334, 1.7066666666666668, 0.9866666666666667)),
        ((200, 120, 16), 5, (0.9583333333333334, 0.735, 1.616666666666667, 0.94)),
        ((40, 40, 64), 5, (1.0, 0.325, 2.565, 1.0)),
    ],
    ids=str,
)
def test_equals_what_prdc_and_torch_fidelity_gave(
    shape: tuple[int, int, int], num_neighbors: int, expected: tuple[float, ...]
) -> None:
    ours = manifold_metrics(*reference_features(*shape), num_neighbors)
    assert tuple(ours.values()) == pytest.approx(expected, rel=1e-9)


def test_by_hand_on_a_line() -> None:
    """Real 0, 1, 3, 10 reach 1, 1, 2, 7; generated 1.5, 4, 30 reach 2.5, 2.5, 26. An edge lies outside."""
    ours = manifold_metrics(np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([[1.5], [4.0], [30.0]]), num_neighbors=1)
    # 1.5 lies in the balls of 1 and 3, 4 in those of 3 and 10, 30 in none. 10 lies in the ball of 30 alone.
    assert ours == pytest.approx({"precision": 2 / 3, "recall": 1.0, "density": 4 / 3, "coverage": 3 / 4})


def test_points_on_the_edge_are_outside() -> None:
    real, generated = np.array([[0.0], [0.1], [0.2]]), np.array([[-0.1], [0.3], [50.0]])
    assert manifold_metrics(real, generated, num_neighbors=1)["precision"] == 0.0


@pytest.mark.parametrize("shape", [(300, 300, 20), (1500, 1500, 8)], ids=str)
def test_of_a_set_with_itself_are_one(shape: tuple[int, int, int]) -> None:
    """Density too: each row lies in its own ball, and the k-th neighbor of each on the edge, whatever the rounding."""
    real, _ = reference_features(*shape)
    everywhere = manifold_metrics(real, np.random.default_rng(0).permutation(real))
    assert everywhere == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_copies_of_one_image_have_no_ball() -> None:
    """A collapsed generator may be precise; it recalls nothing."""
    real, _ = reference_features(200, 200, 5)
    center = np.full((200, 5), 0.1)
    collapsed = manifold_metrics(real, center)
    assert collapsed["precision"] == 1.0
    assert collapsed["recall"] == 0.0
    assert collapsed["coverage"] < 0.5
    # An image that is there twice has no ball for one neighbor, whatever the rounding: its copy lies on the edge.
    twice = np.concatenate([real, real])
    shuffled = np.random.default_rng(0).permutation(twice)
    assert manifold_metrics(twice, shuffled, num_neighbors=1) == dict.fromkeys(collapsed, 0.0)


def test_of_sets_far_apart_are_zero() -> None:
    real, generated = reference_features(100, 100, 8)
    apart = manifold_metrics(real, generated + 1e6)
    assert apart == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_half_of_the_modes_halve_recall_and_half_noise_halves_precision() -> None:
    random = np.random.default_rng(0)
    modes = np.array([[0.0, 0.0], [1000.0, 0.0]])
    real = np.concatenate([random.standard_normal((500, 2)) + mode for mode in modes])
    one_mode = random.standard_normal((1000, 2))
    dropped = manifold_metrics(real, one_mode)
    assert dropped["precision"] > 0.95
    assert 0.45 < dropped["recall"] <= 0.5
    assert 0.45 < dropped["coverage"] <= 0.5
    noisy = manifold_metrics(real, np.concatenate([real + 0.01, random.uniform(1e4, 2e4, (1000, 2))]))
    assert noisy["precision"] == pytest.approx(0.5)
    assert noisy["recall"] > 0.95


def test_neither_the_order_nor_the_place_nor_the_scale_of_features_matters() -> None:
    real, generated = reference_features(120, 90, 12)
    random, expected = np.random.default_rng(0), manifold_metrics(real, generated)
    assert manifold_metrics(random.permutation(real), random.permutation(generated)) == expected
    assert manifold_metrics(1e-6 * real, 1e-6 * generated) == expected
    assert manifold_metrics(real + 1e7, generated + 1e7) == expected


@pytest.mark.parametrize(
    ("real", "generated", "num_neighbors", "message"),
    [
        (np.ones((5, 3)), np.ones((9, 3)), 5, "`real` needs at least 6 rows; got 5"),
        (np.ones((9, 3)), np.ones((2, 3)), 2, "`generated` needs at least 3 rows; got 2"),
        (np.ones((9, 3)), np.ones((9, 4)), 5, "`generated` has 4 features a row and `real` 3"),
        (np.ones((9, 3)), np.ones((9, 3)), 0, "`num_neighbors` must be at least 1; got 0"),
    ],
)
def test_bad_input_is_refused(real: np.ndarray, generated: np.ndarray, num_neighbors: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifold_metrics(real, generated, num_neighbors)
