"""Small structures around atoms of a large one, from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from large_structures import disordered
from radial_features import REACH

import prcli

RADIAL = prcli.InputOptions(featurizer={"featurizer": "python:radial_features:radial"})


@pytest.fixture(scope="module")
def large():
    atoms = disordered("skewed", seed=99, spread=1.0)
    atoms.info["note"] = "melt"
    return atoms


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, large):
    monkeypatch.chdir(tmp_path)
    write("large.xyz", large, format="extxyz")


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    train = [disordered("cubic", seed=seed)[:40] for seed in range(12)]
    for atoms in train:
        atoms.pbc = False
    path = tmp_path_factory.mktemp("train") / "train.xyz"
    write(path, train, format="extxyz")
    return prcli.hessian(path, inputs=RADIAL, regularizer=1e-3)


def test_files_and_memory_give_the_same_structures(large):
    given = read("large.xyz")
    embedding = prcli.embed(given, atoms=[17], cutoff=REACH, n_draws=2, output="small.xyz")
    from_file = prcli.embed(Path("large.xyz"), atoms=[17], cutoff=REACH, n_draws=2)
    structures = embedding.structures()
    assert [each.info["prcli_strategy"] for each in structures] == ["carve"] + 2 * ["periodic"]
    written = read("small.xyz", index=":")
    for found, same, on_disk in zip(structures, from_file.structures(), written, strict=True):
        for other in (same, on_disk):
            np.testing.assert_array_equal(found.positions, other.positions)
            np.testing.assert_array_equal(found.numbers, other.numbers)
            np.testing.assert_array_equal(found.arrays["prcli_fixed"], other.arrays["prcli_fixed"])
        assert found.info["note"] == "melt"
        assert found.info["prcli_source"] == "Atoms"


def test_gains_and_the_least_rigid_atom_come_from_a_model(record, large):
    scores = prcli.score(record, "large.xyz", per="atom", inputs=RADIAL).rigidity
    embedding = prcli.embed(large, hessian=record, inputs=RADIAL, cutoff=REACH, n_to_choose=1)
    assert embedding.centres == (int(np.argmin(scores)),)
    assert len(embedding.small) == 1
    assert embedding.small[0].gain > 0.0
    by_array = prcli.embed(large, lpr=scores, cutoff=REACH)
    assert by_array.centres == embedding.centres


def test_a_crystal_in_memory_is_embedded_in(large):
    crystal = bulk("CSi", "zincblende", a=4.36)
    options = {"atoms": [17], "cutoff": REACH, "strategies": ["high-symmetry"]}
    found = prcli.embed(large, crystal=crystal, **options).structures()
    named = prcli.embed(large, crystal="CSi:zincblende:4.36", **options).structures()
    assert [each.info["prcli_strategy"] for each in found] == ["crystal", "high-symmetry"]
    for one, other in zip(found, named, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lpr": np.ones(3)}, r"shape \(252,\)"),
        ({"atoms": [10**6]}, "no such atom"),
        ({"lowest": 0, "lpr": "lpr.tsv"}, "at least 1"),
        ({"atoms": [0], "strategies": ["cut"]}, "strategy is not known"),
        ({"atoms": [0], "output": "large.xyz", "overwrite": True}, "input"),
    ],
)
def test_what_cannot_be_done_is_refused(options, words):
    with pytest.raises(prcli.PrcliError, match=words):
        prcli.embed("large.xyz", cutoff=REACH, **options)
