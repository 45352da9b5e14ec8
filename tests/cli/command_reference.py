"""Put the help of all commands into the README: ``python tests/cli/command_reference.py``.

The section between the two marks of the README is replaced; nothing else is touched.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from prcli.cli.main import _TASKS, cli

README = Path(__file__).parents[2] / "README.md"

BEGIN = "<!-- commands: begin; made by tests/cli/command_reference.py -->"
END = "<!-- commands: end -->"

WIDTH = 96

#: Options that so many commands have, word for word, are told once.
SHARED = 7

#: What is said of featurizers that have no command of their own.
GROUP = "features compute"

Record = tuple[str, str]


class Leaf:
    """A command that does something.

    Attributes
    ----------
    name : str
        As it is typed, without ``prcli``.
    command : click.Command
    context : click.Context
    """

    def __init__(self, name: str, command: click.Command, context: click.Context) -> None:
        self.name = name
        self.command = command
        self.context = context

    @property
    def synopsis(self) -> str:
        """What is typed."""
        return " ".join([f"prcli {self.name}", *self.command.collect_usage_pieces(self.context)])

    @property
    def options(self) -> dict[str, list[Record]]:
        """Names and helps of the options, under their headings."""
        found: dict[str, list[Record]] = {}
        for parameter in self.command.get_params(self.context):
            record = parameter.get_help_record(self.context)
            if isinstance(parameter, click.Option) and record and "--help" not in parameter.opts:
                found.setdefault(getattr(parameter, "heading", "Options"), []).append(record)
        return found


def leaves(
    command: click.Command = cli, name: tuple[str, ...] = (), parent: click.Context | None = None
) -> Iterator[Leaf]:
    """Yield all commands, in the order of the help."""
    # As click makes it: commands keep options that they make from their first context.
    typed = name[-1] if name else "prcli"
    context = click.Context(command, parent, typed, **command.context_settings)
    if " ".join(name) == GROUP:
        yield Leaf(GROUP, command, context)
    if not isinstance(command, click.Group):
        yield Leaf(" ".join(name), command, context)
        return
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, (*name, each), context)


def render() -> str:
    """Write the section."""
    everything = list(leaves())
    counts = Counter(r for leaf in everything for rs in leaf.options.values() for r in rs)
    shared = [record for record, number in counts.items() if number >= SHARED]
    parts = [BEGIN]
    for task, names in _TASKS.items():
        parts.append(f"**{task}**")
        parts += [
            _folded(leaf.synopsis, leaf.command.get_short_help_str(200), _text(leaf, shared))
            for leaf in everything
            if leaf.name.split()[0] in names
        ]
    formatter = _formatter()
    formatter.write_dl(sorted(shared, key=lambda record: record[0].split("--")[-1]))
    parts.append("**Options that many commands have**")
    parts.append(_folded("prcli COMMAND [OPTIONS]", "Described here once.", formatter))
    return "\n\n".join([*parts, END])


def replaced(text: str, section: str) -> str:
    """Text of a README with its section replaced.

    Raises
    ------
    ValueError
        If the marks are not there once.
    """
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError("the README has no section of commands, or several")
    return pattern.sub(lambda _: section, text)


def _formatter() -> click.HelpFormatter:
    return click.HelpFormatter(width=WIDTH)


def _text(leaf: Leaf, shared: list[Record]) -> click.HelpFormatter:
    """Write description, examples and options of a command."""
    formatter = _formatter()
    leaf.command.format_help_text(leaf.context, formatter)
    elsewhere = []
    for heading, records in leaf.options.items():
        own = [record for record in records if record not in shared]
        elsewhere += [_names(record) for record in records if record in shared]
        if own:
            with formatter.section(heading):
                formatter.write_dl(own)
    if elsewhere:
        with formatter.section("Also, described below"):
            formatter.write_text(", ".join(elsewhere))
    return formatter


def _names(record: Record) -> str:
    """Name an option: "--quiet" of "-q, --quiet"."""
    return next(word for word in re.split(r"[ ,]+", record[0]) if word.startswith("--"))


def _folded(what: str, why: str, inside: click.HelpFormatter) -> str:
    """Fold a text away under what it is about."""
    text = inside.getvalue().strip("\n")
    return (
        f"<details><summary><code>{html.escape(what, quote=False)}</code><br>"
        f"{html.escape(why, quote=False)}</summary>\n\n```text\n{text}\n```\n\n</details>"
    )


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(encoding="utf-8"), render()), encoding="utf-8")
