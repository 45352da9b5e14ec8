"""metatrain: what ``mtt eval`` writes, as mts files or as an xyz file.

Rows of structures are sums over their atoms, in all of metatrain's outputs; rows of atoms are
labelled as such. The xyz file has last-layer features in the comment line, in full precision, and
other features in columns of 8 decimals.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from prcli.data.column_layout import column_layout
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.file_kind import file_kind
from prcli.errors import FeatureError, RequestError
from prcli.records import FeatureKind
from prcli.workflows.array_rows import ArrayRows
from prcli.workflows.carried_rows import CarriedRows, open_carriers
from prcli.workflows.foreign_rows import open_foreign
from prcli.workflows.frame_rows import FrameRows
from prcli.workflows.import_profiles.profile import Profile, declare
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)

_LAST_LAYER = "last_layer_features"
_FILES = "an mts file of mtt eval -o NAME.mts, or the xyz file of mtt eval -o NAME.xyz"
_SUM = "metatrain adds up the atoms of a structure"


def _open(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open features, labelled or in the structures."""
    if request.features is None:
        rows = _open_key(request, frames)
        name = rows.origin
        logger.info(
            "%s: what mtt eval writes has lost all keys of its input; to keep frames as they were,"
            " import your own file with --features %s",
            frames.typed,
            frames.typed,
        )
    elif file_kind(request.features) == "extxyz":
        carriers = open_carriers(Path(request.features))
        carried = _open_key(request, carriers)
        rows, name = CarriedRows(carried, carriers, frames), carried.origin
    else:
        rows, name = _open_file(request, frames, stack), Path(request.features).name
    rows.feature_kind = _kind(name)
    if rows.feature_kind is None:
        logger.warning("%s: by its name this is an output of another kind than features", name)
    what = {"last-layer": "last-layer features", "descriptor": "descriptors"}
    logger.info(
        "%s: %s of metatrain, taken as %s",
        rows.origin,
        what.get(str(rows.feature_kind), "features"),
        rows.convention,
    )
    return rows


def _open_file(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open an mts file; its labels tell what rows are."""
    array = open_foreign(request, frames, stack)
    if not array.labels:
        raise RequestError(
            "features have no labels, which tell structures from atoms",
            where=str(request.features),
            expected=_FILES,
            remedy="for other files leave out --from and state the convention",
        )
    if "atom" in array.labels:
        convention = declare(request, "per-atom", "rows are labelled by atoms")
    else:
        convention = declare(request, "sum", _SUM)
    return ArrayRows(array, frames, convention, "mtt eval writes the structures of its option file")


def _open_key(request: ImportRequest, frames: ImportFrames) -> ImportRows:
    """Open a key or a column of the structures."""
    frame, content = next(frames.read(np.array([0])))
    line = comment(content)
    key = request.feature_key or _find_key(line, f"{frames.typed}, frame {frame}")
    if column_layout(line).find(key) is not None:
        return FrameRows(key, declare(request, "per-atom", f"{key!r} is a column"), frames)
    return FrameRows(key, declare(request, "sum", _SUM), frames)


def _find_key(line: bytes, where: str) -> str:
    """Find the only key of last-layer features."""
    keys = [pair.key.decode("utf-8", "replace") for pair in comment_pairs(line)]
    found = [key for key in dict.fromkeys(keys) if key.endswith(_LAST_LAYER)]
    if len(found) != 1:
        raise FeatureError(
            f"there are {'several' if found else 'no'} last-layer features in the comment line",
            where=where,
            expected=f"one key that ends with {_LAST_LAYER}",
            got=", ".join(found or keys),
            remedy="name the key or column with --feature-key, or the mts file with --features",
        )
    return found[0]


def _kind(name: str) -> FeatureKind | None:
    """Tell from the name of an output what its features are."""
    stem = name.removesuffix(".mts")
    if stem.endswith(_LAST_LAYER):
        return "last-layer"
    return "descriptor" if stem.endswith(("feature", "features")) else None


PROFILE = Profile("metatrain", _FILES, _open)
