"""The distances equal those of two packages in common use, where these are installed (they are no dependencies).

torch-fidelity as a whole asks for torchvision and for network weights; its formulas do not. They are executed here from
its own files, apart from the imports that serve feature extraction.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reference_features import reference_features

from keras_t2i.metrics.frechet import frechet_distance
from keras_t2i.metrics.kernel import kernel_distance
from keras_t2i.metrics.manifold import manifold_metrics

SHAPES = [(150, 150, 24), (40, 40, 64), (400, 400, 100), (200, 120, 16)]


@pytest.fixture
def torch_fidelity(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Returns the functions of one file of torch-fidelity by its name."""
    pytest.importorskip("torch")
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None or spec.origin is None:
        pytest.skip("torch_fidelity is not installed")
    folder = Path(spec.origin).parent
    # The package without the imports of its `__init__`, for the files with its helpers and defaults.
    monkeypatch.setitem(sys.modules, "torch_fidelity", importlib.util.module_from_spec(spec))
    for name in ("defaults", "deprecations", "helpers"):
        monkeypatch.delitem(sys.modules, f"torch_fidelity.{name}", raising=False)

    def functions(name: str) -> dict[str, Any]:
        path = folder / f"{name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.ImportFrom) and node.module == "torch_fidelity.utils")
        ]
        namespace: dict[str, Any] = {}
        exec(compile(tree, str(path), "exec"), namespace)
        return namespace

    return functions


@pytest.mark.parametrize("shape", SHAPES)
def test_frechet_distance_is_that_of_torch_fidelity(shape: tuple[int, int, int], torch_fidelity: Any) -> None:
    import torch

    theirs = torch_fidelity("metric_fid")
    real, generated = reference_features(*shape)
    statistics = [theirs["fid_features_to_statistics"](torch.from_numpy(features)) for features in (real, generated)]
    expected = theirs["fid_statistics_to_metric"](*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_kernel_distance_is_that_of_torch_fidelity(shape: tuple[int, int, int], torch_fidelity: Any) -> None:
    """Over one subset that holds all images; theirs takes as many of either."""
    import torch

    theirs = torch_fidelity("metric_kid")
    real, generated = reference_features(*shape)
    expected = theirs["kid_features_to_metric"](
        torch.from_numpy(real), torch.from_numpy(generated), kid_subsets=1, kid_subset_size=len(real), verbose=False
    )["kernel_inception_distance_mean"]
    assert kernel_distance(real, generated).value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("num_neighbors", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_precision_and_recall_are_those_of_torch_fidelity(
    shape: tuple[int, int, int], num_neighbors: int, torch_fidelity: Any
) -> None:
    import torch

    theirs = torch_fidelity("metric_prc")
    real, generated = reference_features(*shape)
    expected = theirs["prc_features_to_metric"](
        torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=num_neighbors, verbose=False
    )
    ours = manifold_metrics(real, generated, num_neighbors)
    assert ours["precision"] == pytest.approx(expected["precision"], abs=1e-6)
    assert ours["recall"] == pytest.approx(expected["recall"], abs=1e-6)


@pytest.mark.parametrize("num_neighbors", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_manifold_metrics_are_those_of_prdc(shape: tuple[int, int, int], num_neighbors: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies
        prdc = pytest.importorskip("prdc")
        real, generated = reference_features(*shape)
        expected = prdc.compute_prdc(real, generated, num_neighbors)
    assert manifold_metrics(real, generated, num_neighbors) == pytest.approx(expected, abs=1e-6)
