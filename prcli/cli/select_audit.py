"""``prcli select --audit``: the other strategies beside a selection, and where to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import emit_table
from prcli.cli.options import compose
from prcli.cli.ranks import current_communicator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prcli.records import Progress
    from prcli.workflows.audit import Audit
    from prcli.workflows.select_options import SelectOptions
    from prcli.workflows.selection import Selection

#: Options of the audit, for a command that selects.
audit_options: Callable[[Any], Any] = compose(
    click.option(
        "--audit",
        is_flag=True,
        help="With -o DIR: also select by every other strategy, and print what they all reach "
        "and where more picks stop to pay.",
    ),
    click.option(
        "--audit-seeds",
        type=int,
        metavar="K",
        help="With --audit: draws of the random strategy, averaged; default 10.",
    ),
    click.option(
        "--audit-plots",
        metavar="DIR",
        help="With --audit: write the curves as PNG and SVG; needs prcli[report].",
    ),
)


class AuditOfSelection:
    """The audit that options ask for; checked when made, done by `run`, printed by `emit`.

    Parameters
    ----------
    choices : mapping
        Values of `audit_options`.
    output : str or None
        Where the selection goes.
    table_format : str or None
    overwrite : bool
        Whether existing plots may be replaced.
    """

    def __init__(
        self,
        choices: Mapping[str, Any],
        output: str | None,
        table_format: str | None,
        overwrite: bool,
    ) -> None:
        self.wanted: bool = choices["audit"]
        self._n_seeds: int = 10 if choices["audit_seeds"] is None else choices["audit_seeds"]
        self._plots: str | None = choices["audit_plots"]
        self._format = table_format
        self._overwrite = overwrite
        for option in ("audit_seeds", "audit_plots"):
            if choices[option] is not None and not self.wanted:
                name = option.replace("_", "-")
                raise click.UsageError(f"--{name} means nothing without --audit.")
        if self.wanted and output in (None, "-"):
            raise click.UsageError("--audit prints a table of its own: give -o DIR for the picks.")

    def check(self) -> None:
        """Refuse, before long work, what cannot be audited or written.

        Raises
        ------
        PrcliError
        """
        from prcli.workflows.audit import PLOTS, check_audit
        from prcli.workflows.plots import check_plots

        if self.wanted:
            check_audit(self._n_seeds)
            if self._plots is not None and current_communicator().rank == 0:
                check_plots(self._plots, PLOTS, self._overwrite)

    def run(
        self,
        selection: Selection,
        n_atoms: NDArray[np.integer],
        again: Callable[[SelectOptions], Selection],
        progress: Progress,
    ) -> Audit | None:
        """Audit a selection, if that was asked for.

        Parameters
        ----------
        selection : Selection
        n_atoms : ndarray of shape (C,)
            Of the pool.
        again : callable
            Selects on the same terms by other options.
        progress : callable
        """
        if not self.wanted:
            return None
        from prcli.workflows.audit import audit

        return audit(selection, n_atoms, again, self._n_seeds, progress)

    def emit(self, found: Audit | None) -> None:
        """Write the figure of an audit and print its table, if there is one."""
        if found is None:
            return
        from prcli.workflows.audit import COLUMNS
        from prcli.workflows.plots import write_figures

        if self._plots is not None and current_communicator().rank == 0:
            write_figures(self._plots, found.figures(), self._overwrite)
        emit_table(self._format, COLUMNS, [found.table()])
