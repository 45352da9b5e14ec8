"""Features of atoms that see 3 Å far, made of distances alone: a featurizer for tests."""

from __future__ import annotations

import numpy as np
from ase.neighborlist import neighbor_list

#: How far atoms see, in angstrom.
REACH = 3.0

_CENTRES = np.linspace(1.2, 2.9, 6)


def radial(structures, elements=(6, 14)):
    """Gaussians of distances, for each element of neighbours, and one column for the atom's own."""
    return [_describe(each, elements) for each in structures]


def _describe(atoms, elements):
    i, j, distances = neighbor_list("ijd", atoms, REACH)
    smooth = 0.5 + 0.5 * np.cos(np.pi * distances / REACH)
    values = np.exp(-8.0 * (distances[:, None] - _CENTRES) ** 2) * smooth[:, None]
    rows = np.zeros((len(atoms), len(elements), len(_CENTRES)))
    for column, element in enumerate(elements):
        chosen = atoms.numbers[j] == element
        np.add.at(rows[:, column], i[chosen], values[chosen])
    own = (atoms.numbers[:, None] == np.array(elements)).astype(float)
    squares = rows[:, 0] * rows[:, 1]
    return np.concatenate([rows.reshape(len(atoms), -1), squares, own], axis=1)
