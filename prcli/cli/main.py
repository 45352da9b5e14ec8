"""The ``prcli`` command: its subcommands, and how errors leave it."""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from prcli import __version__
from prcli.cli.ranks import Rank, as_a_rank
from prcli.cli.signals import orderly_exits
from prcli.cli.streams import prepare_streams
from prcli.errors import PrcliError
from prcli.parallel.threads import let_idle_threads_sleep

#: Commands by what people want to do, with module and attribute of each.
_TASKS = {
    "Prepare features and a training set": {
        "features": "prcli.cli.features:features",
        "hessian": "prcli.cli.hessian:hessian",
    },
    "Choose structures": {
        "select": "prcli.cli.select:select",
        "prune": "prcli.cli.prune:prune",
        "embed": "prcli.cli.embed:embed",
    },
    "Judge predictions": {
        "score": "prcli.cli.score:score",
        "calibrate": "prcli.cli.calibrate:calibrate",
        "ensemble": "prcli.cli.ensemble:ensemble",
    },
    "Look at results": {
        "evaluate": "prcli.cli.evaluate:evaluate",
        "compare": "prcli.cli.compare:compare",
        "report": "prcli.cli.report:report",
        "info": "prcli.cli.info:info",
    },
}
#: Letters that a command may need to say what it does.
_SENTENCE = 160

_COMMANDS = {name: place for task in _TASKS.values() for name, place in task.items()}


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under what they are for."""
        width = max(map(len, _COMMANDS))
        for task, names in _TASKS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                if command is not None:
                    rows.append((name.ljust(width), command.get_short_help_str(_SENTENCE)))
            with formatter.section(task):
                formatter.write_dl(rows)

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

    Exit codes: 0 done, 1 the input or the request cannot be satisfied, 2 usage, 3 a rigidity
    fell below the threshold that was given, 75 stopped early with a checkpoint, 130 and 143
    interrupted, 141 the reader of the output has closed it. A bug keeps its traceback.
    """
    prepare_streams()
    let_idle_threads_sleep()
    with as_a_rank() as rank:
        rank.code = _run(rank)
    sys.exit(rank.code)


def _run(rank: Rank) -> int:
    """Run the command that was typed, show what went wrong, and give the exit code."""
    if "_PRCLI_COMPLETE" in os.environ:
        from prcli.cli.completion import complete_files_too

        complete_files_too()
    try:
        with orderly_exits(rank.hold), rank.ending_together():
            code: Any = cli.main(prog_name="prcli", standalone_mode=False, obj=rank.communicator)
    except PrcliError as error:
        click.echo(f"prcli: error: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.option_name == "-@":
            hint = f"{error.message} A slice of stdin comes after all options and --: -- -@::10"
            error = click.UsageError(hint, error.ctx)
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
    return code if isinstance(code, int) else 0


def _drop_output() -> None:
    """Let nothing more be flushed into stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
