"""Options under headings of their own in the help of a command."""

from __future__ import annotations

from typing import Any

import click


class GroupedOption(click.Option):
    """An option that is listed under a heading.

    Parameters
    ----------
    heading : str
        Others as for click.Option.
    """

    def __init__(self, *arguments: Any, heading: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help has a section for every heading of its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options without a heading first."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "heading", "Options")
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
