"""Figures of the recipe, in the style of prcli's own."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from findings import differences_over_median, in_bins
from network import FloatArray
from scipy.stats import norm

from prcli.report.style import GUIDE, REFERENCE, style

if TYPE_CHECKING:
    from findings import Errors, Findings, Local
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from prcli import Comparison

#: Fractions of a Gaussian within one, two and three standard deviations.
FRACTIONS = (0.683, 0.954, 0.997)

#: Points that curves of LPRs are averaged to.
N_POINTS = 40


def draw(found: Findings, folder: Path) -> None:
    """Write figure1.png to figure3.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with style():
        drawn = (errors_figure(found.errors), local_figure(found.local), dynamics_figure(found))
        for number, figure in enumerate(drawn, start=1):
            _save(figure, folder / f"figure{number}.png")


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG of few colours: a third of the size, and nothing to be seen of it."""
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)


def new_figure(n_rows: int, n_columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """Make panels in rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height))
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def errors_figure(errors: Errors) -> Figure:
    """Draw figure 1: errors against their estimates, one by one and in bins.

    Gray lines hold 68.3, 95.4 and 99.7 % of what a Gaussian of that sigma would give, as much of
    the rest above them as below.
    """
    figure, ((left, right),) = new_figure(1, 2, 3.2)
    absolute = np.abs(errors.residual)
    left.plot(errors.sigma, absolute, ".", markersize=2)
    ends = np.array([errors.sigma.min(), errors.sigma.max()])
    for fraction in FRACTIONS:
        for quantile in (0.5 - fraction / 2, 0.5 + fraction / 2):
            left.plot(ends, norm.ppf(0.5 + quantile / 2) * ends, color=GUIDE, linewidth=0.8)
    left.plot(ends, ends, color=REFERENCE, linewidth=0.8)
    left.set(xscale="log", yscale="log", xlabel="σ / (eV/atom)", ylabel="|error| / (eV/atom)")
    left.set_ylim(bottom=max(absolute.max() * 1e-4, absolute.min()))
    x, y = in_bins(errors.sigma**2, errors.residual**2, 25)
    right.plot(x, y, "o", markersize=4)
    right.plot(ends**2, ends**2, color=REFERENCE, linewidth=0.8)
    right.set(xscale="log", yscale="log", xlabel="σ² / (eV/atom)²", ylabel="error² / (eV/atom)²")
    right.set_title("averages over 25 structures")
    for axes in (left, right):
        _plain_ticks(axes)
    return figure


def local_figure(local: Local) -> Figure:
    """Draw figure 2: variance over the committee against LPR, and errors."""
    figure, ((left, right),) = new_figure(1, 2, 3.2)
    for axes, values, name in (
        (left, local.variance, "variance over ten networks / eV²"),
        (right, local.squared_error, "squared error / eV²"),
    ):
        x, y = in_bins(local.lpr, values, 100)
        axes.plot(x / local.lpr.max(), y, "o", markersize=3)
        axes.set(xscale="log", yscale="log", xlabel="LPR / highest LPR", ylabel=name)
        _plain_ticks(axes)
    left.set_title("local energies, averages over 100 atoms")
    right.set_title("against those of the Tersoff potential")
    return figure


def dynamics_figure(found: Findings) -> Figure:
    """Draw figure 3: LPRs in the order of the reference, and how far they are from it.

    Dashed lines are a network of other first weights, trained on all structures to the end.
    """
    figure, panels = new_figure(2, 2, 5.6)
    rows = zip(panels, (found.epochs, found.sizes), ("epoch-", "size-"), strict=True)
    other = found.sizes.names.index("other-weights")
    for (left, right), comparison, prefix in rows:
        _curves(left, comparison, prefix)
        chosen = [i for i, name in enumerate(comparison.names) if name.startswith(prefix)]
        numbers = [int(comparison.names[i].removeprefix(prefix)) for i in chosen]
        for colour, (label, differences) in enumerate(_measures(comparison).items()):
            kind = {"color": f"C{colour}"}
            right.plot(numbers, differences[chosen], "o-", markersize=4, label=label, **kind)
            right.axhline(_measures(found.sizes)[label][other], linestyle="--", **kind)
        right.set_ylim(0, 1.25 * right.get_ylim()[1])  # room for the names
        right.set_ylabel("mean difference from the reference")
        right.legend(fontsize=7, loc="upper right")
    panels[0, 1].set_xlabel("epoch")
    panels[1, 1].set(xlabel="training structures", xscale="log")
    panels[1, 1].set_xticks(numbers, map(str, numbers))
    panels[1, 1].minorticks_off()
    return figure


def _measures(comparison: Comparison) -> dict[str, FloatArray]:
    """Differences of all networks, by what LPRs are divided by."""
    return {
        "over the reference's highest": comparison.dynamics.differences,
        "over the median": differences_over_median(comparison),
    }


def _curves(axes: Axes, comparison: Comparison, prefix: str) -> None:
    """Draw LPRs, averaged over neighbours in the order of the reference."""
    dynamics = comparison.dynamics
    place = (np.arange(N_POINTS) + 0.5) / N_POINTS
    chosen = [i for i, name in enumerate(comparison.names) if name.startswith(prefix)]
    chosen = [i for i in chosen if i != comparison.reference]
    # As many as there are colours.
    shown = np.unique(np.linspace(0, len(chosen) - 1, min(len(chosen), 5)).astype(int))
    for i in [*(chosen[number] for number in shown), comparison.reference]:
        values = dynamics.rigidities[i][dynamics.order]
        means = [part.mean() for part in np.array_split(values, N_POINTS)]
        name = comparison.names[i].replace("-", " ")
        if i == comparison.reference:
            axes.plot(place, means, color=REFERENCE, label=f"{name}, all structures")
        else:
            axes.plot(place, means, ".", markersize=4, label=name)
    axes.set(yscale="log", xlabel="atoms in the order of the reference", ylabel="LPR")
    low, high = axes.get_ylim()
    axes.set_ylim(low * (low / high) ** 0.45, high)  # room for the names
    axes.legend(fontsize=7, ncols=2, loc="lower right")


def _plain_ticks(axes: Axes) -> None:
    """Label few ticks of logarithmic axes, so that labels do not meet."""
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False))
        axis.set_minor_formatter(NullFormatter())
