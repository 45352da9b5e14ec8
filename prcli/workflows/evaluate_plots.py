"""The figure of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prcli.report.learning_curve_plot import CurvePanel, PlottedCurve, learning_curve_figure
from prcli.workflows.calibrate import unit_of
from prcli.workflows.evaluate import Evaluation, FloatArray, LearningCurve
from prcli.workflows.evaluate_table import mean, spread
from prcli.workflows.plots import Drawing
from prcli.workflows.validation_residuals import PLURALS

#: The figure, without ending.
PLOTS = ("learning_curves",)


def evaluation_figures(evaluation: Evaluation) -> dict[str, Drawing]:
    """Name the figures of an evaluation, each to be drawn when asked for.

    Rigidities of the targets are above, errors below, as in figure 4 of Chong2025; bands are
    standard deviations over the draws.
    """
    curves = evaluation.curves
    panels = [_panel(curves, "mean PR of the targets", [curve.target_pr for curve in curves])]
    for kind in curves[0].errors:
        label = f"RMSE of {PLURALS[kind]}, {unit_of(kind, evaluation.record)}"
        panels.append(_panel(curves, label, [curve.errors[kind].rmse for curve in curves]))
    return {PLOTS[0]: lambda: learning_curve_figure(panels)}


def _panel(curves: Sequence[LearningCurve], label: str, values: Sequence[FloatArray]) -> CurvePanel:
    """Draw a number of every curve, whose values have shape (G, n_runs)."""
    return CurvePanel(
        label,
        [
            PlottedCurve(
                curve.name,
                curve.n_added,
                np.array([mean(each) for each in own]),
                np.array([spread(each) for each in own]),
            )
            for curve, own in zip(curves, values, strict=True)
        ],
    )
