"""Scoring the atoms of a mapped file against bare triangular solves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from measurement import AnonymousMemory, in_turns, timed
from scipy.linalg.blas import dtrsm

from prcli.data.dataset import Dataset, Part
from prcli.data.hessian_record import HessianRecord
from prcli.data.store import open_store
from prcli.data.store_writer import StoreWriter
from prcli.workflows.model import full_factor, row_form
from prcli.workflows.score import score

N_STRUCTURES, N_ATOMS, N_FEATURES = 50_000, 20, 512
N_ROWS = N_STRUCTURES * N_ATOMS

#: Blocks of which the bare solve is timed; the rest is extrapolated.
N_SOLVED = 64


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "features.h5"
    writer = StoreWriter(
        path,
        n_atoms=np.full(N_STRUCTURES, N_ATOMS),
        n_features=N_FEATURES,
        dtype=np.float32,
        convention="mean",
        structures=False,
        atoms=True,
    )
    with writer:
        step = 25_000
        for start in range(0, N_ROWS, step):
            writer.write_atoms(start, rng.standard_normal((step, N_FEATURES), dtype=np.float32))
    return path


def _record() -> HessianRecord:
    train = np.random.default_rng(1).standard_normal((2 * N_FEATURES, N_FEATURES))
    return HessianRecord(
        R={"energy": np.linalg.qr(train, mode="r")},
        n_rows={"energy": len(train)},
        sum_sq_atoms=0.0,
        n_atoms=0,
        sum_sq_structures=1.0,
        n_structures=len(train),
        digests=np.zeros(0, dtype=np.uint64),
        energy="per-atom",
        scale_rule="none",
        scale=1.0,
        energy_weight=1.0,
        force_weight=0.0,
        stress_weight=0.0,
        reduction="sum",
        regularizer=1e-6,
    )


def _bare(factor: np.ndarray, block: np.ndarray) -> float:
    """Seconds of the triangular solves alone, extrapolated to all rows."""
    block[:] = 1.0

    def solve() -> None:
        for _ in range(N_SOLVED):
            dtrsm(1.0, factor, block, trans_a=1, overwrite_b=1)

    return timed(solve) * N_ROWS / (N_SOLVED * block.shape[1])


@pytest.mark.benchmark
def test_score_against_triangular_solve(store_path: Path, show: Callable[[str], None]) -> None:
    record = _record()
    factor = full_factor(record)
    block = np.ones((N_FEATURES, row_form(record).block_rows), order="F")
    with Dataset([Part(open_store(store_path), range(N_STRUCTURES))], "test") as data:
        with AnonymousMemory() as memory:
            score(record, data, "atom")
        timing = in_turns(
            [
                lambda: _bare(factor, block),
                lambda: timed(lambda: score(record, data, "atom")),
            ]
        )
    bare, ours = timing.medians
    show(f"{N_ROWS} rows x {N_FEATURES} features, float32 on disk ({timing})")
    show(f"solve {N_ROWS / bare:.0f} rows/s, {1e-9 * N_ROWS * N_FEATURES**2 / bare:.0f} Gflop/s")
    show(f"score {N_ROWS / ours:.0f} rows/s")
    show(f"score rate / solve rate {bare / ours:.2f}  (goal: 0.7 or more)")
    peak = (memory.peak - memory.before) / 2**20
    show(f"anonymous memory above that before: {peak:.0f} MiB  (goal: below 1024)")
