from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from large_structures import around, disordered

from prcli.environments.pieces import pieces


@pytest.mark.parametrize(
    ("shape", "pbc", "max_atoms"),
    [
        ("cubic", True, 1),
        ("skewed", True, 100),
        ("skewed", (True, False, True), 60),
        ("oblong", False, 60),
        ("oblong", True, 10_000),
    ],
)
def test_own_atoms_of_pieces_see_what_they_see_in_the_whole(shape, pbc, max_atoms):
    atoms = disordered(shape, pbc=pbc, spread=1.0)
    counts = np.bincount(neighbor_list("i", atoms, 3.5), minlength=len(atoms))
    n_times = np.zeros(len(atoms), dtype=int)
    for piece in pieces(atoms, 3.5, max_atoms):
        n_times[piece.own] += 1
        n_own = len(piece.own)
        assert np.array_equal(piece.atoms.numbers[:n_own], atoms.numbers[piece.own])
        here = np.bincount(neighbor_list("i", piece.atoms, 3.5), minlength=len(piece.atoms))
        assert np.array_equal(here[:n_own], counts[piece.own])
        assert around(piece.atoms, 0, 3.5) == around(atoms, int(piece.own[0]), 3.5)
    assert np.all(n_times == 1)


def test_a_cell_thinner_than_the_margin_surrounds_itself_several_times():
    rng = np.random.default_rng(0)
    atoms = Atoms("C8", rng.uniform(0.0, 2.0, (8, 3)), cell=[2.0, 7.0, 5.0], pbc=True)
    (piece,) = pieces(atoms, 5.0, 10_000)
    expected = np.bincount(neighbor_list("i", atoms, 5.0), minlength=len(atoms))
    found = np.bincount(neighbor_list("i", piece.atoms, 5.0), minlength=len(piece.atoms))
    assert np.array_equal(found[: len(atoms)], expected[piece.own])


def test_pieces_hold_about_as_many_atoms_as_they_may():
    atoms = disordered("cubic").repeat((4, 4, 4))
    sizes = [len(piece.own) for piece in pieces(atoms, 3.5, 500)]
    assert sum(sizes) == len(atoms)
    assert max(sizes) <= 600
