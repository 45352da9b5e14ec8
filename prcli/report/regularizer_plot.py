"""What changes with the regularizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.report.style import GUIDE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


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
    regularizers: FloatArray, panels: Sequence[Panel], chosen: float | None = None
) -> Figure:
    """Draw curves over ς², panels above each other.

    Parameters
    ----------
    regularizers : ndarray of shape (G,)
        Positive, ascending.
    panels : sequence of Panel
    chosen : float, optional
        Where a vertical line stands.

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
                axes.axvline(chosen, color=GUIDE, linestyle=":", zorder=0)
            if len(panel.curves) > 1:
                axes.legend()
        every[-1].set_xlabel("regularizer ς²")
    return figure
