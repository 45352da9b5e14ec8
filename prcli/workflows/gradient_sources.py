"""Which gradients are imported, and how derivatives of features become rows."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FeatureError, RequestError
from prcli.workflows.gradient_readers import (
    FILES,
    IN_FEATURES,
    Floats,
    GradientKind,
    GradientOrigin,
    GradientReader,
    open_file,
    open_in_features,
)
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.import_rows import ImportFrames, ImportRows

logger = logging.getLogger(__name__)

#: Strain components in Voigt order.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, eq=False)
class GradientSource:
    """Rows of one kind.

    Attributes
    ----------
    kind : {"force", "stress"}
    reader : GradientReader
    is_derivative : bool
        Whether sign and volume are still to be applied.
    present : (S,) array of bool
        Structures that have such rows.
    volumes : (S,) array of float64, optional
        Volumes for stresses; nan where there are none.
    """

    kind: GradientKind
    reader: GradientReader
    is_derivative: bool
    present: NDArray[np.bool_]
    volumes: NDArray[np.float64] | None

    def rows(self, start: int, stop: int) -> Floats:
        """Return the rows of those structures among ``start:stop`` that have any."""
        found = self.reader.read(start, stop)
        if self.is_derivative and self.volumes is None:
            np.negative(found, out=found)
        elif self.is_derivative and self.volumes is not None:
            found = stress_rows(found, self.volumes[start:stop])
        present = self.present[start:stop]
        if present.all():
            return found
        return found.reshape(stop - start, -1, found.shape[1])[present].reshape(-1, found.shape[1])


def check_gradient_options(request: ImportRequest) -> None:
    """Refuse options that contradict each other, before any file is read.

    Raises
    ------
    RequestError
        If rows of a kind come from two files, or an option lacks the one that it needs.
    """
    given = [origin for origin in FILES if getattr(request, origin.field) is not None]
    _check_one_place(given)
    if request.gradients and request.features is None:
        raise RequestError(
            "gradients are read from the file of the features",
            where="--gradients",
            expected="--features FILE, an mts file",
            got="features of the structures file",
        )
    if request.per_species and (given or request.gradients):
        raise RequestError(
            "gradients cannot be taken apart by element",
            where="--per-species",
            expected="gradients of the features as they are",
            remedy="leave out --per-species, or import features and gradients that have columns for"
            " each element already",
        )
    if request.reduce_gradients and not (given or request.gradients):
        raise RequestError(
            "there are no gradients to reduce",
            where="--reduce-gradients",
            expected="gradients, given with --gradients, "
            + ", ".join(origin.option for origin in FILES),
        )


def open_sources(
    request: ImportRequest, frames: ImportFrames, rows: ImportRows, stack: ExitStack
) -> list[GradientSource]:
    """Open all gradients that were asked for.

    Parameters
    ----------
    request : ImportRequest
    frames : ImportFrames
    rows : ImportRows
        Features; with ``--gradients`` their file has the gradients.
    stack : ExitStack
        Closes the files.

    Returns
    -------
    list of GradientSource
        At most one of each kind, forces first.

    Raises
    ------
    RequestError
        If a kind comes from two places, or no structure can have stress rows.
    FeatureError
        If gradients do not fit the structures or the features.
    """
    origins = [origin for origin in FILES if getattr(request, origin.field) is not None]
    if request.gradients:
        origins += _in_features(request, rows)
    origins.sort(key=lambda origin: origin.kind)
    _check_one_place(origins)
    readers = [
        open_file(origin, request, frames, stack)
        if origin.name is None
        else open_in_features(origin, request, frames, rows)
        for origin in origins
    ]
    for reader in readers:
        _check_width(reader, rows)
    return [
        _source(origin, reader, frames) for origin, reader in zip(origins, readers, strict=True)
    ]


def stress_rows(derivatives: Floats, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make rows of stresses from derivatives by nine independent strains.

    Parameters
    ----------
    derivatives : (9 S, D) array
        ∂(Σ_j f_j)/∂ε_ij, j fastest.
    volumes : (S,) array
        Volumes V of the cells.

    Returns
    -------
    (6 S, D) array
        (1/V) · ½(∂/∂ε_ij + ∂/∂ε_ji) Σ_j f_j in Voigt order.
    """
    n_columns = derivatives.shape[1]
    strains = np.asarray(derivatives, dtype=np.float64).reshape(-1, 3, 3, n_columns)
    i, j = np.transpose(VOIGT)
    # What is not finite is refused later, with its place.
    with np.errstate(invalid="ignore", over="ignore"):
        rows = (strains[:, i, j] + strains[:, j, i]) * (0.5 / volumes)[:, np.newaxis, np.newaxis]
    return rows.reshape(-1, n_columns)


def _in_features(request: ImportRequest, rows: ImportRows) -> list[GradientOrigin]:
    """Choose the gradients of the features' own file."""
    found = [origin for origin in IN_FEATURES if origin.name in rows.gradient_names]
    known = [str(origin.name) for origin in IN_FEATURES]
    if not found:
        raise FeatureError(
            "the features come with no gradients that can be read",
            where=request.features or f"--feature-key {request.feature_key}",
            expected="an mts file with gradients with respect to " + " or ".join(known),
            got="gradients with respect to " + ", ".join(rows.gradient_names)
            if rows.gradient_names
            else "no gradients",
            remedy="compute the features with these gradients, or name files of gradients with "
            + ", ".join(origin.option for origin in FILES),
        )
    for name in rows.gradient_names:
        if name not in known:
            logger.info("gradients with respect to %r are not read", name)
    return found


def _check_one_place(origins: list[GradientOrigin]) -> None:
    """Refuse two sources of rows of one kind."""
    for one, other in zip(origins[:-1], origins[1:], strict=True):
        if one.kind == other.kind:
            raise RequestError(
                f"{one.kind} rows must come from one place",
                expected=f"either {one.option} or {other.option}",
                got="both",
            )


def _check_width(reader: GradientReader, rows: ImportRows) -> None:
    """Refuse gradients of other features."""
    if reader.n_features != rows.n_features:
        raise FeatureError(
            "gradients and features differ in width",
            where=reader.where,
            expected=f"{rows.n_features} columns, one per feature",
            got=f"{reader.n_features}",
        )


def _source(origin: GradientOrigin, reader: GradientReader, frames: ImportFrames) -> GradientSource:
    """Find the structures that have such rows, and their volumes."""
    if origin.kind == "force":
        everywhere = np.ones(len(frames.frame), dtype=np.bool_)
        return GradientSource("force", reader, origin.is_derivative, everywhere, None)
    volumes = frames.periodic_volumes()
    present = ~np.isnan(volumes)
    n_without = int(np.count_nonzero(~present))
    if n_without == len(volumes):
        raise RequestError(
            "no structure is periodic in three directions, so none has a stress",
            where=frames.typed,
            expected='structures with a Lattice, and pbc="T T T" or no pbc',
            remedy="leave out gradients with respect to strain",
        )
    if n_without:
        logger.warning(
            "%d of %d structures are not periodic in three directions and get no stress rows",
            n_without,
            len(volumes),
        )
    return GradientSource("stress", reader, origin.is_derivative, present, volumes)
