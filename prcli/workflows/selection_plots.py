"""Figures of selections, drawn from their result directories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prcli.report.learning_curve_plot import CurvePanel, PlottedCurve, learning_curve_figure
from prcli.report.selection_plot import HistogramLine, map_figure, rigidity_histogram
from prcli.workflows.comparison_content import comparison_content
from prcli.workflows.page_content import page_content
from prcli.workflows.plots import Drawing, write_figures
from prcli.workflows.selection_result import SelectionResult, read_result

#: Figures of one selection, and of several, without ending.
PLOTS = ("objective", "target_rigidities", "map")
COMPARISON_PLOTS = PLOTS[:2]


def draw_plots(directory: str, plots: str, overwrite: bool) -> None:
    """Write what the page of a selection shows as PNG and SVG.

    Parameters
    ----------
    directory : str
        Of the result.
    plots : str
        Where the figures go.
    overwrite : bool
    """
    content = page_content(read_result(directory))
    write_figures(plots, _drawings(content), overwrite)


def draw_comparison(results: Sequence[SelectionResult], plots: str, overwrite: bool) -> None:
    """Write what a page of several selections shows as PNG and SVG."""
    write_figures(plots, _drawings(comparison_content(results)), overwrite)


def _drawings(content: dict[str, Any]) -> dict[str, Drawing]:
    """Name what there is to draw."""
    drawings: dict[str, Drawing] = {}
    if any(np.isfinite(_array(each["y"])).any() for each in content["objective"]["series"]):
        drawings[PLOTS[0]] = lambda: _objective(content["objective"])
    if content.get("distribution") is not None:
        drawings[PLOTS[1]] = lambda: _distribution(content["distribution"])
    if content.get("map") is not None:
        drawings[PLOTS[2]] = lambda: _map(content["map"])
    return drawings


def _objective(content: dict[str, Any]) -> Any:
    curves = []
    for each in content["series"]:
        values = _array(each["y"])
        spreads = _array(each["spread"]) if "spread" in each else np.full(len(values), np.nan)
        curves.append(PlottedCurve(each["name"], np.array(each["x"]), values, spreads))
    return learning_curve_figure([CurvePanel(content["label"], curves)])


def _distribution(content: dict[str, Any]) -> Any:
    lines = [HistogramLine(each["name"], np.array(each["counts"])) for each in content["series"]]
    return rigidity_histogram(_array(content["edges"]), lines)


def _map(content: dict[str, Any]) -> Any:
    plane = np.column_stack([_array(content["x"]), _array(content["y"])])
    sets = np.array(content["set"]["names"], dtype=object)[content["set"]["codes"]]
    names = np.where(np.array(content["rank"]) > 0, "pick", sets)
    places = {name: plane[names == name] for name in ("pool", "train", "target", "pick")}
    return map_figure(places, _array(content["shares"] or [None, None]).tolist())


def _array(values: Sequence[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
