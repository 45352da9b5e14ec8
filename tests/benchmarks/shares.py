"""How much of what the machine can do prcli gets out of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hardware_limits import Limits
from measurement import in_turns
from tsv_table import Row
from workloads import CROSS, OBJECTIVES, Features, Size

from prcli.parallel.threads import limit_threads

#: Picks of the shorter of the two selections whose difference is the time of a pick.
FEW_PICKS = 2


def share_rows(
    features: Features,
    limits: Limits,
    threads: tuple[int, ...],
    n_rounds: int,
    patience: float,
    tell: Callable[[str], None],
) -> list[Row]:
    """Lines on the shares of Hessian, scores and selections, with each number of threads."""
    rows = []
    for n_threads in threads:
        with limit_threads(n_threads):
            tell(f"shares of the limits, threads: {n_threads}")
            rows += _factorizations(features, limits, n_threads, n_rounds, patience)
            for objective in OBJECTIVES:
                tell(f"shares of the limits, {objective}")
                rows += _selection(features, objective, limits, n_threads, n_rounds, patience)
    return rows


def _factorizations(
    features: Features, limits: Limits, n_threads: int, n_rounds: int, patience: float
) -> list[Row]:
    size = features.size
    unit = float(size.C) * size.D**2
    functions: list[Callable[[], float]] = [
        limits.product,
        limits.solve,
        features.hessian,
        features.score,
    ]
    product, solve, hessian, score = in_turns(functions, n_rounds, patience).rounds.T
    place = Size(size.C, 0, size.D, 0)
    return [
        _row("hessian", 2.0 * unit * product / hessian, "matrix product", place, n_threads),
        _row("score", unit * solve / score, "triangular solve", place, n_threads),
    ]


def _selection(
    features: Features,
    objective: str,
    limits: Limits,
    n_threads: int,
    n_rounds: int,
    patience: float,
) -> list[Row]:
    size = features.size
    many = size.picks
    functions: list[Callable[[], float]] = [
        limits.solve,
        limits.product,
        limits.read,
        limits.read_and_write,
        lambda: features.select_seconds(objective, FEW_PICKS),
        lambda: features.select_seconds(objective, many),
    ]
    features.select_seconds(objective, many)
    solve, product, read, both, short, long = in_turns(functions, n_rounds, patience).rounds.T
    pick = _positive((long - short) / (many - FEW_PICKS))
    start = _positive(short - FEW_PICKS * pick)
    bound = float(size.C) * size.D**2 * solve + set_up_products(objective, size) * product
    traffic = 8.0 * size.C * (size.D * read + covariances(objective, size) * both)
    what = "memory traffic" if objective in CROSS else "memory, read"
    return [
        _row(f"select {objective}: pick", traffic / pick, what, size, n_threads),
        _row(f"select {objective}: set-up", bound / start, "solve and products", size, n_threads),
    ]


def _positive(seconds: np.ndarray) -> np.ndarray:
    """Differences of times; nan where the noise is larger than what was measured."""
    return np.where(seconds > 0.0, seconds, np.nan)


def set_up_products(objective: str, size: Size) -> float:
    """Floating-point operations of the matrix products before the first pick."""
    if objective in CROSS:
        return 2.0 * size.C * size.T * size.D
    return 2.0 * size.C * size.D**2 if objective == "mean-variance" else 0.0


def covariances(objective: str, size: Size) -> int:
    """Covariances of a candidate that a pick has to read and write."""
    return size.T if objective in CROSS else 0


def _row(item: str, shares: np.ndarray, limit: str, size: Size, n_threads: int) -> Row:
    return Row(
        "share",
        item,
        float(np.median(shares)),
        f"of {limit}",
        C=size.C,
        T=size.T or None,
        D=size.D,
        picks=size.picks or None,
        threads=n_threads,
        low=float(shares.min()),
        high=float(shares.max()),
    )
