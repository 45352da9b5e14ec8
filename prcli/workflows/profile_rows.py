"""Rows of an import, as the program that wrote them has them and as the request wants them."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from prcli.data.conventions import parse_blocks
from prcli.workflows.element_rows import PerSpeciesRows
from prcli.workflows.import_profiles import find_profile
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)


def open_rows(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open the features of a request.

    Parameters
    ----------
    request : ImportRequest
    frames : ImportFrames
    stack : ExitStack
        Closes the files.

    Raises
    ------
    RequestError
        If the request contradicts what the program's files are.
    FeatureError, FormatError, InputFileError
        If features cannot be read or do not fit the structures.
    """
    rows = find_profile(request.program).open(request, frames, stack)
    if not rows.is_settled:
        if request.blocks:
            rows.blocks = parse_blocks(request.blocks, rows.n_features)
        if request.per_species:
            rows = PerSpeciesRows(rows, frames, request.species)
    if request.feature_kind is not None:
        if rows.feature_kind not in (None, request.feature_kind):
            logger.warning(
                "%s: these are features of kind %s, stored as %s because --feature-kind says so",
                rows.origin,
                rows.feature_kind,
                request.feature_kind,
            )
        rows.feature_kind = request.feature_kind
    return rows
