"""Options of what a selection has to keep within: budget, quotas, distances, earlier choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import say
from prcli.cli.help_groups import GroupedOption
from prcli.cli.options import compose

if TYPE_CHECKING:
    from prcli.workflows.constraint_options import ConstraintOptions
    from prcli.workflows.selection import Selection


def _option(*names: str, **details: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, heading="Budget and constraints", **details)


def _quota_opt(name: str, text: str) -> Callable[[Any], Any]:
    return _option(f"--{name}", multiple=True, metavar="KEY=VALUE:N", help=text)


#: Budget and constraints, for a command that selects.
constraint_options: Callable[[Any], Any] = compose(
    _option(
        "--budget",
        type=float,
        metavar="X",
        help="Largest sum of the costs of all picks; -n may then be left out. The better of two "
        "searches is kept, by gain per cost and by gain alone.",
    ),
    _option(
        "--cost",
        metavar="EXPRESSION",
        help='Cost of a candidate: "n_atoms**3", a column, a key of the comment line.',
    ),
    _quota_opt(
        "quota",
        "Choose exactly N structures of this value of a column or key; element=Ta is every "
        "structure with tantalum, and VALUE * each value that occurs. Repeatable.",
    ),
    _quota_opt("at-least", "The same as a floor."),
    _quota_opt("at-most", "The same as a ceiling."),
    _option(
        "--include",
        multiple=True,
        metavar="FILE",
        help="Structures of the pool that were chosen before: a result directory, lines that "
        "--indices wrote, a feature store, or frames. They enter the Hessian first, and count in "
        "quotas and distances, not in -n and --budget.",
    ),
    _option(
        "--exclude",
        multiple=True,
        metavar="FILE",
        help="Structures of the pool that are not to be chosen, in the same forms.",
    ),
    _option(
        "--min-distance",
        type=float,
        metavar="X",
        help="Keep chosen structures farther than X from each other, in mean features divided by "
        "the scale.",
    ),
    _option(
        "--duplicates-within",
        type=float,
        metavar="X",
        help="Of structures that steps of at most X connect, choose one at most; 0: of equal ones.",
    ),
    _option(
        "--refine",
        type=int,
        default=0,
        metavar="N",
        help="After the greedy search, look at every pick up to N times, and exchange it where "
        "another candidate gains more.",
    ),
    _option(
        "--bound",
        is_flag=True,
        help="Say how near the selection is to the best possible one, by an upper bound; not for "
        "min-pr.",
    ),
)


def constraint_choices(choices: Mapping[str, Any]) -> ConstraintOptions:
    """Make the record of the values of `constraint_options`."""
    from prcli.workflows.constraint_options import ConstraintOptions

    names = [each.name for each in fields(ConstraintOptions) if each.init]
    values: dict[str, Any] = {name: choices[name] for name in names}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return ConstraintOptions(**values)


def check_number(choices: Mapping[str, Any]) -> None:
    """Refuse a selection of nobody knows how many."""
    if choices["n_to_select"] is None and choices["budget"] is None:
        raise click.UsageError("Give -n/--n-to-select, or --budget with --cost.")


def tell_outcome(selection: Selection, quiet: bool) -> None:
    """Say on stderr how searches compare, what exchanges brought and what is possible."""
    from prcli.workflows.constraint_report import outcome_lines

    if not quiet:
        for line in outcome_lines(selection):
            say(line)
