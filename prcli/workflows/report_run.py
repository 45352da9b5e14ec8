"""``prcli report``: pages from result directories, of one selection or of several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prcli.data.publish import check_not_input, check_output, publish_file
from prcli.errors import RequestError
from prcli.report.page import render_page
from prcli.workflows.audit import COLUMNS, Audit
from prcli.workflows.comparison_content import comparison_content
from prcli.workflows.plots import check_plots
from prcli.workflows.result_files import write_tsv
from prcli.workflows.selection_page import make_page
from prcli.workflows.selection_plots import COMPARISON_PLOTS, PLOTS, draw_comparison, draw_plots
from prcli.workflows.selection_result import AUDIT_FILE, PAGE_FILE, read_result


@dataclass(frozen=True)
class PageRequest:
    """Which page to make.

    Attributes
    ----------
    directories : sequence of (name or None, directory)
        One makes its page, several are compared.
    output : str, optional
        The page; by default ``report.html`` in the directory, if it is one.
    plots : str, optional
        Directory for what the page shows as PNG and SVG.
    overwrite : bool
    """

    directories: Sequence[tuple[str | None, str]]
    output: str | None = None
    plots: str | None = None
    overwrite: bool = False

    @property
    def page(self) -> Path:
        """The file that is written.

        Raises
        ------
        RequestError
            If several directories are compared and no name is given for the page.
        """
        if self.output is not None:
            return Path(self.output)
        if len(self.directories) > 1:
            raise RequestError(
                "a page that compares selections belongs into none of their directories",
                where="-o/--output",
                expected="a name for the page, such as -o comparison.html",
            )
        return Path(self.directories[0][1]) / PAGE_FILE


def run_report(request: PageRequest) -> Path:
    """Make a page, and plots if they are asked for.

    Parameters
    ----------
    request : PageRequest

    Returns
    -------
    page : Path

    Raises
    ------
    InputFileError, FormatError
        If one of them is not a result directory.
    RequestError
        If two directories have the same name, or there is none for the page.
    OutputError
        If the page exists or cannot be written.
    """
    page, directories = request.page, request.directories
    names = [name or Path(directory).resolve().name for name, directory in directories]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RequestError(
            "selections that are compared need names of their own",
            got=", ".join(repeated),
            remedy="name them, as in first=DIR second=OTHER",
        )
    results = [read_result(d, name) for name, (_, d) in zip(names, directories, strict=True)]
    inputs = [Path(folder, file) for _, folder in directories for file in _files(folder)]
    check_not_input(page, [path for path in inputs if path.name != PAGE_FILE])
    check_output(page, request.overwrite)
    compares = len(results) > 1
    if request.plots is not None:
        known = COMPARISON_PLOTS if compares else PLOTS
        check_plots(request.plots, known, request.overwrite)
    if compares:
        text = render_page(comparison_content(results))
    else:
        text = make_page(directories[0][1])
    with publish_file(page, request.overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if request.plots is not None and compares:
        draw_comparison(results, request.plots, request.overwrite)
    elif request.plots is not None:
        draw_plots(directories[0][1], request.plots, request.overwrite)
    return page


def add_audit(directory: str, audit: Audit) -> None:
    """Put the table of an audit into a result directory, and make the page anew if there is one."""
    folder = Path(directory)
    with publish_file(folder / AUDIT_FILE, overwrite=True) as temporary:
        write_tsv(temporary, COLUMNS, audit.table())
    if (folder / PAGE_FILE).exists():
        text = make_page(directory)
        with publish_file(folder / PAGE_FILE, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _files(folder: str) -> list[str]:
    return sorted(os.listdir(folder))
