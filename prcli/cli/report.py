"""``prcli report``: pages to look at, from what is on disk."""

from __future__ import annotations

import os

import click

from prcli.cli.console import session, summarize
from prcli.cli.options import common_options, overwrite_opt


@click.command()
@click.argument("directories", metavar="[NAME=]DIR...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The page.  [default: report.html in DIR; needed for several]",
)
@click.option(
    "--plots",
    metavar="DIR",
    help="Also write what the page shows as PNG and SVG; needs prcli[report].",
)
@overwrite_opt
@common_options
def report(
    directories: tuple[str, ...],
    output: str | None,
    plots: str | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    threads: int | None,
) -> None:
    """Make the page of a selection, or one that compares several.

    Each DIR is what `prcli select -o DIR` has written. The page is one HTML file that needs
    neither network nor server: what was asked and chosen, the objective over the picks,
    rigidities of the targets, a map, the structures in 3-D, tables, numerical health and
    provenance. Map and structures are there if the selection was made with --report.

    \b
    Examples:
      prcli report out/ --overwrite
      prcli report pr=out/ random=out_random/ -o comparison.html --plots figures/
    """
    from prcli.workflows.report_run import PageRequest, run_report

    request = PageRequest([_named(text) for text in directories], output, plots, overwrite)
    with session(quiet=quiet, verbose=verbose, threads=threads):
        page = run_report(request)
        if not quiet:
            summarize(f"{page}: {page.stat().st_size / 1e6:.2g} MB")


def _named(text: str) -> tuple[str | None, str]:
    """Take NAME=DIR apart; a directory whose own name has a sign of equality is one."""
    name, sign, directory = text.partition("=")
    if not sign or os.path.isdir(text):
        return None, text
    return name or None, directory
