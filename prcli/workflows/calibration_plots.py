"""The plots of a calibration."""

from __future__ import annotations

from prcli.numerics.calibration import Criterion
from prcli.records import RowKind
from prcli.report.errors_plot import error_figure
from prcli.report.regularizer_plot import Panel, regularizer_figure
from prcli.report.reliability_plot import Series, reliability_figure
from prcli.workflows.calibrate import Calibration, unit_of
from prcli.workflows.plots import Drawing
from prcli.workflows.validation_residuals import PLURALS

#: All figures that a calibration may come with, without ending.
PLOTS = ("reliability", "regularizer", *(f"errors_{kind}" for kind in PLURALS))


def calibration_figures(calibration: Calibration, criterion: Criterion) -> dict[str, Drawing]:
    """Name the figures of a calibration, each to be drawn when asked for.

    Parameters
    ----------
    calibration : Calibration
    criterion : {"nll", "ssl", "crps"}
        That was minimized.

    Returns
    -------
    figures : dict of name to callable
    """
    figures: dict[str, Drawing] = {"reliability": lambda: reliability_figure(_series(calibration))}
    for kind in calibration.kinds:
        figures[f"errors_{kind}"] = _errors(calibration, kind)
    scan = calibration.scan
    if scan is not None:
        panel = Panel(f"{criterion}, with the best α", {criterion: scan.costs})
        figures["regularizer"] = lambda: regularizer_figure(scan.regularizers, [panel], scan.best)
    return figures


def _errors(calibration: Calibration, kind: RowKind) -> Drawing:
    each = calibration.kinds[kind]
    unit = unit_of(kind, calibration.record)
    return lambda: error_figure(each.rows.residuals, each.after.sigma, PLURALS[kind], unit)


def _series(calibration: Calibration) -> list[Series]:
    return [
        Series(f"{PLURALS[kind]} {stage}", each.rows.residuals, fit.sigma, dashed=stage == "before")
        for kind, each in calibration.kinds.items()
        for stage, fit in (("before", each.before), ("after", each.after))
    ]
