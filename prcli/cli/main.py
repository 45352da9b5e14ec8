"""The ``prcli`` command: its subcommands, and how errors leave it."""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from prcli import __version__
from prcli.cli.signals import orderly_exits
from prcli.errors import PrcliError

#: Command name, module and attribute, in the order in which a newcomer needs them.
_COMMANDS = {
    "features": "prcli.cli.features:features",
    "hessian": "prcli.cli.hessian:hessian",
    "score": "prcli.cli.score:score",
    "select": "prcli.cli.select:select",
    "calibrate": "prcli.cli.calibrate:calibrate",
    "evaluate": "prcli.cli.evaluate:evaluate",
    "ensemble": "prcli.cli.ensemble:ensemble",
    "info": "prcli.cli.info:info",
}


class ClosedPipeError(Exception):
    """What reads our output has seen enough."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; keep click from turning a closed pipe into a failed request."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedPipeError from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if not near:
                raise
            hint = f"{error.message} Did you mean '{near[0]}'?"
            raise click.UsageError(hint, ctx) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="prcli")
def cli() -> None:
    """Choose structures and judge predictions of interatomic potentials.

    prcli builds the Hessian of the training loss from features of a model that is linear in
    its last layer, computes prediction rigidities, PR = 1/(g H^-1 g), and selects the
    candidates that most raise the rigidity of the structures you care about.

    \b
    Example:
      prcli select --train train.h5 --target target.h5 --pool pool.h5 -n 10 -o out/
    """


def main() -> NoReturn:
    """Run the command line.

    Exit codes: 0 done, 1 the input or the request cannot be satisfied, 2 usage, 75 stopped
    early with a checkpoint, 130 and 143 interrupted, 141 the reader of the output has closed
    it. A bug keeps its traceback.
    """
    try:
        with orderly_exits():
            code: Any = cli.main(prog_name="prcli", standalone_mode=False)
    except PrcliError as error:
        click.echo(f"prcli: error: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("prcli: interrupted", err=True)
        code = 130
    except ClosedPipeError:
        _drop_output()
        code = 141
    except OSError as error:
        # What the disk or the system refuses is the user's to mend, and no bug.
        place = f"\n  where:    {error.filename}" if error.filename else ""
        click.echo(f"prcli: error: {error.strerror or error}{place}", err=True)
        _drop_output()
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _drop_output() -> None:
    """Let nothing more be flushed into stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
