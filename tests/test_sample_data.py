"""Real features: the sample set of amorphous carbon, against brute force and 400-bit arithmetic."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_triangular

import prcli
from prcli.data.store import open_store
from prcli.workflows.model import full_factor

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_data"
REGULARIZERS = (1e-4, 1e-8, 1e-11, 1e-13)


def read_rows(name):
    with open_store(SAMPLE / f"{name}.h5") as store:
        return store.structures.read(0, store.n_structures).astype(np.float64)


@pytest.fixture(scope="module")
def rows():
    return {name: read_rows(name) for name in ("train", "target", "pool")}


def record_for(regularizer):
    return prcli.hessian(SAMPLE / "train.h5", regularizer=regularizer)


def exact_variances(train, targets, scale, regularizer, precision=400):
    """gᵀH⁻¹g of each target in arithmetic of `precision` bits."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = precision
    X = flint.arb_mat(train.tolist())
    G = flint.arb_mat(targets.tolist())
    square = flint.arb(float(scale)) ** 2
    H = X.transpose() * X
    n_columns = train.shape[1]
    for i in range(n_columns):
        H[i, i] += square * flint.arb(float(regularizer))
    solved = H.solve(G.transpose())
    return [
        sum((G[t, i] * solved[i, t] for i in range(n_columns)), flint.arb(0))
        for t in range(len(targets))
    ]


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_rigidities_have_nine_digits(rows, regularizer):
    record = record_for(regularizer)
    scores = prcli.score(record, SAMPLE / "target.h5")
    exact = exact_variances(rows["train"], rows["target"], record.scale, regularizer)
    worst = max(
        abs(float(value * float(pr) - 1)) for value, pr in zip(exact, scores.rigidity, strict=True)
    )
    assert worst < 1e-9


GAINS = {
    "mean-pr": lambda v, new: np.mean((v - new) / (v * new)),
    "mean-log-pr": lambda v, new: -np.mean(np.log(new / v)),
    "mean-variance": lambda v, new: np.mean(v - new),
}


def brute_force(rows, scale, regularizer, objective, n_to_select):
    """Factorize anew for every candidate; give picks and margins, ties to the lowest position."""
    train, targets, pool = (rows[name] / scale for name in ("train", "target", "pool"))
    prior = np.sqrt(regularizer) * np.eye(train.shape[1])
    chosen: list[int] = []
    margins: list[float] = []

    def variances(extra):
        factor = np.linalg.qr(np.vstack([train, pool[chosen], *extra, prior]), mode="r")
        return (solve_triangular(factor, targets.T, trans="T") ** 2).sum(axis=0)

    for _ in range(n_to_select):
        before = variances([])
        gains = np.full(len(pool), -np.inf)
        for c in set(range(len(pool))) - set(chosen):
            gains[c] = GAINS[objective](before, variances([pool[c : c + 1]]))
        best = gains.max()
        margins.append(1.0 - np.partition(gains, -2)[-2] / best)
        chosen.append(int(np.flatnonzero(gains >= best - 1e-9 * abs(best))[0]))
    return chosen, margins


@pytest.mark.parametrize("objective", GAINS)
@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_picks_and_margins_are_those_of_brute_force(rows, regularizer, objective):
    record = record_for(regularizer)
    selection = prcli.select(
        SAMPLE / "pool.h5",
        8,
        hessian=record,
        target=SAMPLE / "target.h5",
        objective=objective,
    )
    picks, margins = brute_force(rows, record.scale, regularizer, objective, 8)
    assert selection.indices.tolist() == picks
    assert [pick.margin for pick in selection.picks] == pytest.approx(margins, abs=1e-5)
    assert selection.drift < 1e-8


def load_figure4():
    spec = importlib.util.spec_from_file_location("figure4", SAMPLE / "figure4.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["figure4"] = module
    spec.loader.exec_module(module)
    return module


def test_table_of_the_readme_comes_out_of_the_data():
    figure4 = load_figure4()
    sets = figure4.load_scaled()
    regularizer, _ = figure4.choose_regularizer(sets["train"])
    assert regularizer == 1e-5
    table = figure4.table(sets, regularizer)
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    for label in ("mean-PR", "random", "low-density"):
        line = next(line for line in table.splitlines() if line.startswith(f"| {label} "))
        assert line.replace(" ± 0 |", " |", 1) in readme


def test_sample_data_stays_small():
    size = sum(path.stat().st_size for path in SAMPLE.iterdir() if path.is_file())
    assert size < 5_000_000


def test_float32_features_and_a_tiny_regularizer_are_warned_about(caplog):
    record = record_for(1e-16)
    assert "rounding of float32" in caplog.text
    assert np.isfinite(full_factor(record)).all()
