"""The featomic package: loading it, its errors and messages, and what it takes as structures."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.errors import FeatureError, RequestError

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

#: Bytes of gradients that featomic may hold at a time; larger structures go in parts.
GRADIENT_BYTES = 256 << 20

#: Atoms gather: around them there are up to this many times more neighbours than on average.
_CROWDING = 2.0

#: Width of the gap, beyond the cutoff, between images along a direction that is not periodic.
_MARGIN = 1.0


def load_featomic() -> Any:
    """Import featomic; its messages go the way of ours.

    Raises
    ------
    RequestError
        If it is not installed.
    """
    known = "featomic" in sys.modules
    try:
        import featomic
    except ImportError as error:
        raise RequestError(
            "featomic, which computes SOAP and LODE features, cannot be imported",
            got=str(error),
            remedy='pip install "prcli[soap]"',
        ) from error
    if not known:
        featomic.set_logging_callback(_pass_on)
    return featomic


def _pass_on(level: int, message: str) -> None:
    """Hand a message of featomic to our logger; 1 is an error, 2 a warning."""
    severity = {1: logging.ERROR, 2: logging.WARNING}.get(level, logging.DEBUG)
    logger.log(severity, "featomic: %s", message)


@contextmanager
def featomic_errors(what: str, where: str | None = None) -> Iterator[None]:
    """Turn what featomic raises within the block into `FeatureError`."""
    import featomic

    try:
        yield
    except featomic.FeatomicError as error:
        raise FeatureError(what, where=where, got=str(error)) from error


def as_systems(structures: Sequence[Atoms], reach: float) -> list[Atoms]:
    """Give structures such cells that featomic sees them as they are.

    featomic knows structures that are periodic in three directions and such that are not
    periodic at all. Along other directions a vector is put that is too long for any atom to see
    an image of another one.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    reach : float
        Distance in angstrom up to which atoms see each other.

    Returns
    -------
    list of ase.Atoms
        Copies where something had to be changed.
    """
    return [_as_system(structure, reach) for structure in structures]


def _as_system(structure: Atoms, reach: float) -> Atoms:
    pbc = structure.pbc
    if pbc.all() or not (pbc.any() or structure.cell.any()):
        return structure
    system: Atoms = structure.copy()  # type: ignore[no-untyped-call]
    if pbc.any():
        system.cell[:] = _closed_cell(structure.cell.array, pbc, structure.positions, reach)
        system.pbc = True
    else:
        system.cell[:] = 0.0
    return system


def _closed_cell(
    cell: np.ndarray, pbc: np.ndarray, positions: np.ndarray, reach: float
) -> np.ndarray:
    """Replace the vectors that nothing repeats along by long ones across the others."""
    closed = np.array(cell, dtype=np.float64)
    # Rows after those of the periodic vectors are a basis of what is perpendicular to them.
    across = np.linalg.svd(cell[pbc])[2][np.count_nonzero(pbc) :]
    extents = np.ptp(positions @ across.T, axis=0)
    closed[~pbc] = across * (extents + reach + _MARGIN)[:, np.newaxis]
    return closed


def count_neighbours(structure: Atoms, cutoff: float) -> float:
    """Estimate how many atoms one atom sees, itself included, from the mean density."""
    n_atoms = len(structure)
    if not structure.pbc.all():
        return float(n_atoms)
    sphere = 4.0 / 3.0 * math.pi * cutoff**3
    density = n_atoms / float(structure.cell.volume)
    return min(float(n_atoms), 1.0 + _CROWDING * density * sphere)


def centre_parts(structures: Sequence[Atoms], n_numbers: float) -> Iterator[Any]:
    """Cut the centres such that the gradients of their features fit into memory.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    n_numbers : float
        Numbers that the gradients of all of them are.

    Yields
    ------
    metatensor.Labels or None
        What featomic takes as ``selected_samples``; None once, where all fit.
    """
    n_parts = int(8 * n_numbers // GRADIENT_BYTES) + 1
    if n_parts == 1:
        yield None
        return
    from metatensor import Labels

    atoms = np.array([(i, k) for i, each in enumerate(structures) for k in range(len(each))])
    for part in np.array_split(atoms, min(n_parts, len(atoms))):
        yield Labels(["system", "atom"], part)
