"""DeePMD-kit: the folder of ``dp eval-desc``, and the HDF5 file of ``dp embed``.

Both hold an array of shape (frames, atoms, D) for each system, under the last part of the system's
path. Neither tells in which order systems were in: by name, unless the user says otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from prcli.data.deepmd_files import is_embedding, open_descriptors, open_embedding
from prcli.data.deepmd_systems import System
from prcli.data.foreign import ForeignArray
from prcli.data.formats import read_head
from prcli.workflows.array_rows import ArrayRows
from prcli.workflows.import_profiles.profile import Profile, declare, needs_file
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)

_FILES = "the folder of dp eval-desc -o FOLDER, or the HDF5 file of dp embed -o FILE"
_SAME_NAMES = (
    "dp eval-desc overwrites the file of a system with that of another of the same name; and"
    " structures must be in the order of the systems, which --system states"
)
_ORDER = "structures must be in the order of the systems, which --system states"


def _open(request: ImportRequest, frames: ImportFrames, stack: ExitStack) -> ImportRows:
    """Open the arrays of all systems as rows of atoms, or of structures."""
    path = Path(needs_file(request, _FILES))
    if not path.is_dir():
        read_head(path)
    if is_embedding(path):
        name, remedy = request.array or "atomic_feature", _ORDER
        array, systems = open_embedding(path, name, request.systems)
        stack.enter_context(array)
    else:
        name, remedy = "descriptor", _SAME_NAMES
        array, systems = open_descriptors(path, request.systems)
    if name == "structural_feature":
        convention = declare(request, "sum", "dp embed adds up the atoms of a structure")
    else:
        convention = declare(request, "per-atom", "these are rows of atoms")
    logger.info("%s: %s of DeePMD-kit, taken as %s", path, name, convention)
    _say_order(systems, request, array)
    rows = ArrayRows(array, frames, convention, remedy)
    rows.feature_kind = "descriptor" if name == "descriptor" else "last-layer"
    if rows.feature_kind == "last-layer" and not request.per_species:
        _say_weights(array, name)
    return rows


def _say_weights(array: ForeignArray, name: str) -> None:
    """Say when features of different elements do not share weights."""
    if array.species is not None and len(np.unique(array.species)) < 2:
        return
    logger.info(
        "if the model has a fitting net for each element (se_e2_a has, DPA has not), each has its"
        " own last layer: %s",
        "give --per-species" if name == "atomic_feature" else "take atomic_feature, --per-species",
    )


def _say_order(systems: Sequence[System], request: ImportRequest, array: ForeignArray) -> None:
    """Say the order of systems, and warn where nothing would show that it is wrong."""
    if len(systems) < 2:
        return
    counted = [f"{system.name} ({system.values.shape[0]} frames)" for system in systems]
    order = "asked for" if request.systems else "of their names"
    logger.info("systems in the order %s: %s", order, ", ".join(counted))
    if request.systems:
        return
    alike = _alike(systems)
    if alike:
        logger.warning(
            "systems %s have the same atoms, so a wrong order of theirs would not be seen: state"
            " it with --system",
            " and ".join(alike),
        )
    if array.species is None:
        logger.info("the files name no elements: only numbers of atoms are compared")


def _alike(systems: Sequence[System]) -> tuple[str, ...]:
    """Name two systems with the same atoms in their first frames; nothing if there are none."""
    seen: dict[tuple[int, ...], str] = {}
    for system in systems:
        first = system.values.shape[1] if system.types is None else system.types[0]
        key = tuple(np.ravel(first).tolist())
        if key in seen:
            return seen[key], system.name
        seen[key] = system.name
    return ()


PROFILE = Profile("deepmd", _FILES, _open)
