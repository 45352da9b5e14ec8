"""Options of ``prcli score`` for trajectories, complete or still growing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.help_groups import GroupedOption
from prcli.cli.options import compose

if TYPE_CHECKING:
    from prcli.workflows.growing_data import FollowOptions
    from prcli.workflows.relative import RelativeOptions

#: Exit code where a relative rigidity fell below the threshold.
BELOW = 3

_trajectory_option = partial(click.option, cls=GroupedOption, heading="Trajectories")
trajectory_options = compose(
    _trajectory_option(
        "--relative-to",
        multiple=True,
        metavar="[first|DATA]",
        help="Also give rigidities relative to the mean of DATA, such as the test set of the "
        "model, or of the first frame; rows are then in the order of the files.",
    ),
    _trajectory_option(
        "--window",
        type=int,
        metavar="N",
        help="Also give moving averages over N frames, that frame and those before it.",
    ),
    _trajectory_option(
        "--threshold",
        type=float,
        metavar="X",
        help="Say which frame is the first of relative PR (with --window: average) below X, and "
        "leave with exit code 3 if there is one.",
    ),
    _trajectory_option(
        "--follow",
        is_flag=True,
        help="Go on as DATA grows: one plain extxyz file, or one store that is replaced by longer "
        "ones. Ends by a signal, at --threshold, or by --until-idle.",
    ),
    _trajectory_option(
        "--interval",
        type=float,
        metavar="SECONDS",
        help="With --follow: time between two looks at DATA.  [default: 5]",
    ),
    _trajectory_option(
        "--until-idle",
        type=float,
        metavar="SECONDS",
        help="With --follow: end when nothing has come for so long.",
    ),
)


def relative_options(choices: Mapping[str, Any]) -> RelativeOptions | None:
    """Build what says what rigidities are related to; None where they are not."""
    from prcli.workflows.relative import RelativeOptions

    if not choices["relative_to"]:
        for name in ("window", "threshold"):
            if choices[name] is not None:
                raise click.UsageError(f"--{name} is for relative rigidities: give --relative-to.")
        return None
    return RelativeOptions(choices["relative_to"], choices["window"], choices["threshold"])


def follow_options(choices: Mapping[str, Any], table_format: str | None) -> FollowOptions | None:
    """Build what says how a file that grows is followed; None where none is."""
    from prcli.workflows.growing_data import FollowOptions

    given = {
        name: choices[name] for name in ("interval", "until_idle") if choices[name] is not None
    }
    if not choices["follow"]:
        for name in given:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} is for files that grow: give --follow.")
        return None
    if table_format == "table":
        raise click.UsageError("--follow writes rows as they come: tsv, csv or jsonl.")
    return FollowOptions(**given)
