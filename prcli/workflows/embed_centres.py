"""Which atoms of a large structure are in question: named ones, or the least rigid ones."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.atom_scores import read_atom_scores
from prcli.data.column_layout import column_layout
from prcli.data.columns import atom_column
from prcli.data.comment_pairs import comment
from prcli.elements import SYMBOLS
from prcli.environments.surroundings import surroundings
from prcli.errors import MismatchError, RequestError
from prcli.workflows.embed_features import LargeFeatures
from prcli.workflows.embed_request import EmbedRequest
from prcli.workflows.one_structure import OneStructure

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: What `prcli score --per atom --write` calls its column.
LPR_KEY = "prcli_lpr"


@dataclass(frozen=True, eq=False)
class RankedAtoms:
    """Rigidities of some or all atoms of a structure.

    Attributes
    ----------
    atom : (n,) array of int64
    lpr : (n,) array of float64
    """

    atom: NDArray[np.int64]
    lpr: FloatArray


def find_centres(
    request: EmbedRequest,
    structure: OneStructure,
    features: LargeFeatures | None,
    separation: float,
) -> tuple[int, ...]:
    """Find the atoms in question.

    Parameters
    ----------
    request : EmbedRequest
    structure : OneStructure
        The large one.
    features : LargeFeatures, optional
        Of a Hessian and a featurizer, where there are both.
    separation : float
        How far the atoms of lowest rigidity are apart at least, in angstrom.

    Returns
    -------
    centres : tuple of int

    Raises
    ------
    RequestError
        If there is no such atom, rigidities are not known, or fewer atoms are so far apart.
    """
    n_atoms = len(structure.atoms)
    if request.atoms:
        outside = [atom for atom in request.atoms if not 0 <= atom < n_atoms]
        if outside:
            raise RequestError(
                "there is no such atom",
                where=f"--atom, {structure.where}",
                expected=f"0 to {n_atoms - 1}, counted from 0",
                got=str(outside[0]),
            )
        return tuple(dict.fromkeys(request.atoms))
    ranked = _rigidities(request, structure, features)
    return lowest_apart(structure, ranked, request.lowest or 1, separation)


def _rigidities(
    request: EmbedRequest, structure: OneStructure, features: LargeFeatures | None
) -> RankedAtoms:
    """Find rigidities: in a table, in a column, or by computing them."""
    if isinstance(request.lpr, np.ndarray):
        return _from_array(request.lpr, structure)
    if request.lpr is not None:
        return _from_table(os.fspath(request.lpr), structure)
    key = request.lpr_key
    if key is None and features is not None:
        lpr = features.rigidities()
        return RankedAtoms(np.arange(len(lpr)), lpr)
    has_column = column_layout(comment(structure.content)).find(LPR_KEY) is not None
    if key is None and not has_column:
        raise RequestError(
            "it is not known which atom is the least rigid",
            where=structure.where,
            expected=f"--atom, --lpr TABLE, a column {LPR_KEY}, or --hessian and --featurizer",
            remedy="run `prcli score HESSIAN DATA --per atom > lpr.tsv` and give --lpr lpr.tsv",
        )
    key = key or LPR_KEY
    column = atom_column(structure.content, key, structure.where)
    if column.shape[1] != 1:
        raise RequestError(
            "rigidities of atoms are one number each",
            where=f"{structure.where}, column {key}",
            got=f"{column.shape[1]} numbers",
        )
    return RankedAtoms(np.arange(len(column)), column[:, 0])


def _from_array(lpr: NDArray[np.floating], structure: OneStructure) -> RankedAtoms:
    """Take rigidities of all atoms."""
    if lpr.shape != (len(structure.atoms),):
        raise MismatchError(
            "rigidities are not those of the atoms",
            where=structure.where,
            expected=f"shape ({len(structure.atoms)},)",
            got=f"shape {lpr.shape}",
        )
    return RankedAtoms(np.arange(len(lpr)), lpr.astype(np.float64))


def _from_table(path: str, structure: OneStructure) -> RankedAtoms:
    """Read the rows of a table that belong to the structure."""
    scores = read_atom_scores(path, structure.frame)
    if len(scores.source) > 1:
        scores = read_atom_scores(path, structure.frame, structure.typed)
    where = f"{path}, rows of {structure.where}"
    if not len(scores.atom):
        raise RequestError(
            "the table has no row for the structure",
            where=where,
            expected=f"source {structure.typed} and frame {structure.frame}",
        )
    if os.path.basename(scores.source[0]) != os.path.basename(structure.typed):
        logger.warning("%s is a table of %s, not of %s", path, scores.source[0], structure.typed)
    n_atoms = len(structure.atoms)
    symbols = [SYMBOLS[number] for number in structure.atoms.numbers.tolist()]
    for atom, symbol in zip(scores.atom.tolist(), scores.species, strict=True):
        if not 0 <= atom < n_atoms or symbol not in ("X", symbols[atom]):
            raise MismatchError(
                "the table is one of other atoms",
                where=where,
                expected=f"{n_atoms} atoms, with the elements of the structure",
                got=f"atom {atom}, {symbol}",
            )
    return RankedAtoms(scores.atom, scores.lpr)


def lowest_apart(
    structure: OneStructure, ranked: RankedAtoms, n_wanted: int, separation: float
) -> tuple[int, ...]:
    """Take the least rigid atoms, none of them closer to another than a distance.

    Parameters
    ----------
    structure : OneStructure
    ranked : RankedAtoms
        Those without a finite rigidity are passed over.
    n_wanted : int
    separation : float
        In angstrom.

    Returns
    -------
    atoms : tuple of int
        Least rigid first; of equal ones the first.

    Raises
    ------
    RequestError
        If there are fewer.
    """
    usable = np.isfinite(ranked.lpr)
    atom, lpr = ranked.atom[usable], ranked.lpr[usable]
    order = atom[np.lexsort((atom, lpr))]
    is_open = np.zeros(len(structure.atoms), dtype=bool)
    is_open[order] = True
    chosen: list[int] = []
    for candidate in order.tolist():
        if not is_open[candidate]:
            continue
        chosen.append(candidate)
        if len(chosen) == n_wanted:
            return tuple(chosen)
        is_open[surroundings(structure.atoms, candidate, separation).index] = False
    raise RequestError(
        "there are fewer atoms so far apart than are wanted",
        where=f"--lowest {n_wanted}, {structure.where}",
        expected=f"{n_wanted} atoms of known rigidity, {separation:g} angstrom apart",
        got=str(len(chosen)),
        remedy="ask for fewer, or give a smaller --separation",
    )
