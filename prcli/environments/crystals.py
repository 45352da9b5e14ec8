"""Crystals by name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from prcli.errors import RequestError

if TYPE_CHECKING:
    from ase import Atoms


def crystal_by_name(text: str) -> Atoms:
    """Make the cell of a crystal.

    Parameters
    ----------
    text : str
        ``C``: an element, as ASE knows its reference state; or ``NaCl:rocksalt:5.64``, which
        names the structure as ASE does (sc, fcc, bcc, hcp, diamond, zincblende, rocksalt,
        cesiumchloride, fluorite, wurtzite, ...) and the lattice constant a, and c where
        there is one, in angstrom.

    Returns
    -------
    crystal : ase.Atoms
        A primitive cell.

    Raises
    ------
    RequestError
        If ASE cannot make it.
    """
    from ase.build import bulk

    name, *rest = text.split(":")
    structure = rest[0] if rest else None
    try:
        lengths = [float(word) for word in rest[1:]]
        a, c = [*lengths, None, None][:2]
        if not name or len(lengths) > 2 or any(length <= 0.0 for length in lengths):
            raise ValueError("expected NAME, NAME:STRUCTURE:A or NAME:STRUCTURE:A:C")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crystal = bulk(name, structure, a=a, c=c)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise RequestError(
            f"the crystal {text!r} is neither a file nor a name",
            where="--crystal",
            expected="a structure file, an element such as C, or one such as NaCl:rocksalt:5.64",
            got=f"{type(error).__name__}: {error}"[:200],
        ) from error
    return crystal
