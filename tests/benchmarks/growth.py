"""How the cost of a command grows with the size of the problem.

Time is measured at some sizes that differ in one variable only. The slope of its logarithm over
that of the variable is the exponent: of the medians, and of every round by itself.

Runs with one thread are timed by the processor time of this process, which others on the machine
disturb less than the time of day; runs that compare numbers of threads by the time of day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from looks import Looks, counted_looks
from measurement import in_turns
from tsv_table import Row
from workloads import OBJECTIVES, Features, Size

from prcli.parallel.threads import limit_threads

#: Factors on the base size, by variable.
FACTORS: dict[str, tuple[float, ...]] = {
    "C": (0.5, 1.0, 2.0, 4.0),
    "T": (0.5, 1.0, 2.0, 4.0),
    "D": (0.5, 1.0, 2.0, 3.0),
    "picks": (0.25, 0.5, 1.0, 2.0),
}

#: Factors on C, T, D and picks of runs that differ from the base in all of them: without these a
#: fit could not tell costs apart that grow alike in every single variable.
CORNERS = ((2.0, 0.5, 2.0, 0.5), (0.5, 2.0, 2.0, 2.0), (2.0, 2.0, 0.5, 0.5), (0.5, 0.5, 0.5, 2.0))

#: Variables that the cost of a command depends on.
VARIABLES = {"hessian": ("C", "D"), "score": ("C", "D")} | {
    f"select {objective}": ("C", "T", "D", "picks") for objective in OBJECTIVES
}


@dataclass(frozen=True)
class Run:
    """What one command took, of one size and with a number of threads.

    Attributes
    ----------
    command : str
        "hessian", "score" or "select OBJECTIVE".
    size : Size
    threads : int
    seconds : ndarray of shape (rounds,)
    variable : str
        In what it differs from the runs that took turns with it.
    looks : Looks or None
        What the lazy screen of log-det looked at, the same in every round.
    """

    command: str
    size: Size
    threads: int
    seconds: np.ndarray
    variable: str = ""
    looks: Looks | None = None

    @property
    def median(self) -> float:
        """Seconds that count."""
        return float(np.median(self.seconds))


@dataclass(frozen=True)
class Exponent:
    """Slope of log time over log size, and the slopes of single rounds."""

    value: float
    low: float
    high: float
    error: float


def slope(sizes: Sequence[float], seconds: np.ndarray) -> Exponent:
    """Fit a power law.

    Parameters
    ----------
    sizes : sequence of float
    seconds : ndarray of shape (rounds, len(sizes))

    Returns
    -------
    exponent : Exponent
        Of the medians, with the standard error of the fit (nan for two sizes), and the
        smallest and largest of single rounds.
    """
    x = np.log(np.asarray(sizes, dtype=float))
    x -= x.mean()
    norm = float(x @ x)
    single = np.log(seconds) @ x / norm
    y = np.log(np.median(seconds, axis=0))
    value = float(y @ x) / norm
    rest = y - y.mean() - value * x
    free = len(x) - 2
    error = float(np.sqrt(rest @ rest / free / norm)) if free > 0 else float("nan")
    return Exponent(value, float(single.min()), float(single.max()), error)


def measure_growth(
    base: Size,
    threads: tuple[int, ...],
    n_rounds: int,
    patience: float,
    tell: Callable[[str], None],
) -> list[Run]:
    """Time all commands around a base size with one thread, and at the base with more.

    Returns
    -------
    runs : list of Run
        Their `variable` is "C", "T", "D", "picks", "threads", or "corners" where all sizes vary.
    """
    runs = []
    for command, variables in VARIABLES.items():
        for variable in variables:
            tell(f"growth of {command} with {variable}")
            cases = [(size, 1) for size in _sizes(base, variable)]
            runs += time_runs(command, cases, n_rounds, patience, variable)
        cases = [(size, 1) for size in corners(base)]
        runs += time_runs(command, cases, n_rounds, patience, "corners")
        cases = [(base, n) for n in threads]
        runs += time_runs(command, cases, n_rounds, patience, "threads")
    return runs


def corners(base: Size) -> list[Size]:
    """Sizes that differ from the base in everything."""
    return [
        Size(*(max(2, round(x * f)) for x, f in zip(astuple(base), factors, strict=True)))
        for factors in CORNERS
    ]


def _sizes(base: Size, variable: str) -> list[Size]:
    at = getattr(base, variable)
    return [replace(base, **{variable: max(2, round(at * f))}) for f in FACTORS[variable]]


def time_runs(
    command: str,
    cases: Sequence[tuple[Size, int]],
    n_rounds: int,
    patience: float,
    variable: str = "",
) -> list[Run]:
    """Time a command at some sizes and numbers of threads, in turns, once before uncounted."""
    if variable == "threads":
        clock = time.perf_counter
    else:
        # Nothing is gained by waiting for others to leave.
        clock, patience = time.process_time, 0.0
    functions = [_function(command, size, n_threads, clock) for size, n_threads in cases]
    looks = [_looks(function) for function in functions]
    timing = in_turns(functions, n_rounds, patience)
    return [
        Run(command, size, n_threads, timing.rounds[:, i], variable, looks[i])
        for i, (size, n_threads) in enumerate(cases)
    ]


def _looks(function: Callable[[], float]) -> Looks | None:
    """Run once, and count what the lazy screen looks at, if it is there."""
    with counted_looks() as looks:
        function()
    return looks if looks.candidates else None


def _function(
    command: str, size: Size, n_threads: int, clock: Callable[[], float]
) -> Callable[[], float]:
    features = Features(size, clock=clock)

    def run() -> float:
        with limit_threads(n_threads):
            if command == "hessian":
                return features.hessian()
            if command == "score":
                return features.score()
            return features.select_seconds(command.removeprefix("select "))

    return run


def growth_rows(runs: Sequence[Run], base: Size) -> list[Row]:
    """Lines with the exponent of every command in every variable, threads among them."""
    rows = []
    for command, variables in VARIABLES.items():
        for variable in (*variables, "threads"):
            chosen = [r for r in runs if (r.command, r.variable) == (command, variable)]
            if len(chosen) > 1:
                rows.append(_row(command, variable, chosen, base))
    return rows


def _at(run: Run) -> float:
    return float(run.threads if run.variable == "threads" else getattr(run.size, run.variable))


def _row(command: str, variable: str, chosen: Sequence[Run], base: Size) -> Row:
    at = [_at(run) for run in chosen]
    found = slope(at, np.column_stack([run.seconds for run in chosen]))
    span = " ".join(f"{x:g}" for x in at)
    error = "" if np.isnan(found.error) else f", standard error {found.error:.2f}"
    times = " ".join(f"{run.median:.3g}" for run in chosen)
    return Row(
        "growth",
        f"{command}: {variable}",
        found.value,
        "exponent",
        C=base.C,
        T=base.T if command.startswith("select") else None,
        D=base.D,
        picks=base.picks if command.startswith("select") else None,
        threads=None if variable == "threads" else 1,
        low=found.low,
        high=found.high,
        note=f"{variable} {span}{error}; seconds {times}",
    )
