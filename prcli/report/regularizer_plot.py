"""What changes with the regularizer, and the singular values that it adds to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.report.style import GUIDE, REFERENCE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

#: Singular values that are lower than this, relative to the largest one, are not drawn.
_ROUNDING = 1e-18


@dataclass(frozen=True, eq=False)
class Panel:
    """Curves that share their axes.

    Attributes
    ----------
    label : str
        Of the vertical axis.
    curves : mapping of name to ndarray of shape (G,)
        Gaps where values are not finite.
    logarithmic : bool
    """

    label: str
    curves: Mapping[str, FloatArray]
    logarithmic: bool = False


def regularizer_figure(
    regularizers: FloatArray,
    panels: Sequence[Panel],
    chosen: float | None = None,
    label: str = "best",
) -> Figure:
    """Draw curves over ς², panels above each other.

    Parameters
    ----------
    regularizers : ndarray of shape (G,)
        Positive, ascending.
    panels : sequence of Panel
    chosen : float, optional
        Where a vertical line stands.
    label : str
        What that line is.

    Returns
    -------
    figure : Figure
    """
    with style():
        figure = new_figure(len(panels), height=2.2)
        every = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(every, panels, strict=True):
            for name, values in panel.curves.items():
                shown = np.where(np.isfinite(values), values, np.nan)
                axes.plot(regularizers, shown, marker=".", label=name)
            axes.set(
                xscale="log",
                yscale="log" if panel.logarithmic else "linear",
                ylabel=panel.label,
            )
            if chosen:
                line = axes.axvline(chosen, color=GUIDE, linestyle=":", zorder=0)
                if axes is every[0]:
                    axes.legend([line], [label])
            if len(panel.curves) > 1:
                axes.legend()
        every[-1].set_xlabel("regularizer ς²")
    return figure


def singular_value_figure(values: FloatArray, rank: int, regularizer: float) -> Figure:
    """Draw singular values of the training rows, and the ς that is added to their squares.

    Parameters
    ----------
    values : ndarray of shape (D,)
        Descending.
    rank : int
        Numerical rank; what comes after it is rounding.
    regularizer : float
        ς², not negative.

    Returns
    -------
    figure : Figure
    """
    with style():
        figure = new_figure()
        axes = figure.add_subplot()
        numbers = np.arange(1, len(values) + 1)
        shown = values > 0.0
        axes.plot(numbers[shown], values[shown], ".", label="singular values")
        if regularizer > 0.0:
            label = "ς in use"
            axes.axhline(np.sqrt(regularizer), color=REFERENCE, linewidth=1.0, label=label)
        if rank < len(values):
            axes.axvline(rank + 0.5, color=GUIDE, linestyle=":", label=f"rank {rank}")
        axes.set(yscale="log", xlabel="number", ylabel="singular value of the training rows")
        axes.locator_params(axis="x", integer=True)
        # What rounding makes of zeros is not worth the decades that it takes.
        axes.set_ylim(bottom=max(0.5 * values[shown].min(), _ROUNDING * values[0]))
        figure.legend(loc="outside upper center", ncols=3)
    return figure
