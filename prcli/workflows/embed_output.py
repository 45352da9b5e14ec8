"""Small structures in a file, and the table of what they gain."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from prcli.data.columns import composition
from prcli.data.publish import publish_file
from prcli.elements import AMU_PER_A3_IN_G_PER_CM3, MASSES, SYMBOLS
from prcli.environments.template import BUFFER
from prcli.workflows.embed_frames import embedded_frames
from prcli.workflows.embedding import Embedding, SmallStructure

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_WHERE = ("index", "source", "frame", "atom", "species", "strategy", "draw", "seed")
_WHAT = ("n_atoms", "n_fixed", "formula", "density", "n_tries")
_GAINS = ("rank", "lpr", "gain", "gain_alone", "feature_change")
_PICKS = ("pick", "picked_lpr")


def write_embedded(path: str, embedding: Embedding, overwrite: bool = False) -> None:
    """Write all small structures to a file, whole or not at all."""
    with publish_file(path, overwrite) as temporary, open(temporary, "wb") as file:
        for frame in embedded_frames(embedding):
            file.write(frame)


def embedding_columns(embedding: Embedding) -> tuple[str, ...]:
    """Names of the columns of the table, stable between versions."""
    gains = _GAINS if embedding.lpr else ()
    picks = _PICKS if embedding.request.choice.n_to_choose is not None else ()
    return (*_WHERE, *_WHAT, *gains, *picks)


def embedding_table(embedding: Embedding) -> Mapping[str, ArrayLike]:
    """Give the table: a row for each small structure, and one for the large one as it is.

    The row of the large one, of strategy "whole", is there where its gain is known. It is in no
    output, so it has no index.
    """
    rows = [_row(embedding, small, index) for index, small in enumerate(embedding.small)]
    if embedding.whole_gain is not None:
        rows.append(_whole_row(embedding))
    names = embedding_columns(embedding)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: list[Any]) -> ArrayLike:
    """Make an array of values of one kind; what is not known stays None."""
    return values if None in values else np.array(values)


def _row(embedding: Embedding, small: SmallStructure, index: int) -> dict[str, object]:
    """Give one row of the table."""
    structure, crystal = embedding.structure, embedding.crystal
    row: dict[str, object] = {
        "index": index,
        "strategy": small.name,
        "seed": embedding.request.seed,
        "draw": small.draw,
        "n_tries": small.n_tries,
        "gain": small.gain,
        "gain_alone": small.gain_alone,
        "feature_change": small.feature_change,
        "rank": small.rank,
        "pick": small.pick,
        "picked_lpr": small.picked_lpr,
    }
    if small.template is None:
        assert crystal is not None
        row |= {"source": crystal.typed, "frame": crystal.frame, "n_fixed": len(crystal.atoms)}
        return row | _contents(crystal.atoms)
    assert small.centre is not None
    row |= {
        "source": structure.typed,
        "frame": structure.frame,
        "atom": small.centre,
        "species": SYMBOLS[int(structure.atoms.numbers[small.centre])],
        "n_fixed": int(np.count_nonzero(small.template.role != BUFFER)),
        "lpr": embedding.lpr.get(small.centre),
    }
    return row | _contents(small.template.atoms)


def _whole_row(embedding: Embedding) -> dict[str, object]:
    """Give the row of the large structure itself."""
    structure = embedding.structure
    row: dict[str, object] = {
        "source": structure.typed,
        "frame": structure.frame,
        "strategy": "whole",
        "gain": embedding.whole_gain,
        "gain_alone": embedding.whole_gain,
        "feature_change": 0.0,
        "n_fixed": len(structure.atoms),
    }
    return row | _contents(structure.atoms)


def _contents(atoms: Atoms) -> dict[str, object]:
    """Say what a structure is made of; a density only where it is periodic in three directions."""
    numbers = atoms.numbers
    counts = sorted(composition(numbers).items())
    formula = "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in counts)
    density = None
    if all(atoms.pbc):
        mass = float(np.array(MASSES)[numbers].sum())
        density = AMU_PER_A3_IN_G_PER_CM3 * mass / abs(float(np.linalg.det(atoms.cell.array)))
    return {"n_atoms": len(numbers), "formula": formula, "density": density}
