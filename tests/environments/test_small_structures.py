"""Small structures hold the environment that they are made for, whatever the strategy."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list, primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from large_structures import CELLS, around, disordered

from prcli.environments.carve import carve
from prcli.environments.contacts import displace
from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.high_symmetry import high_symmetry
from prcli.environments.periodic import periodic
from prcli.environments.template import BUFFER, CENTRE, CRYSTAL, CRYSTAL_CENTRE, ENVIRONMENT
from prcli.errors import RequestError

OPTIONS = GeometryOptions(3.0)
CRYSTALS = {
    "diamond": bulk("C", cubic=True),
    "hcp": bulk("Mg"),
    "bcc": bulk("Fe"),
    "salt": bulk("NaCl", "rocksalt", a=5.64),
}


def made(strategy, structure, centre, options=OPTIONS, crystal=CRYSTALS["diamond"]):
    if strategy == "high-symmetry":
        return high_symmetry(structure, centre, crystal, options, "large", "crystal")
    return {"carve": carve, "periodic": periodic}[strategy](structure, centre, options, "large")


def drawn(template, options=OPTIONS, seed=0):
    return displace(template, options, np.random.default_rng(seed), "here")


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from(sorted(CELLS)),
    strategy=st.sampled_from(["carve", "periodic", "high-symmetry"]),
    pbc=st.sampled_from([(True, True, True), (True, False, True), (False, False, False)]),
    buffer=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 1000),
)
def test_environment_is_the_same_and_contacts_are_kept(shape, strategy, pbc, buffer, seed):
    options = GeometryOptions(3.0, buffer=buffer)
    large = disordered(shape, seed=seed, pbc=pbc, spread=1.0)
    centre = seed % len(large)
    template = made(strategy, large, centre, options)
    small, _ = drawn(template, options, seed)
    assert small.origin[0] == centre
    assert around(small.atoms, 0, 3.0) == around(large, centre, 3.0)
    i, j, distances = neighbor_list("ijd", small.atoms, 1.0)
    assert not np.any(small.is_free[i] | small.is_free[j])
    assert np.all(distances > 0.0)
    kept = ~small.is_free
    assert np.array_equal(small.atoms.positions[kept], template.atoms.positions[kept])


@pytest.mark.parametrize("name", CRYSTALS)
def test_crystal_environment_is_the_same_too(name):
    crystal = CRYSTALS[name]
    small, _ = drawn(made("high-symmetry", disordered(), 40, crystal=crystal))
    (place,) = np.flatnonzero(small.role == CRYSTAL_CENTRE)
    site = int(small.site[place])
    assert around(small.atoms, int(place), 3.0) == around(crystal, site, 3.0)
    assert around(small.atoms, 0, 3.0) == around(disordered(), 40, 3.0)


def test_carving_takes_the_sphere_alone():
    large = disordered()
    small = made("carve", large, 40)
    assert len(small.atoms) == 1 + len(around(large, 40, 3.0))
    assert not small.atoms.pbc.any()
    assert set(small.role) == {CENTRE, ENVIRONMENT}
    assert drawn(small)[1] == 0


def test_periodic_cell_is_wider_than_the_cube_by_contact_and_one_and_a_half_sigma():
    options = GeometryOptions(3.0, buffer=0.5, contact=1.2, sigma=0.1)
    large = disordered()
    small = made("periodic", large, 40, options)
    assert np.allclose(small.atoms.cell.array, np.eye(3) * (2 * 3.5 + 1.2 + 0.15))
    vectors = large.get_distances(40, range(len(large)), mic=True, vector=True)
    expected = np.flatnonzero(np.abs(vectors).max(axis=1) <= 3.5)
    assert sorted(small.origin) == expected.tolist()
    assert np.array_equal(small.is_free, large.get_distances(40, small.origin, mic=True) > 3.0)


def test_hole_holds_the_sphere_and_a_gap_around_it():
    options = GeometryOptions(3.0, buffer=0.5)
    large, crystal = disordered(), CRYSTALS["diamond"]
    small = made("high-symmetry", large, 40, options)
    ours, theirs = small.origin >= 0, small.origin < 0
    assert sorted(small.origin[ours]) == sorted(
        np.flatnonzero(large.get_distances(40, range(len(large)), mic=True) <= 3.5)
    )
    far = small.atoms.get_distances(0, np.flatnonzero(theirs), mic=True)
    assert far.min() > 3.5 + 1.0 + 0.3
    # The density of the crystal outside of the hole: nothing else is missing.
    volume = small.atoms.get_volume() - 4 / 3 * np.pi * 4.8**3
    assert np.count_nonzero(theirs) == pytest.approx(
        volume * len(crystal) / crystal.get_volume(), rel=0.15
    )
    assert set(small.role) == {CENTRE, ENVIRONMENT, CRYSTAL, CRYSTAL_CENTRE, BUFFER}


def test_no_smaller_supercell_of_the_cube_would_do():
    small = made("high-symmetry", disordered(), 40)
    n_cells = round(small.atoms.get_volume() / CRYSTALS["diamond"].get_volume())
    for i, j, k in [(i, j, k) for i in range(1, 7) for j in range(1, 7) for k in range(1, 7)]:
        if i * j * k < n_cells:
            with pytest.raises(RequestError, match="supercell of the crystal is too small"):
                made("high-symmetry", disordered(), 40, GeometryOptions(3.0, repeat=(i, j, k)))


def test_atom_takes_the_place_of_one_of_its_element():
    large = disordered()
    centre = int(np.flatnonzero(large.numbers == 14)[0])
    crystal = bulk("CSi", "zincblende", a=4.36)
    template = made("high-symmetry", large, centre, crystal=crystal)
    position = template.atoms.positions[0]
    assert np.allclose(position, crystal.positions[crystal.numbers == 14][0])


def test_same_draw_is_the_same_and_another_is_not():
    template = made("periodic", disordered(), 40)
    first, second, third = (drawn(template, seed=seed)[0].atoms.positions for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.allclose(first, third)


def test_displacements_have_the_width_that_was_asked_for():
    options = GeometryOptions(3.0, buffer=1.0, contact=0.0, sigma=0.05)
    template = made("periodic", disordered(), 40, options)
    # Far from the environment nothing is drawn again.
    far = template.atoms.get_distances(0, range(len(template.atoms)), mic=True) > 3.4
    moves = [
        (drawn(template, options, seed)[0].atoms.positions - template.atoms.positions)[far]
        for seed in range(200)
    ]
    assert np.std(moves) == pytest.approx(0.05, rel=0.03)
    assert np.mean(moves) == pytest.approx(0.0, abs=0.002)


@pytest.mark.parametrize("strategy", ["carve", "periodic", "high-symmetry"])
def test_sphere_larger_than_the_cell_is_refused(strategy):
    with pytest.raises(RequestError, match="larger than the cell"):
        made(strategy, disordered(), 40, GeometryOptions(7.5))


def test_contact_that_cannot_be_kept_ends_after_so_many_tries():
    options = GeometryOptions(3.0, buffer=1.0, contact=2.4, max_tries=7)
    with pytest.raises(RequestError, match=r"no displacements keep all atoms apart, after 7 tries"):
        drawn(made("periodic", disordered(), 40, options), options)


def test_crystal_must_be_periodic():
    crystal = CRYSTALS["diamond"].copy()
    crystal.pbc = (True, True, False)
    with pytest.raises(RequestError, match="periodic in three directions"):
        made("high-symmetry", disordered(), 40, crystal=crystal)


def test_contacts_in_a_cell_that_is_nearly_empty_are_looked_for_in_few_bins(monkeypatch):
    given = []

    def look(*arguments, max_nbins, **options):
        given.append(max_nbins)
        return primitive_neighbor_list(*arguments, max_nbins=max_nbins, **options)

    monkeypatch.setattr("ase.neighborlist.primitive_neighbor_list", look)
    template = made("periodic", disordered(), 40, GeometryOptions(3.0, sigma=50.0))
    drawn(template, GeometryOptions(3.0, sigma=50.0))
    assert set(given) == {len(template.atoms)}


def test_limit_on_the_supercell_is_kept():
    with pytest.raises(RequestError, match="no supercell of the crystal of up to 60 atoms"):
        made("high-symmetry", disordered(), 40, GeometryOptions(3.0, max_atoms=60))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cutoff": 0.0}, "--cutoff is not valid"),
        ({"cutoff": float("nan")}, "--cutoff is not valid"),
        ({"cutoff": 3.0, "buffer": -1.0}, "--buffer is not valid"),
        ({"cutoff": 3.0, "sigma": float("inf")}, "--sigma is not valid"),
        ({"cutoff": 1e300}, "at most 1000"),
        ({"cutoff": 3.0, "max_tries": 0}, "--max-tries must be at least 1"),
        ({"cutoff": 3.0, "repeat": (1, 0, 1)}, "--repeat must be at least 1"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(values, message):
    with pytest.raises(RequestError, match=message):
        GeometryOptions(**values)
