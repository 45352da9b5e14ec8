"""Gradients as other programs wrote them, read structure by structure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.formats import open_array
from prcli.data.mts_gradients import MtsGradients, open_gradients
from prcli.errors import FeatureError
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)

Floats: TypeAlias = NDArray[np.floating]
GradientKind: TypeAlias = Literal["force", "stress"]


@dataclass(frozen=True)
class GradientOrigin:
    """What gradients from one place are.

    Attributes
    ----------
    field : str
        Attribute of the request that names the file.
    kind : {"force", "stress"}
    components : tuple of int
        Axes that the gradients of an atom (force) or of a structure (stress) may have.
    is_derivative : bool
        Whether they are derivatives of features, still without sign and volume.
    name : str, optional
        Name in the mts file of the features.
    """

    field: str
    kind: GradientKind
    components: tuple[int, ...]
    is_derivative: bool
    name: str | None = None

    @property
    def option(self) -> str:
        """How the option is spelled on the command line."""
        return "--" + self.field.replace("_", "-")

    @property
    def n_components(self) -> int:
        """Gradients of an atom (force) or of a structure (stress)."""
        return prod(self.components)

    def places(self, frames: ImportFrames) -> NDArray[np.int64]:
        """Return the first atom (force) or the number (stress) of each structure, (S + 1,)."""
        return frames.offsets if self.kind == "force" else np.arange(len(frames.offsets))


FILES = (
    GradientOrigin("force_rows", "force", (3,), False),
    GradientOrigin("position_gradients", "force", (3,), True),
    GradientOrigin("stress_rows", "stress", (6,), False),
    GradientOrigin("strain_gradients", "stress", (3, 3), True),
)
IN_FEATURES = (
    GradientOrigin("gradients", "force", (3,), True, "positions"),
    GradientOrigin("gradients", "stress", (3, 3), True, "strain"),
)


@dataclass(frozen=True, eq=False)
class GradientReader:
    """Gradients as they are in a file, structures side by side with the frames.

    Attributes
    ----------
    where : str
        The file, for messages.
    n_features : int
    dtype : dtype
        Type of the numbers in the file.
    notes : tuple of str
        What the user should know about how the file was read.
    read : callable
        Gives the gradients of structures ``start:stop``, one row for each component.
    """

    where: str
    n_features: int
    dtype: np.dtype[np.floating]
    notes: tuple[str, ...]
    read: Callable[[int, int], Floats]


def open_file(
    origin: GradientOrigin, request: ImportRequest, frames: ImportFrames, stack: ExitStack
) -> GradientReader:
    """Open gradients in a file of their own."""
    array = stack.enter_context(
        open_array(
            getattr(request, origin.field),
            array=request.array,
            allow_pickle=request.allow_pickle,
            components=origin.components,
        )
    )
    places = origin.places(frames)
    offsets = places * origin.n_components
    if array.shape[0] != offsets[-1]:
        unit = "atoms" if origin.kind == "force" else "structures"
        raise FeatureError(
            f"number of gradients does not fit {origin.option}",
            where=array.where,
            expected=f"{origin.n_components} for each of {places[-1]} {unit}: {offsets[-1]} rows",
            got=f"{array.shape[0]} rows",
            remedy="check that the gradients were made from these structures",
        )

    def read(start: int, stop: int) -> Floats:
        return array.read(int(offsets[start]), int(offsets[stop]))

    notes = tuple(f"{origin.option}: {note}" for note in array.notes)
    return GradientReader(array.where, array.shape[1], array.dtype, notes, read)


def open_in_features(
    origin: GradientOrigin, request: ImportRequest, frames: ImportFrames, rows: ImportRows
) -> GradientReader:
    """Open gradients that the file of the features holds, to be added up by structure."""
    gradients = open_gradients(Path(str(request.features)), str(origin.name), frames.n_atoms)
    if rows.convention == "mean" and origin.kind == "force":
        logger.warning(
            "gradients of means are multiplied by the number of atoms; those that"
            " mean_over_samples of metatensor makes were divided by fewer, the atoms in reach:"
            " sum_over_samples and --convention sum are safe"
        )
    places = origin.places(frames)

    def read(start: int, stop: int) -> Floats:
        total = _summed(gradients, places[start : stop + 1], start, origin.n_components)
        if rows.convention == "mean":
            counts = np.diff(places[start : stop + 1])
            total *= np.repeat(frames.n_atoms[start:stop], counts)[:, np.newaxis, np.newaxis]
        return total.reshape(-1, gradients.n_features)

    return GradientReader(
        gradients.where, gradients.n_features, gradients.dtype, gradients.notes, read
    )


def _summed(
    gradients: MtsGradients, places: NDArray[np.int64], start: int, n_components: int
) -> NDArray[np.float64]:
    """Add gradients of rows up to those of their structures, from structure `start` on."""
    from scipy.sparse import csr_array

    total = np.zeros((int(places[-1] - places[0]), n_components, gradients.n_features))
    for part in gradients.parts(start, start + len(places) - 1):
        place = places[part.structure - start] - places[0]
        if part.atom is not None:
            place = place + part.atom
        reached, which = np.unique(place, return_inverse=True)
        n_rows = len(place)
        # Row i of the matrix has ones where gradients belong to place `reached[i]`.
        adding = csr_array(
            (np.ones(n_rows), (which, np.arange(n_rows))), shape=(len(reached), n_rows)
        )
        sums = adding @ part.values.reshape(n_rows, -1)
        # What is not finite is refused later, with its place.
        with np.errstate(invalid="ignore", over="ignore"):
            total[reached, :, part.columns] += sums.reshape(len(reached), n_components, -1)
    return total
