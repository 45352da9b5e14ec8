"""Errors against uncertainties, as in figure 1 of Chong2025."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.calibration import Sample, binned_means
from prcli.numerics.reliability import COVERED, isolines
from prcli.report.style import GUIDE, MOST_DOTS, REFERENCE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

#: Dots from which on they have to be small and faint.
_MANY_DOTS = 1000


def error_figure(residuals: FloatArray, sigma: FloatArray, quantity: str, unit: str) -> Figure:
    """Draw absolute errors against σ, and below it binned squares against variances.

    Above, grey lines enclose the errors that a Gaussian of that σ makes with the probability of
    1, 2 and 3 σ; errors far below the lowest line are not shown. Below, each point is the mean
    over rows of similar variance. The black line is y = x.

    Parameters
    ----------
    residuals, sigma : ndarray of shape (n,)
        n ≥ 1, of which some residual is not zero.
    quantity : str
        What was predicted, for the axes.
    unit : str

    Returns
    -------
    figure : Figure
    """
    with style():
        figure = new_figure(2)
        upper, lower = figure.subplots(2)
        _draw_rows(upper, residuals, sigma)
        upper.set(xlabel=f"estimated error of {quantity}, {unit}", ylabel=f"absolute error, {unit}")
        _draw_means(lower, residuals, sigma)
        lower.set(xlabel=f"estimated variance, ({unit})²", ylabel=f"squared error, ({unit})²")
    return figure


def _draw_rows(axes: Axes, residuals: FloatArray, sigma: FloatArray) -> None:
    """Draw dots, evenly thinned over σ where there are too many, and the isolines."""
    order = np.argsort(sigma, kind="stable")
    thinning = -(-len(order) // MOST_DOTS)
    chosen = order[::thinning]
    errors = np.abs(residuals[chosen])
    shown = errors > 0.0
    axes.plot(
        sigma[chosen][shown],
        errors[shown],
        ".",
        markersize=2 if len(chosen) > _MANY_DOTS else 4,
        alpha=0.4 if len(chosen) > _MANY_DOTS else 0.8,
        markeredgewidth=0,
        rasterized=True,
        label="rows" if thinning == 1 else f"one of {thinning} rows",
    )
    ends = _whole_decades(sigma)
    label = ", ".join(f"{100 * fraction:.3g}" for fraction in COVERED) + " %"
    for bounds in isolines():
        for bound in bounds:
            axes.plot(ends, bound * ends, color=GUIDE, linewidth=0.8, label=label)
            label = ""
    lowest, highest = isolines()[-1]
    floor = 0.3 * lowest * float(sigma.min())
    ceiling = max(float(errors.max()), highest * float(sigma.max()))
    _finish(axes, ends, _whole_decades(np.array([floor, ceiling])))


def _draw_means(axes: Axes, residuals: FloatArray, sigma: FloatArray) -> None:
    """Draw means over bins."""
    squares, variances = binned_means(Sample(residuals, sigma**2))
    shown = squares > 0.0
    label = f"means of {int(np.sqrt(len(residuals)))} rows"
    axes.plot(variances[shown], squares[shown], "o", markersize=3, label=label)
    ends = _whole_decades(np.concatenate([variances, squares[shown]]))
    _finish(axes, ends, ends)


def _finish(axes: Axes, horizontal: FloatArray, vertical: FloatArray) -> None:
    """Draw y = x, and set limits and ticks."""
    from matplotlib.ticker import NullFormatter

    axes.plot(horizontal, horizontal, color=REFERENCE, linewidth=1.0, label="y = x")
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(float(horizontal[0]), float(horizontal[1])),
        ylim=(float(vertical[0]), float(vertical[1])),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    # Dots may be anywhere inside.
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0
    )


def _whole_decades(values: FloatArray) -> FloatArray:
    """Powers of ten around positive values, at least two different ones."""
    low = np.floor(np.log10(values.min()))
    high = max(np.ceil(np.log10(values.max())), low + 1.0)
    ends: FloatArray = np.power(10.0, [low, high])
    return ends
