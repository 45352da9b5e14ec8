"""Figures of a selection: rigidities of targets before and after, and the map."""

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

#: Colour, size and order of the sets on a map: the later, the higher.
_SETS = {
    "pool": ("candidates", GUIDE, 2.0),
    "train": ("training set", "C0", 2.5),
    "target": ("targets", "C2", 3.0),
    "pick": ("picks", "C1", 5.0),
}


@dataclass(frozen=True, eq=False)
class HistogramLine:
    """Counts of one set in bins.

    Attributes
    ----------
    label : str
    counts : ndarray of shape (B,)
    """

    label: str
    counts: NDArray[np.int64]


def rigidity_histogram(edges: FloatArray, lines: Sequence[HistogramLine]) -> Figure:
    """Draw distributions of rigidities.

    Parameters
    ----------
    edges : ndarray of shape (B + 1,)
        Logarithms to base 10 of rigidities.
    lines : sequence of HistogramLine
    """
    with style():
        figure = new_figure()
        axes = figure.add_subplot()
        for number, line in enumerate(lines):
            colour = f"C{number % 6}"
            axes.stairs(line.counts, 10.0**edges, color=colour, label=line.label)
            if len(lines) <= 2:
                axes.stairs(line.counts, 10.0**edges, fill=True, color=colour, alpha=0.25)
        axes.set(xscale="log", xlabel="PR of a target", ylabel="targets")
        axes.locator_params(axis="y", integer=True)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside upper center", ncols=min(2, len(lines))
        )
    return figure


def map_figure(places: Mapping[str, FloatArray], shares: Sequence[float]) -> Figure:
    """Draw structures in the plane where they spread most.

    Parameters
    ----------
    places : mapping of name to ndarray of shape (n, 2)
        "pool", "train", "target" and "pick", or some of them.
    shares : sequence of float
        Shares of the variance along the axes; nan where they are not known.
    """
    with style():
        figure = new_figure()
        axes = figure.add_subplot()
        for name, (label, colour, size) in _SETS.items():
            if name in places and len(places[name]):
                axes.plot(
                    *places[name].T,
                    "o",
                    color=colour,
                    markersize=size,
                    markeredgewidth=0.4 if name == "pick" else 0,
                    markeredgecolor="black",
                    alpha=0.5 if name == "pool" else 0.9,
                    rasterized=True,
                    label=label,
                )
        names = [
            f"{which} principal component" + (f" ({100 * share:.3g} %)" if share == share else "")
            for which, share in zip(("first", "second"), shares, strict=True)
        ]
        axes.set(xlabel=names[0], ylabel=names[1])
        figure.legend(loc="outside upper center", ncols=4, columnspacing=0.8, handletextpad=0.1)
    return figure
