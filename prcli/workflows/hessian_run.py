"""Build a Hessian file from what a user typed."""

from __future__ import annotations

from dataclasses import dataclass, field

from prcli.data.hessian_file import write_hessian
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import make_provenance, stamp_file
from prcli.data.publish import check_not_input, check_output
from prcli.records import FileStamp, Progress, no_progress
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import (
    DataArgument,
    InputOptions,
    load_hessian,
    open_input,
    paths_of,
    split_hessians,
    stamp_hessian,
    stamps_of,
)
from prcli.workflows.model import full_factor
from prcli.workflows.number_settings import number_settings
from prcli.workflows.prior import prior_files


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
    overwrite, with_provenance : bool
    """

    inputs: tuple[DataArgument, ...]
    output: str
    options: HessianOptions = field(default_factory=HessianOptions)
    input_options: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False
    with_provenance: bool = True


def build_hessian(request: HessianRequest, progress: Progress = no_progress) -> HessianRecord:
    """Sum the inputs and write the Hessian file.

    Returns
    -------
    record : HessianRecord

    Raises
    ------
    PrcliError
        If inputs do not fit each other, the Hessian is singular, or the file cannot be
        written.
    """
    check_output(request.output, request.overwrite)
    priors = prior_files(request.options.prior)
    check_not_input(request.output, [*paths_of(request.inputs), *priors])
    data, paths = split_hessians(request.inputs)
    records = [load_hessian(path) for path in paths]
    stamps: list[FileStamp] = [stamp_hessian(path) for path in paths]
    if data:
        with open_input(data, "train", request.input_options) as train:
            stamps += stamps_of(train)
            record = sum_hessian([train], records, request.options, progress)
    else:
        record = sum_hessian([], records, request.options, progress)
    stamps += [stamp_file(path) for path in priors]
    # A singular Hessian is found here and not when it is used.
    full_factor(record)
    provenance = None
    if request.with_provenance:
        provenance = make_provenance(stamps, number_settings(record))
    write_hessian(request.output, record, provenance, request.overwrite)
    return record
