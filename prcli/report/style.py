"""How figures look, and how they become files; matplotlib is imported here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from prcli.errors import RequestError

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Every figure is written in these formats.
FORMATS = ("png", "svg")

#: Colours that mean the same in every figure.
GUIDE, REFERENCE = "0.6", "black"

#: Dots of a scatter plot beyond which nothing more is to be seen.
MOST_DOTS = 20_000

#: Logarithmic axes of more decades are labelled at powers of ten, of fewer at round numbers.
_MANY_DECADES, _FEW_DECADES = 2.5, 0.7

_STYLE_FILE = Path(__file__).with_name("prcli.mplstyle")
_COLUMN_WIDTH = 3.4


def require_matplotlib() -> None:
    """Find out whether figures can be drawn.

    Raises
    ------
    RequestError
        If matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise RequestError(
            "plots need matplotlib, which is not installed",
            got=str(error),
            remedy='install it with python -m pip install "prcli[report]"',
        ) from error


@contextmanager
def style() -> Iterator[None]:
    """Use the style of this project inside a ``with`` block."""
    from matplotlib import style as styles

    with styles.context(_STYLE_FILE):
        yield


def new_figure(n_panels: int = 1, *, height: float = 3.0) -> Figure:
    """Make an empty figure, one column of a journal wide.

    Parameters
    ----------
    n_panels : int
        Panels above each other.
    height : float
        Of each panel, inches.

    Returns
    -------
    figure : Figure
        Without axes; to be used inside `style`.
    """
    from matplotlib.figure import Figure as NewFigure

    return NewFigure(figsize=(_COLUMN_WIDTH, height * n_panels))


def save_figure(figure: Figure, path: str | Path, file_format: str) -> None:
    """Write a figure; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    path : path
        Of any ending.
    file_format : {"png", "svg"}
    """
    metadata = {"svg": {"Date": None}}.get(file_format)
    with style():
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                if axis.get_scale() == "log":
                    _label_numbers(axis)
        figure.savefig(path, format=file_format, metadata=metadata)


def _label_numbers(axis: Axis) -> None:
    """Label a logarithmic axis so that numbers stand apart, and are few enough to be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0.0 else math.inf
    # By itself matplotlib puts labels at all of 2, 3, 4 and 6, which overlap.
    axis.set_minor_formatter(NullFormatter())
    if decades > _MANY_DECADES:
        return
    few = decades < _FEW_DECADES
    axis.set_major_locator(MaxNLocator(4) if few else LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
