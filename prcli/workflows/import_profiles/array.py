"""Files that do not tell which program wrote them: the convention is stated by the user."""

from __future__ import annotations

from contextlib import ExitStack

from prcli.errors import RequestError
from prcli.workflows.array_rows import ArrayRows
from prcli.workflows.foreign_rows import open_foreign
from prcli.workflows.frame_rows import FrameRows
from prcli.workflows.import_profiles.profile import Profile
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows


def _open(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open an array in a file of its own, or in the structures."""
    if request.features is None:
        return FrameRows(str(request.feature_key), request.convention, frames)
    if request.convention is None:
        raise RequestError(
            "the convention of the features is not stated",
            where="--convention",
            expected="mean, sum or per-atom: what a row of the features file is",
            remedy="see the documentation of the program that wrote the file; of some, --from"
            " knows it",
        )
    return ArrayRows(open_foreign(request, frames, stack), frames, request.convention)


PROFILE = Profile(
    "array",
    "npy, npz, mts, HDF5, pickle, parquet or csv with --convention; or --feature-key",
    _open,
)
