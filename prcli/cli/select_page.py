"""``prcli select --report`` and ``--plots``: what people look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.options import compose
from prcli.cli.ranks import current_communicator

if TYPE_CHECKING:
    from prcli.workflows.audit import Audit

#: Options of the page, for a command that selects.
page_options: Callable[[Any], Any] = compose(
    click.option(
        "--report/--no-report",
        "with_page",
        default=None,
        help="With -o DIR: also write report.html, a page to look at, with the map and the "
        "structures that it shows.  [default: where prcli[report] is installed]",
    ),
    click.option(
        "--plots",
        metavar="DIR",
        help="With -o DIR: write what the page shows as PNG and SVG, too; needs prcli[report].",
    ),
)


class PageOfSelection:
    """The page and the plots that options ask for.

    Parameters
    ----------
    choices : mapping
        Values of `page_options`.
    output : str or None
        Where the selection goes.
    overwrite : bool
        Whether existing plots may be replaced.
    """

    def __init__(self, choices: Mapping[str, Any], output: str | None, overwrite: bool) -> None:
        has_directory = output not in (None, "-")
        asked: bool | None = choices["with_page"]
        self._plots: str | None = choices["plots"]
        self._overwrite = overwrite
        for option, given in (("--report", asked), ("--plots", self._plots is not None)):
            if given and not has_directory:
                raise click.UsageError(f"{option} is made from a result directory: give -o DIR.")
        self.wanted: bool = has_directory and (_has_extra() if asked is None else asked)

    def check(self) -> None:
        """Refuse plots that cannot be drawn or written, before long work.

        Raises
        ------
        PrcliError
        """
        if self._plots is not None and current_communicator().rank == 0:
            from prcli.workflows.plots import check_plots
            from prcli.workflows.selection_plots import PLOTS

            check_plots(self._plots, PLOTS, self._overwrite)

    def finish(self, directory: str, audit: Audit | None) -> None:
        """Add an audit to what lies in a result directory, and draw the plots."""
        from prcli.workflows.report_run import add_audit
        from prcli.workflows.selection_plots import draw_plots

        if audit is not None:
            add_audit(directory, audit)
        if self._plots is not None:
            draw_plots(directory, self._plots, self._overwrite)


def _has_extra() -> bool:
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None
