"""``prcli features compute``: structures → feature store."""

from __future__ import annotations

import difflib
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from prcli.cli.console import session, summarize
from prcli.cli.options import (
    column_opt,
    common_options,
    compose,
    overwrite_opt,
    provenance_opt,
    refuse_stdout,
    split_species,
)
from prcli.cli.ranks import current_communicator
from prcli.cli.stopping import StopRequests, leave_at_once
from prcli.errors import StoppedEarlyError
from prcli.wording import counted

if TYPE_CHECKING:
    from prcli.workflows.compute_request import ComputeSummary

_HELP = """Describe the atoms of STRUCTURES by {title} features.

STRUCTURES is an extxyz file (plain, gzip, bzip2 or xz; with an optional slice such as @::10; -
for stdin, with a slice -- -@::10). The store holds the features of every atom and their means per
structure.

\b
Examples:
  prcli features compute {name} train.xyz -o train.h5{example}
  prcli features compute {name} pool.xyz -o pool.h5{example} --no-atoms --dtype float32
"""

#: What must be given beside the structures.
_EXAMPLES = {"lode": " --hypers lode.toml"}

#: Names as people write them.
_TITLES = {"soap": "SOAP", "lode": "LODE"}


class FeaturizerGroup(click.Group):
    """A command for each featurizer."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the featurizers."""
        from prcli.features.featurizer import featurizer_names

        return featurizer_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of a featurizer."""
        from prcli.features.featurizer import PYTHON_PREFIX

        if cmd_name not in self.list_commands(ctx) and not cmd_name.startswith(PYTHON_PREFIX):
            return None
        from prcli.cli.features_models import MODEL_FEATURIZERS, make_model_command

        if cmd_name in MODEL_FEATURIZERS:
            return make_model_command(cmd_name)
        return make_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which featurizer was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            hint = f"No featurizer {args[0]!r}. Did you mean {near[0]!r}?"
            raise click.UsageError(hint, ctx) from error


@click.group(cls=FeaturizerGroup, subcommand_metavar="FEATURIZER STRUCTURES -o STORE [OPTIONS]")
def compute() -> None:
    """Compute features of structures.

    FEATURIZER is one of those below, or python:MODULE:FUNCTION, which is called with a list of
    ase.Atoms and gives an array with one row per atom, or one array per structure.

    \b
    Examples:
      prcli features compute soap train.xyz -o train.h5
      prcli features compute python:descriptors:describe train.xyz -o train.h5
    """


structures_arg = click.argument("structures", metavar="STRUCTURES")

output_opt = click.option(
    "-o",
    "--output",
    required=True,
    metavar="STORE",
    callback=refuse_stdout,
    help="Feature store to write.",
)

#: What decides the columns, where there is no model.
COLUMN_OPTIONS = (
    click.option(
        "--hypers", metavar="FILE", help="TOML file with settings in the featurizer's own words."
    ),
    click.option(
        "--species",
        metavar="C,H,...",
        callback=split_species,
        help="Elements that columns are made for; default those that occur. Sets that go "
        "together need the same.",
    ),
    click.option(
        "--per-species/--no-per-species",
        default=None,
        help="Whether atoms of different elements fill different columns; by default they do "
        "where there are several elements.",
    ),
    click.option(
        "--distinct",
        is_flag=True,
        help="Keep one of each two columns that are equal by symmetry, times the root of 2: "
        "fewer columns, the same rigidities.",
    ),
)

#: What every featurizer takes.
RUN_OPTIONS = (
    click.option(
        "--gradients",
        type=click.Choice(["force", "stress", "both"]),
        help="Store the rows of forces, stresses or both as well.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float64"]),
        default="float64",
        show_default=True,
        help="Type of the features in the store.",
    ),
    click.option(
        "--atoms/--no-atoms",
        "with_atoms",
        default=True,
        help="Whether rows of atoms are stored, beside the means of structures.  [default: atoms]",
    ),
    click.option(
        "--checkpoint",
        metavar="FILE",
        help="What has been computed, until the store is complete: the same command goes on "
        "from there.  [default: STORE.checkpoint]",
    ),
    column_opt,
    click.option("--no-checkpoint", is_flag=True, help="Keep none, which saves disk space."),
    overwrite_opt,
    provenance_opt,
    common_options,
)


def make_command(name: str) -> click.Command:
    """Make the command of one featurizer."""
    title, example = _TITLES.get(name, name), _EXAMPLES.get(name, "")

    @click.command(name, help=_HELP.format(name=name, title=title, example=example))
    @compose(structures_arg, output_opt, *COLUMN_OPTIONS, *RUN_OPTIONS)
    def command(**choices: Any) -> None:
        run_compute(name, **choices)

    return command


def run_compute(
    name: str,
    structures: str,
    output: str,
    no_checkpoint: bool,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Compute features as the options of a command say."""
    from prcli.workflows.compute_request import ComputeRequest
    from prcli.workflows.features_compute import compute_features

    if no_checkpoint and choices["checkpoint"] is not None:
        raise click.UsageError("Give either --checkpoint or --no-checkpoint.")
    request = ComputeRequest(name, structures, output, with_checkpoint=not no_checkpoint, **choices)
    communicator = current_communicator()
    with (
        session(quiet=quiet, verbose=verbose, threads=threads, as_ranks=True) as progress,
        StopRequests(progress, "compute", partial(_leave, request.checkpoint_path)) as stoppable,
    ):
        summary = compute_features(request, stoppable, communicator=communicator)
        if not quiet:
            summarize(f"{summary.path}: {_describe(summary)}")


def _leave(checkpoint: str | None, number: int) -> NoReturn:
    """Leave as a signal asks to, and tell of the checkpoint where there is one."""
    if checkpoint is not None:
        raise StoppedEarlyError(
            f"stopped by {signal.Signals(number).name} before the store was complete",
            where=checkpoint,
            remedy="the same command goes on from this checkpoint",
        )
    leave_at_once(number)


def _describe(summary: ComputeSummary) -> str:
    """Say on one line what was computed."""
    parts = [
        counted(summary.n_structures, "structure"),
        counted(summary.n_atoms, "atom"),
        counted(summary.n_features, "feature"),
        summary.dtype,
    ]
    if summary.n_gradient_rows:
        parts.append(counted(summary.n_gradient_rows, "gradient row"))
    if summary.n_resumed:
        parts.append(f"{counted(summary.n_resumed, 'structure')} from the checkpoint")
    return ", ".join(parts)
