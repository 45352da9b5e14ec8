"""Reliability: what fraction of residuals falls into intervals of a stated probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.reliability import assess, reliability_curve
from prcli.report.style import MOST_DOTS, REFERENCE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """Residuals and uncertainties that make one curve.

    Attributes
    ----------
    label : str
    residuals, sigma : ndarray of shape (n,)
    dashed : bool
    """

    label: str
    residuals: FloatArray
    sigma: FloatArray
    dashed: bool = False


def reliability_figure(series: Sequence[Series]) -> Figure:
    """Draw reliability curves.

    A curve above the diagonal means uncertainties that are too large, one below it
    uncertainties that are too small.

    Parameters
    ----------
    series : sequence of Series
        A dashed curve has the colour of the curve that follows it.

    Returns
    -------
    figure : Figure
    """
    with style():
        figure = new_figure(height=3.2 + 0.15 * len(series))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=REFERENCE, linewidth=0.8)
        n_colours = 0
        for each in series:
            sizes, fractions = _steps(each)
            area = assess(each.residuals, each.sigma).miscalibration_area
            axes.plot(
                sizes,
                fractions,
                color=f"C{n_colours % 6}",
                linestyle="--" if each.dashed else "-",
                label=f"{each.label} (area {area:.3f})",
            )
            n_colours += not each.dashed
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            aspect="equal",
            xlabel="probability of the interval",
            ylabel="fraction of residuals within",
        )
        # Curves may go anywhere, so names stand outside.
        figure.legend(loc="outside upper center")
    return figure


def _steps(each: Series) -> tuple[FloatArray, FloatArray]:
    """Points of the curve, not more than can be seen."""
    sizes = reliability_curve(each.residuals, each.sigma)
    fractions = np.arange(1, len(sizes) + 1) / len(sizes)
    chosen = np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_DOTS)).astype(int)
    x = np.concatenate([[0.0], sizes[chosen], [1.0]])
    y = np.concatenate([[0.0], fractions[chosen], [1.0]])
    return x, y
