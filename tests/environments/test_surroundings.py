from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from large_structures import CELLS, around, disordered

from prcli.environments.surroundings import check_room, shortest_translation, surroundings
from prcli.errors import RequestError

FLAGS = [(True, True, True), (True, False, True), (False, False, True), (False, False, False)]


@pytest.mark.parametrize("shape", CELLS)
@pytest.mark.parametrize("pbc", FLAGS)
def test_sphere_holds_what_a_neighbour_list_finds(shape, pbc):
    atoms = disordered(shape, pbc=pbc, spread=2.0)
    for centre in (0, 57, len(atoms) - 1):
        found = surroundings(atoms, centre, 5.0)
        assert found.index[0] == centre
        assert np.all(np.diff(found.distances) >= 0)
        rows = np.column_stack([atoms.numbers[found.index], np.round(found.vectors * 1e8)])
        ours = sorted(map(tuple, (rows[1:] + 0.0).astype(np.int64).tolist()))
        assert ours == around(atoms, centre, 5.0)


@pytest.mark.parametrize("shape", CELLS)
def test_cube_holds_the_atoms_of_a_larger_sphere_that_are_in_it(shape):
    atoms = disordered(shape, spread=1.0)
    half = 4.0
    sphere = surroundings(atoms, 31, half * np.sqrt(3.0) + 0.1)
    inside = np.abs(sphere.vectors).max(axis=1) <= half
    cube = surroundings(atoms, 31, half, "cube")
    assert np.array_equal(cube.index, sphere.index[inside])
    assert np.allclose(cube.vectors, sphere.vectors[inside], atol=1e-12)


def test_images_count_where_a_sphere_is_wider_than_the_cell():
    atoms = Atoms("C", [(0.3, 0.2, 0.1)], cell=[2.0, 2.0, 2.0], pbc=True)
    # The 6 nearest, 12 second and 8 third neighbours of a simple cubic lattice.
    assert len(surroundings(atoms, 0, 3.5).index) == 1 + 6 + 12 + 8


def test_atom_on_the_surface_of_the_sphere_is_in():
    atoms = Atoms("C2", [(0, 0, 0), (3.0, 0, 0)])
    assert len(surroundings(atoms, 0, 3.0).index) == 2


@pytest.mark.parametrize("shape", ["sphere", "cube"])
def test_shortest_image_is_found_in_a_cell_that_is_tiny_beside_the_sphere(shape):
    # A skewed cell of a lattice whose shortest vector is none of those given.
    cell = np.array([[2.5, 0, 0], [2.5, 2.5, 0], [2.4, 2.4, 2.5]])
    atoms = Atoms("C", cell=cell, pbc=True)
    wide = shortest_translation(atoms, 1000.0, shape)
    assert wide == pytest.approx(shortest_translation(atoms, 6.0, shape))
    assert wide <= 2.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(FLAGS), st.sampled_from(["sphere", "cube"]))
def test_room_is_refused_just_where_an_atom_would_be_in_twice(seed, pbc, shape):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3.0, 6.0, 3)) + rng.uniform(-2.0, 2.0, (3, 3))
    atoms = Atoms("C", cell=cell, pbc=pbc)
    half = rng.uniform(1.0, 4.0)
    # Two points of a cube of half-length h are at most 2h apart along each axis.
    twice = surroundings(atoms, 0, 2.0 * half, shape)
    size = np.abs(twice.vectors).max(axis=1) if shape == "cube" else twice.distances
    meets = bool(np.any((size > 1e-9) & (size < 2.0 * half - 1e-9)))
    shortest = shortest_translation(atoms, 2.0 * half, shape)
    assert (shortest is not None) == meets
    if meets:
        assert shortest == pytest.approx(np.sort(size[size > 1e-9])[0])
        with pytest.raises(RequestError, match=f"the {shape} around the atom is larger"):
            check_room(atoms, half, shape, "here")
    else:
        check_room(atoms, half, shape, "here")
