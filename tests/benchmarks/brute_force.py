"""Picks by a QR factorization for every candidate: slow, and nothing of prcli in it."""

from __future__ import annotations

import numpy as np
from measurement import timed
from tsv_table import Row
from workloads import OBJECTIVES, REGULARIZER, Features


def brute_force_picks(
    objective: str, rows: np.ndarray, targets: np.ndarray, pool: np.ndarray, n_picks: int
) -> list[int]:
    """Greedy picks, the objective computed anew from all rows for each candidate."""
    picks: list[int] = []
    for _ in range(n_picks):
        values = np.full(len(pool), -np.inf)
        for c in set(range(len(pool))).difference(picks):
            values[c] = _value(objective, np.vstack([rows, pool[c]]), targets)
        picks.append(int(values.argmax()))
        rows = np.vstack([rows, pool[picks[-1]]])
    return picks


def _value(objective: str, rows: np.ndarray, targets: np.ndarray) -> float:
    prior = np.sqrt(REGULARIZER) * np.eye(rows.shape[1])
    factor = np.linalg.qr(np.vstack([rows, prior]), mode="r")
    if objective == "log-det":
        return float(2.0 * np.sum(np.log(np.abs(np.diag(factor)))))
    variances = np.sum(np.linalg.solve(factor.T, targets.T) ** 2, axis=0)
    values = {
        "mean-pr": np.mean(1.0 / variances),
        "mean-log-pr": -np.mean(np.log(variances)),
        "min-pr": 1.0 / variances.max(),
        "mean-variance": -np.mean(variances),
    }
    return float(values[objective])


def agreement_rows(features: Features) -> list[Row]:
    """Lines that say, for each objective, how many picks are those of brute force."""
    rows = []
    size = features.size
    for objective in OBJECTIVES:
        picks = features.select(objective).indices.tolist()
        expected: list[int] = []
        seconds = timed(lambda o=objective, e=expected: e.extend(_expected(o, features)))
        equal = next(
            (i for i, (a, b) in enumerate(zip(picks, expected, strict=True)) if a != b), len(picks)
        )
        rows.append(
            Row(
                "agreement",
                f"select {objective}",
                float(equal),
                f"of {len(expected)} picks",
                C=size.C,
                T=size.T,
                D=size.D,
                picks=size.picks,
                note=f"with those of a QR factorization for each candidate, {seconds:.2g} s",
            )
        )
    return rows


def _expected(objective: str, features: Features) -> list[int]:
    return brute_force_picks(
        objective, features.train, features.target, features.pool, features.size.picks
    )
