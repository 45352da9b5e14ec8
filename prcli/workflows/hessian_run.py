"""Build a Hessian file from what a user typed."""

from __future__ import annotations

from dataclasses import dataclass, field

from prcli.data.hessian_file import write_hessian
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_not_input, check_output
from prcli.data.shards import Shard
from prcli.records import ALONE, Communicator, FileStamp, Progress, no_progress
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.hessian_shard import check_sharded, sum_shard
from prcli.workflows.inputs import (
    DataArgument,
    InputOptions,
    InputSet,
    load_hessian,
    open_inputs,
    paths_of,
    split_hessians,
    stamp_hessian,
    stamps_of,
)
from prcli.workflows.model import full_factor
from prcli.workflows.number_settings import number_settings
from prcli.workflows.prior import prior_files
from prcli.workflows.rank_limits import check_ranks


@dataclass(frozen=True)
class HessianRequest:
    """What to sum, and where to.

    Attributes
    ----------
    inputs : tuple of DataArgument
        Feature sets and Hessian files in any mix.
    output : str
    options : HessianOptions
    input_options : InputOptions
    also : tuple of DataArgument
        Sets that the command opens later: where features are computed, their elements get
        columns, too.
    shard : Shard, optional
        Only this share of the structures.
    overwrite, with_provenance : bool
    """

    inputs: tuple[DataArgument, ...]
    output: str
    options: HessianOptions = field(default_factory=HessianOptions)
    input_options: InputOptions = field(default_factory=InputOptions)
    also: tuple[DataArgument, ...] = ()
    shard: Shard | None = None
    overwrite: bool = False
    with_provenance: bool = True


def build_hessian(
    request: HessianRequest,
    progress: Progress = no_progress,
    communicator: Communicator = ALONE,
) -> HessianRecord:
    """Sum the inputs and write the Hessian file.

    Parameters
    ----------
    request : HessianRequest
    progress : callable
    communicator : Communicator
        Ranks divide the structures among them; rank 0 writes.

    Returns
    -------
    record : HessianRecord

    Raises
    ------
    PrcliError
        If inputs do not fit each other, the Hessian is singular (that of a shard may be), or
        the file cannot be written.
    """
    if communicator.rank == 0:
        check_output(request.output, request.overwrite)
    check_ranks(communicator, request.inputs, request.input_options, request.shard)
    priors = prior_files(request.options.prior)
    check_not_input(request.output, [*paths_of(request.inputs), *priors])
    data, paths = split_hessians(request.inputs)
    if request.shard is not None:
        check_sharded(request.shard, request.options, paths)
    records = [load_hessian(path) for path in paths]
    stamps: list[FileStamp] = [stamp_hessian(path) for path in paths]
    if data:
        [opened] = open_inputs(
            [InputSet("train", tuple(data))],
            request.input_options,
            records=records,
            also=request.also,
            reserved=[request.output, *paths],
            progress=progress,
        )
        with opened as train:
            stamps += stamps_of(train)
            if request.shard is None:
                record = sum_hessian([train], records, request.options, progress, communicator)
            else:
                record = sum_shard(train, request.shard, request.options, progress)
    else:
        record = sum_hessian([], records, request.options, progress)
    stamps += [stamp_file(path) for path in priors]
    settings = number_settings(record)
    if request.shard is None:
        # A singular Hessian is found here and not when it is used.
        full_factor(record)
    else:
        settings["shard"] = str(request.shard)
    provenance = make_provenance(stamps, settings) if request.with_provenance else None
    if communicator.rank == 0:
        write_hessian(request.output, record, provenance, request.overwrite)
    return record
