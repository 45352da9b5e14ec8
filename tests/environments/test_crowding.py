"""Requests that no displacement can satisfy end at once, and others as if nobody had looked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from large_structures import disordered

from prcli.environments import contacts
from prcli.environments.contacts import close_pairs, displace, find_offence
from prcli.environments.crowding import why_out_of_reach, why_too_small
from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.periodic import periodic
from prcli.environments.template import BUFFER, CENTRE, ENVIRONMENT, Template
from prcli.errors import RequestError


def template_of(atoms, n_fixed=1):
    role = np.full(len(atoms), BUFFER, dtype="U16")
    role[:n_fixed] = ENVIRONMENT
    role[0] = CENTRE
    nowhere = np.full(len(atoms), -1)
    return Template("periodic", atoms, np.arange(len(atoms)), nowhere, role)


def tries_of(template, options, monkeypatch):
    """Let a request fail, and give the tries it took and the error."""
    tries: list[object] = []

    def counting(*given):
        tries.append(given)
        return find_offence(*given)

    monkeypatch.setattr(contacts, "find_offence", counting)
    with pytest.raises(RequestError) as caught:
        displace(template, options, np.random.default_rng(0), "here")
    return len(tries), caught.value


@pytest.mark.parametrize(("n_fixed", "n_apart"), [(1, 31), (8, 32), (16, None)])
def test_no_packing_is_denser_than_the_densest(n_fixed, n_apart):
    # 32 atoms, 4 of each cube of edge 4: neighbours 4/sqrt(2) apart, the densest there is.
    atoms = bulk("Ar", "fcc", a=4.0, cubic=True).repeat(2)
    # First 8 atoms at distances of 4.
    atoms = atoms[np.argsort(np.arange(32) % 4, kind="stable")]
    template, nearest = template_of(atoms, n_fixed), 4.0 / np.sqrt(2.0)
    assert why_too_small(template, nearest) is None
    reason = why_too_small(template, 1.02 * nearest)
    # Fixed atoms that are too close to each other do not count.
    assert reason == (
        n_apart
        and f"{n_apart} atoms that would have to be so far apart, "
        "in a cell with room for at most 30"
    )


def test_nothing_is_said_of_cells_with_open_sides():
    atoms = bulk("Ar", "fcc", a=4.0, cubic=True).repeat(2)
    atoms.pbc = (True, True, False)
    assert why_too_small(template_of(atoms), 50.0) is None


def test_images_of_an_atom_are_too_close():
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 10, 10]], cell=[2.0, 20.0, 20.0], pbc=True)
    assert why_too_small(template_of(atoms), 2.0) is None
    assert why_too_small(template_of(atoms), 2.1) == "images of an atom 2 angstrom apart"


@pytest.mark.parametrize(("n_fixed", "reach"), [(1, 1.0 + 1.0), (0, 1.0 + np.sqrt(2.0))])
def test_pairs_are_out_of_reach_beyond_ten_standard_deviations(n_fixed, reach):
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 1.0]], cell=[50.0] * 3, pbc=True)
    is_free = np.arange(2) >= n_fixed
    for contact, is_hopeless in ((reach - 0.01, False), (reach + 0.01, True)):
        options = GeometryOptions(3.0, contact=contact, sigma=0.1)
        pairs = close_pairs(template_of(atoms), contact)
        reason = why_out_of_reach(*pairs, is_free, options)
        assert (reason is not None) == is_hopeless
    assert reason == "atoms 0 and 1 at 1 angstrom before displacements of 0.1 angstrom"
    assert why_out_of_reach(*pairs, np.zeros(2, dtype=bool), options) is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"contact": 4.0, "buffer": 2.0}, "room for at most"),
        ({"contact": 4.0}, "before displacements of 0.2"),
        ({"contact": 2.0, "sigma": 0.0}, "without displacements"),
    ],
)
def test_hopeless_requests_end_after_one_try(monkeypatch, given, reason):
    options = GeometryOptions(3.0, **({"buffer": 1.0} | given))
    template = periodic(disordered(), 40, options, "large")
    n_tries, error = tries_of(template, options, monkeypatch)
    assert n_tries == 1
    assert error.what == "no displacements can keep all atoms apart"
    assert reason in str(error.got)
    assert "give a smaller --contact" in str(error.remedy)



@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_free=st.integers(1, 5),
    edge=st.floats(2.0, 8.0),
    contact=st.floats(0.5, 2.5),
    sigma=st.sampled_from([0.02, 0.2, 1.0]),
)
def test_what_can_be_displaced_is_as_before(seed, n_free, edge, contact, sigma):
    rng = np.random.default_rng(seed)
    cell = np.diag(edge * rng.uniform(0.7, 1.3, 3)) + rng.uniform(-0.2, 0.2, (3, 3))
    atoms = Atoms(f"C{n_free + 2}", rng.uniform(size=(n_free + 2, 3)) @ cell, cell=cell, pbc=True)
    template = template_of(atoms, 2)
    options = GeometryOptions(0.3, contact=contact, sigma=sigma, max_tries=30)
    expected = plainly_displaced(template, options, np.random.default_rng(seed))
    if expected is None:
        with pytest.raises(RequestError, match="keep all atoms apart"):
            displace(template, options, np.random.default_rng(seed), "here")
        return
    found, n_tries = displace(template, options, np.random.default_rng(seed), "here")
    assert n_tries == expected[1]
    np.testing.assert_array_equal(found.atoms.positions, expected[0])


def plainly_displaced(template, options, rng):
    """Positions and number of tries, without any look ahead; None if there are none."""
    free = np.flatnonzero(template.is_free)
    atoms, moving = template.atoms.copy(), free
    for n_tries in range(1, options.max_tries + 1):
        shifts = rng.normal(scale=options.sigma, size=(len(moving), 3))
        atoms.positions[moving] = template.atoms.positions[moving] + shifts
        offence = find_offence(replace(template, atoms=atoms), options)
        if offence is None:
            return atoms.positions, n_tries
        moving = offence.free
    return None
