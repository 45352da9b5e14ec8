"""GRACE: the pickled table of ``grace_uq predict --save-features``.

Its column ``features`` holds an array (atoms, D) for each structure, and nothing where the
prediction failed; the structures themselves may be in the column ``ase_atoms``.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace

from prcli.workflows.array_rows import ArrayRows
from prcli.workflows.foreign_rows import open_foreign
from prcli.workflows.import_profiles.profile import Profile, declare, needs_file
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)

_COLUMN = "features"
_FILES = "the .pkl.gz of grace_uq predict --save-features; its extxyz output has no features"


def _open(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open the column of features as rows of atoms."""
    needs_file(request, _FILES)
    convention = declare(request, "per-atom", "each cell holds the rows of a structure's atoms")
    array = open_foreign(replace(request, array=request.array or _COLUMN), frames, stack)
    rows = ArrayRows(array, frames, convention)
    rows.feature_kind = "descriptor"
    logger.info(
        "%s: features of GRACE, taken as per-atom; they are a random projection, not the input of"
        " the last layer",
        rows.origin,
    )
    return rows


PROFILE = Profile("grace", _FILES, _open)
