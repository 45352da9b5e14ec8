"""Report on the regularizer of a Hessian from what a user typed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from prcli.data.hessian_record import HessianRecord
from prcli.errors import RequestError
from prcli.records import Progress, no_progress
from prcli.workflows.inputs import DataArgument, InputOptions, open_input
from prcli.workflows.plots import check_plots, write_figures
from prcli.workflows.regularizer_report import (
    DEFAULT_TOP,
    PLOTS,
    RegularizerReport,
    check_report,
    regularizer_report,
)


@dataclass(frozen=True)
class ReportRequest:
    """What to report.

    Attributes
    ----------
    wanted : bool
        Whether there shall be a report at all.
    target : tuple of DataArgument
        Structures whose ranking is compared.
    n_top : int, optional
        Least rigid targets to compare; 10 by default.
    plots : str, optional
        Directory for the plot.
    inputs : InputOptions
    overwrite : bool
    """

    wanted: bool = True
    target: tuple[DataArgument, ...] = ()
    n_top: int | None = None
    plots: str | None = None
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False

    def check(self) -> None:
        """Refuse, before long work, what cannot be reported.

        Raises
        ------
        PrcliError
        """
        self._check_needed("target", bool(self.target), self.wanted, "--report")
        self._check_needed("plots", self.plots is not None, self.wanted, "--report")
        self._check_needed("top", self.n_top is not None, bool(self.target), "--target")
        check_report(None, None, DEFAULT_TOP if self.n_top is None else self.n_top)
        if self.plots is not None:
            check_plots(self.plots, PLOTS, self.overwrite)

    @staticmethod
    def _check_needed(option: str, is_given: bool, has_other: bool, other: str) -> None:
        if is_given and not has_other:
            raise RequestError(
                f"--{option} means nothing without {other}",
                remedy=f"give {other}, or leave --{option} out",
            )


def run_report(
    request: ReportRequest, record: HessianRecord, progress: Progress = no_progress
) -> RegularizerReport | None:
    """Report on a Hessian, and write the plot.

    Returns
    -------
    report : RegularizerReport or None
        None where none was asked for.
    """
    if not request.wanted:
        return None
    request.check()
    with ExitStack() as stack:
        target = None
        if request.target:
            opened = open_input(
                request.target,
                "target",
                request.inputs,
                needs_atoms=False,
                needs_gradients=False,
                records=[record],
                progress=progress,
            )
            target = stack.enter_context(opened)
        n_top = DEFAULT_TOP if request.n_top is None else request.n_top
        report = regularizer_report(record, target, n_top, progress)
    if request.plots is not None:
        write_figures(request.plots, report.figures(), request.overwrite)
    return report
