"""Fitting what a unit of each cost takes, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cost_model import amounts
from growth import Run
from looks import Looks
from scipy.optimize import nnls
from tsv_table import Row
from workloads import Size


@dataclass(frozen=True)
class CostModel:
    """Seconds that a unit of each cost takes on one thread.

    Attributes
    ----------
    seconds : dict of str to float
        By the names of `cost_model.amounts`; none is negative.
    """

    seconds: dict[str, float]

    def predict(self, command: str, size: Size, looks: Looks | None = None) -> float:
        """Seconds of a command."""
        return sum(n * self.seconds[name] for name, n in amounts(command, size, looks).items())


def fit(runs: Sequence[Run]) -> CostModel:
    """Fit to runs with one thread, by least squares of the relative errors.

    No cost may be negative: what a unit takes is a time.
    """
    runs = [run for run in runs if run.threads == 1]
    counted = [amounts(run.command, run.size, run.looks) for run in runs]
    names = sorted({name for each in counted for name in each})
    matrix = np.array([[each.get(name, 0.0) for name in names] for each in counted])
    matrix /= np.array([run.median for run in runs])[:, np.newaxis]
    # Amounts differ by many powers of ten.
    largest = matrix.max(axis=0)
    largest[largest == 0.0] = 1.0
    found, _ = nnls(matrix / largest, np.ones(len(runs)))
    return CostModel(dict(zip(names, (found / largest).tolist(), strict=True)))


def fit_rows(model: CostModel, runs: Sequence[Run]) -> list[Row]:
    """Lines with the constants, and how well they describe what they were fitted to."""
    rows = [
        Row("cost", name, seconds, "s per unit", threads=1)
        for name, seconds in sorted(model.seconds.items())
        if seconds > 0.0
    ]
    single = [run for run in runs if run.threads == 1]
    predicted = [model.predict(run.command, run.size, run.looks) for run in single]
    ratios = np.array(predicted) / np.array([run.median for run in single])
    rows.append(
        Row(
            "cost",
            "fitted / measured",
            float(np.median(ratios)),
            "",
            threads=1,
            low=float(ratios.min()),
            high=float(ratios.max()),
            note=f"of {len(ratios)} runs",
        )
    )
    return rows


def check_rows(model: CostModel, runs: Sequence[Run]) -> list[Row]:
    """Lines on runs that the model was not fitted to: predicted over measured seconds."""
    rows = []
    for run in runs:
        predicted = model.predict(run.command, run.size, run.looks)
        ratios = predicted / run.seconds
        select = run.command.startswith("select")
        rows.append(
            Row(
                "prediction",
                run.command,
                predicted / run.median,
                "predicted / measured",
                C=run.size.C,
                T=run.size.T if select else None,
                D=run.size.D,
                picks=run.size.picks if select else None,
                threads=run.threads,
                low=float(ratios.min()),
                high=float(ratios.max()),
                note=f"{predicted:.3g} s predicted, {run.median:.3g} s measured",
            )
        )
    return rows
