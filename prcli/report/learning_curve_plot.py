"""Quantities over the number of added structures, as in figure 4 of Chong2025."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.report.style import new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

#: Points of a line that are marked: of more, marks make one thick line.
_MOST_MARKED = 60


@dataclass(frozen=True, eq=False)
class PlottedCurve:
    """One line.

    Attributes
    ----------
    label : str
    n_added : ndarray of shape (G,)
    values : ndarray of shape (G,)
    spreads : ndarray of shape (G,)
        Standard deviations, drawn as a band; nan where there is none.
    """

    label: str
    n_added: NDArray[np.int64]
    values: FloatArray
    spreads: FloatArray


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """Lines that share their axes.

    Attributes
    ----------
    label : str
        Of the vertical axis.
    curves : sequence of PlottedCurve
        The same ones in the same order in every panel.
    logarithmic : bool
    """

    label: str
    curves: Sequence[PlottedCurve]
    logarithmic: bool = False


def learning_curve_figure(panels: Sequence[CurvePanel]) -> Figure:
    """Draw curves over the number of added structures, panels above each other.

    Parameters
    ----------
    panels : sequence of CurvePanel

    Returns
    -------
    figure : Figure
    """
    with style():
        figure = new_figure(len(panels), height=2.4)
        every = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(every, panels, strict=True):
            axes.set(yscale="log" if panel.logarithmic else "linear", ylabel=panel.label)
            for number, curve in enumerate(panel.curves):
                colour = f"C{number % 6}"
                marker = "." if len(curve.n_added) <= _MOST_MARKED else None
                axes.plot(
                    curve.n_added, curve.values, marker=marker, color=colour, label=curve.label
                )
                if np.isfinite(curve.spreads).any():
                    axes.fill_between(
                        curve.n_added,
                        curve.values - curve.spreads,
                        curve.values + curve.spreads,
                        color=colour,
                        alpha=0.2,
                        linewidth=0,
                    )
        if len(panels[0].curves) > 1:
            lines, labels = every[0].get_legend_handles_labels()
            figure.legend(lines, labels, loc="outside upper center", ncols=2)
        every[-1].set_xlabel("structures added")
        every[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure
