"""MACE: descriptors of ``mace_eval_configs``, and means of ``mace_finetuning_select``.

``mace_eval_configs --return_descriptors`` adds to each frame a column ``MACE_descriptors`` of 8
decimals; with ``--descriptor_aggregation_method mean`` a vector of the comment line in full
precision, with ``per_element_mean`` a dictionary of such vectors. ``mace_finetuning_select`` writes
a pickled array of dictionaries, of the frames that pass its filter of elements.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from prcli.data.column_layout import column_layout
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment
from prcli.data.file_kind import file_kind
from prcli.data.formats_npy import read_objects
from prcli.errors import RequestError
from prcli.workflows.carried_rows import CarriedRows, open_carriers
from prcli.workflows.element_means import ElementMeanRows, ElementMeans
from prcli.workflows.frame_rows import FrameRows
from prcli.workflows.import_profiles.profile import Profile, declare
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)

_KEY = "MACE_descriptors"
_FILES = "<pool>_descriptors.npy of mace_finetuning_select, or an xyz file of mace_eval_configs"


def _open(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open descriptors, wherever MACE put them."""
    if request.features is None:
        rows = _open_frames(request, frames)
        logger.info(
            "%s: what MACE writes has lost energy, forces and stress of its input; to keep frames"
            " as they were, import your own file with --features %s",
            frames.typed,
            frames.typed,
        )
    elif file_kind(request.features) == "extxyz":
        carriers = open_carriers(Path(request.features))
        rows = CarriedRows(_open_frames(request, carriers), carriers, frames)
    else:
        rows = _open_list(request, frames)
    rows.feature_kind = "descriptor"
    logger.info("%s: descriptors of MACE, taken as %s", rows.origin, rows.convention)
    return rows


def _open_list(request: ImportRequest, frames: ImportFrames) -> ImportRows:
    """Open a list of means by element."""
    path = Path(str(request.features))
    listed = read_objects(path, allow_pickle=request.allow_pickle)
    if listed is None:
        raise RequestError(
            "MACE writes no such file of features",
            where=str(path),
            expected=_FILES,
            remedy="for an array that you saved yourself leave out --from, and state the"
            " convention: get_descriptors gives --convention per-atom",
        )
    return _means(request, frames, ElementMeans(str(path), listed.ravel().tolist()))


def _open_frames(request: ImportRequest, frames: ImportFrames) -> ImportRows:
    """Open a column, a vector or a dictionary in the structures."""
    key = request.feature_key or _KEY
    _, content = next(frames.read(np.array([0])))
    line = comment(content)
    if column_layout(line).find(key) is not None:
        return FrameRows(key, declare(request, "per-atom", f"{key!r} is a column"), frames)
    value = comment_values(line, [key]).get(key)
    if isinstance(value, dict):
        return _means(request, frames, ElementMeans(key))
    return FrameRows(key, declare(request, "mean", f"{key!r} is a mean over atoms"), frames)


def _means(request: ImportRequest, frames: ImportFrames, means: ElementMeans) -> ImportRows:
    """Make means over all atoms of those over the atoms of each element."""
    declare(request, "mean", "these are means over the atoms of each element")
    return ElementMeanRows(
        means,
        frames,
        apart=request.per_species,
        listed=request.species,
        blocks=request.blocks,
    )


PROFILE = Profile("mace", _FILES, _open)
