"""``prcli hessian --report``: what the regularizer of a finished Hessian does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import emit_table
from prcli.cli.options import compose, format_opt

if TYPE_CHECKING:
    from prcli.data.hessian_record import HessianRecord
    from prcli.records import Progress

#: Options of the report, for a command that makes a Hessian.
report_options: Callable[[Any], Any] = compose(
    click.option(
        "--report",
        is_flag=True,
        help="Also print what the regularizer does: condition number and effective parameters "
        "over decades of it; and rank and singular values of the training rows.",
    ),
    click.option(
        "--target",
        multiple=True,
        metavar="SET",
        help="With --report: structures whose ranking is compared over these decades.",
    ),
    click.option(
        "--top",
        type=int,
        metavar="K",
        help="With --target: how many of the least rigid are compared; default 10.",
    ),
    click.option(
        "--plots",
        metavar="DIR",
        help="With --report: write the curves as PNG and SVG; needs prcli[report].",
    ),
    format_opt,
)


class ReportOfHessian:
    """The report that options ask for; checked when made, printed by `emit`.

    Parameters
    ----------
    choices : mapping
        Values of `report_options`, and of the options that say how inputs are read.
    overwrite : bool
        Whether existing plots may be replaced.
    """

    def __init__(self, choices: Mapping[str, Any], overwrite: bool) -> None:
        from prcli.cli.requests import input_choices
        from prcli.workflows.regularizer_report_run import ReportRequest

        self._format = choices["table_format"]
        self._request = ReportRequest(
            wanted=choices["report"],
            target=choices["target"],
            n_top=choices["top"],
            plots=choices["plots"],
            inputs=input_choices({**choices, "overwrite": overwrite}),
            overwrite=overwrite,
        )
        self._request.check()

    def emit(self, record: HessianRecord, progress: Progress) -> None:
        """Print the table of a Hessian, if it was asked for."""
        from prcli.workflows.regularizer_report_run import run_report

        report = run_report(self._request, record, progress)
        if report is not None:
            emit_table(self._format, report.columns, [report.table()])
