"""What a user asks of a table of scores, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import check_not_input, check_output
from prcli.data.shards import Shard
from prcli.errors import RequestError
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import DataArgument, InputOptions, InputSet, paths_of
from prcli.workflows.relative import RelativeOptions
from prcli.workflows.score import alpha_of
from prcli.workflows.score_table import Limits, Order
from prcli.workflows.scores import ScorePer


@dataclass(frozen=True)
class ScoreRequest:
    """Everything that decides a table of scores.

    Attributes
    ----------
    hessian : path or HessianRecord
    data : tuple of DataArgument
    per : {"structure", "atom", "force", "stress", "component", "atom-component"}
    shard : Shard, optional
        Only this share of the structures, without ranks, which are those of the whole.
    order : {"rank", "file"}, optional
        By default by rank, and of a shard as in the files.
    top : int, optional
        Only so many of the least rigid.
    limits : Limits
        Only rows whose rigidity or σ is lower or higher.
    relative : RelativeOptions, optional
        What rigidities are related to as well; rows are then in the order of the files by default.
    write : str, optional
        Structure file to write with rigidities added.
    structures : tuple of path
        Structure files in place of those that the stores name.
    hessian_options : HessianOptions
        Numbers in place of those stored.
    inputs : InputOptions
    overwrite : bool
    """

    hessian: str | Path | HessianRecord
    data: tuple[DataArgument, ...]
    per: ScorePer = "structure"
    shard: Shard | None = None
    order: Order | None = None
    top: int | None = None
    limits: Limits = field(default_factory=Limits)
    relative: RelativeOptions | None = None
    write: str | None = None
    structures: tuple[str | Path, ...] = ()
    hessian_options: HessianOptions = field(default_factory=HessianOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False


def input_sets(
    data: tuple[DataArgument, ...], per: ScorePer, relative: RelativeOptions | None
) -> list[InputSet]:
    """Say what has to be known of the sets: what is scored, and a reference if there is one."""
    needs_atoms = per in ("atom", "atom-component")
    needs_gradients = per in ("force", "stress")
    sets = [InputSet("scored", data, needs_atoms, needs_gradients, per)]
    if relative is not None and not relative.to_first:
        sets.append(InputSet("reference", relative.to, needs_atoms, needs_gradients, per))
    return sets


def check_unranked(request: ScoreRequest, shard: Shard) -> None:
    """Refuse what needs the ranks of the whole set."""
    if request.relative is not None:
        raise RequestError(
            "relative rigidities need the whole trajectory",
            where=f"--shard {shard}, --relative-to",
            remedy="leave one of the two out",
        )
    named = "--order rank" if request.order == "rank" else "--top" if request.top else None
    if named is not None:
        raise RequestError(
            "ranks are known only of a whole set",
            where=f"--shard {shard}, {named}",
            expected="the order of the files",
            remedy="sort what all shards have written, or limit each with --below",
        )


def check_calibrated(record: HessianRecord, request: ScoreRequest) -> None:
    """Refuse limits on σ where it is not known."""
    if alpha_of(record, request.per) is None:
        kind = {"force": "force", "stress": "stress"}.get(request.per, "energy")
        raise RequestError(
            "sigma is not known, since the Hessian is not calibrated",
            where="--below-sigma or --above-sigma",
            expected=f"alpha_{kind} in the Hessian",
            remedy="run prcli calibrate on a validation set, or limit the rigidity with --below "
            "and --above",
        )


def check_write(request: ScoreRequest) -> None:
    """Refuse an output that cannot be written, or that is read."""
    path = str(request.write)
    if request.per == "stress":
        raise RequestError(
            "rigidities of stresses cannot be written into frames",
            where="--write",
            expected="--per structure, --per atom, --per force, --per component or --per "
            "atom-component",
            remedy="take them from the table on stdout",
        )
    if path == "-" or path.endswith((".gz", ".bz2", ".xz")):
        raise RequestError(
            "scored structures can be written to a plain file only",
            where="--write",
            expected="the name of an extxyz file",
            got=path,
            remedy="stdout carries the table; compress the file afterwards",
        )
    check_output(path, request.overwrite)
    references = () if request.relative is None else request.relative.to
    check_not_input(path, [*_hessian_files(request), *paths_of((*request.data, *references))])


def other_files(request: ScoreRequest) -> list[str | Path]:
    """Files beside the data that are read or written."""
    written = [] if request.write is None else [request.write]
    return [*_hessian_files(request), *request.structures, *written]


def _hessian_files(request: ScoreRequest) -> list[str | Path]:
    return [] if isinstance(request.hessian, HessianRecord) else [request.hessian]
