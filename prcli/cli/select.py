"""``prcli select``: choose structures."""

from __future__ import annotations

from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import emit_bytes, emit_table, session, summarize
from prcli.cli.constraint_options import (
    check_number,
    constraint_choices,
    constraint_options,
    tell_outcome,
)
from prcli.cli.help_groups import GroupedCommand
from prcli.cli.loss_options import loss_options
from prcli.cli.options import (
    common_options,
    format_opt,
    input_options,
    number_options,
    overwrite_opt,
    provenance_opt,
    target_options,
)
from prcli.cli.ranks import current_communicator
from prcli.cli.select_audit import AuditOfSelection, audit_options
from prcli.cli.select_page import PageOfSelection, page_options
from prcli.cli.select_writers import writer_choices, writer_options
from prcli.cli.stopping import StopRequests, leave_at_once, telling_of_checkpoint

if TYPE_CHECKING:
    from prcli.workflows.select_request import SelectRequest
    from prcli.workflows.select_run import SelectRun

_OBJECTIVES = ["mean-pr", "mean-log-pr", "min-pr", "mean-variance", "log-det"]


@click.command(cls=GroupedCommand)
@click.option(
    "--train", multiple=True, metavar="DATA", help="Training set: what `prcli hessian` takes."
)
@click.option("--hessian", metavar="FILE", help="A finished Hessian instead of --train.")
@click.option("--target", multiple=True, metavar="DATA", help="Structures you care about.")
@click.option("--pool", multiple=True, required=True, metavar="DATA", help="Candidates.")
@click.option("-n", "--n-to-select", type=int, help="Structures to pick; with --budget at most.")
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Result directory; - writes the selected frames to stdout. Without it the table of "
    "picks goes to stdout.",
)
@click.option("--indices", is_flag=True, help="Write source and frame of each pick to stdout.")
@click.option(
    "--objective",
    type=click.Choice(_OBJECTIVES),
    default="mean-pr",
    show_default=True,
    help="What to maximize.",
)
@click.option(
    "--strategy",
    type=click.Choice(["pr", "random", "fps", "leverage"]),
    default="pr",
    show_default=True,
    help="Greedy by the objective, or a baseline.",
)
@target_options
@click.option("--exclude-train", is_flag=True, help="Leave out what is in the training set.")
@click.option(
    "--where",
    metavar="EXPRESSION",
    help="Filter on the pool, such as \"density < 2.0 and config_type == 'bulk'\".",
)
@click.option(
    "--stop-gain", type=float, metavar="X", help="Stop before a gain below X times the first."
)
@click.option(
    "--stop-pr", type=float, metavar="X", help="Stop once every target's rigidity is above X."
)
@click.option("--seed", type=int, default=0, show_default=True, help="For --strategy random.")
@click.option(
    "--structures",
    multiple=True,
    metavar="FILE",
    help="extxyz file of the pool, in place of the one that its store names.",
)
@click.option(
    "--annotate", "with_annotation", is_flag=True, help="Add rank and gain to the comment lines."
)
@click.option(
    "--explain/--no-explain",
    default=None,
    help="Tell which targets each pick helps, and which training structure it is near.  "
    "[default: with -o DIR]",
)
@click.option("--memory", metavar="SIZE", help="Memory that may be held, by each rank, such as 8G.")
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Picks so far, until the result is complete: the same command goes on from there.  "
    "[default: DIR.checkpoint with -o DIR, else none]",
)
@constraint_options
@audit_options
@page_options
@writer_options
@number_options
@loss_options
@input_options
@format_opt
@overwrite_opt
@provenance_opt
@common_options
def select(
    output: str | None,
    indices: bool,
    table_format: str | None,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Pick the candidates that most raise the rigidity of the targets.

    Datasets are feature stores or extxyz files with features, or with --featurizer structures
    alone, each with an optional slice (pool.h5@::10). An option given several times makes one
    set, in that order.

    A long selection keeps its picks in a checkpoint. Stopped by SIGTERM or SIGUSR1, as batch
    systems send them, it ends with exit code 75; the same command goes on and ends with the
    same picks.

    \b
    Examples:
      prcli select --train train.h5 --target target.h5 --pool pool.h5 -n 10 -o out/
      prcli select --train a.xyz --target b.xyz --pool c.xyz --featurizer soap -n 10 -o out/
      prcli select --hessian h.h5 --target target.h5 --pool pool.h5 -n 5 | cut -f 3,4
      prcli select --hessian h.h5 --target target.h5 --pool pool.h5 -n 50 -o out/ --audit
      prcli select --hessian h.h5 --target target.h5 --pool pool.h5 --budget 2000 --cost n_atoms
    """
    from prcli.workflows.select_run import SelectRun

    if indices and output is not None:
        raise click.UsageError("--indices writes to stdout: leave -o/--output out.")
    if (choices["hessian"] is None) == (not choices["train"]):
        raise click.UsageError("Give either --train or --hessian.")
    check_number(choices)
    if choices["with_annotation"] and output is None:
        raise click.UsageError("--annotate is for frames: give -o DIR, or -o - for stdout.")
    audit = AuditOfSelection(choices, output, table_format, choices["overwrite"])
    page = PageOfSelection(choices, output, choices["overwrite"])
    if table_format is not None and (indices or (output is not None and not audit.wanted)):
        raise click.UsageError("--format is for the table on stdout, which is not asked for here.")
    frames_to_stdout = output == "-"
    choices["with_page"] = page.wanted
    request = select_request(None if frames_to_stdout else output, frames_to_stdout, choices)
    communicator = current_communicator()
    with session(quiet=quiet, verbose=verbose, threads=threads, as_ranks=True) as progress:
        audit.check()
        page.check()
        run = SelectRun(request, progress, communicator)
        with telling_of_checkpoint(partial(_kept, run, request)), run:
            with StopRequests(progress, "select", leave_at_once) as stoppable:
                run.run(stoppable)
                stoppable.answer()
            tell_outcome(run.selection, quiet)
            # The audit selects once more, by all ranks. Until it is done there is a checkpoint
            # and no result, so that the same command goes on if it is stopped.
            found = audit.run(run.selection, run.pool.n_atoms, run.again, progress)
            if communicator.rank:
                audit.emit(found)
                return
            if request.output is not None:
                run.write(request.output)
                page.finish(request.output, found)
                audit.emit(found)
            elif frames_to_stdout:
                emit_bytes(run.frames())
            else:
                _emit_picks(run, table_format, indices)
            if not quiet:
                _summarize(run, request.output)


def select_request(output: str | None, needs_frames: bool, choices: dict[str, Any]) -> Any:
    """Build the request from the values of the options."""
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.parallel.memory import parse_size
    from prcli.workflows.select_options import SelectOptions
    from prcli.workflows.select_run import SelectRequest

    how = (
        "n_to_select",
        "objective",
        "strategy",
        "target_per",
        "exclude_train",
        "stop_gain",
        "stop_pr",
        "seed",
    )
    what = (
        "pool",
        "target",
        "train",
        "hessian",
        "where",
        "target_weight",
        "structures",
        "with_annotation",
        "overwrite",
        "with_provenance",
        "with_page",
        "checkpoint",
        "refine",
        "bound",
        "audit",
    )
    return SelectRequest(
        options=SelectOptions(**{name: choices[name] for name in how}),
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
        constraints=constraint_choices(choices),
        output=output,
        needs_frames=needs_frames,
        writers=writer_choices(choices, output),
        explain=output is not None if choices["explain"] is None else choices["explain"],
        memory=None if choices["memory"] is None else parse_size(choices["memory"]),
        **{name: choices[name] for name in what},
    )


def _kept(run: SelectRun, request: SelectRequest) -> tuple[str, str] | None:
    """Say how many picks the checkpoint keeps, and which file it is."""
    if not run.n_kept:
        return None
    wanted = request.options.n_to_select
    kept = f"{run.n_kept} picks" if wanted is None else f"{run.n_kept} of {wanted} picks"
    return kept, str(request.checkpoint_path)


def _emit_picks(run: SelectRun, table_format: str | None, indices: bool) -> None:
    from prcli.workflows.selection_explanation import EXPLANATION_COLUMNS
    from prcli.workflows.selection_output import SELECTION_COLUMNS, selection_table

    table = selection_table(run.selection, run.pool)
    if indices:
        lines = zip(table["source"], table["frame"], strict=True)
        emit_bytes(f"{source}\t{frame}\n".encode() for source, frame in lines)
        return
    columns = [*SELECTION_COLUMNS]
    if run.explanation is not None:
        columns, table = [*columns, *EXPLANATION_COLUMNS], table | run.explanation.table
    emit_table(table_format, columns, [table])


def _summarize(run: SelectRun, directory: str | None) -> None:
    """Say on stderr what the selection did."""
    place = "" if directory is None else f"{directory}: "
    selection = run.selection
    before, after = selection.objective_before, selection.objective_after
    # Without targets a baseline has no objective.
    reached = (
        "" if isnan(before) else f"{selection.options.objective} {before:.6g} -> {after:.6g}; "
    )
    summarize(
        f"{place}{len(selection.picks)} of {selection.n_candidates} candidates; {reached}"
        f"stopped by {selection.stopped}; "
        f"largest drift {selection.drift:.1e}",
    )
