"""Rigidities of the same environments under several models, as in figure 3 of Chong2025."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.report.style import MOST_DOTS, REFERENCE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


def dynamics_figure(curves: Mapping[str, FloatArray], reference: str, noun: str) -> Figure:
    """Draw normalized rigidities in the order of the reference model.

    Parameters
    ----------
    curves : mapping of name to ndarray of shape (n,)
        Ascending for the reference.
    reference : str
        Drawn as a line, the others as dots.
    noun : str
        What there is a rigidity of, such as "atoms".

    Returns
    -------
    figure : Figure
    """
    with style():
        figure = new_figure(height=3.0 + 0.15 * len(curves))
        axes = figure.add_subplot()
        n_rows = len(curves[reference])
        # As many of them as can be told apart.
        shown = np.unique(
            np.linspace(0, n_rows - 1, min(n_rows, MOST_DOTS // len(curves))).astype(int)
        )
        for number, (name, values) in enumerate(
            (name, values) for name, values in curves.items() if name != reference
        ):
            axes.plot(
                shown,
                values[shown],
                ".",
                color=f"C{number % 6}",
                markersize=2,
                rasterized=True,
                label=name,
            )
        axes.plot(
            shown, curves[reference][shown], color=REFERENCE, label=f"{reference} (reference)"
        )
        axes.set(
            yscale="log",
            xlabel=f"{noun} in the order of the reference",
            ylabel="normalized rigidity",
        )
        figure.legend(loc="outside upper center", ncols=2)
    return figure
