from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import counts_of, gradients_of, write_store

from prcli.data.hessian_file import read_hessian
from prcli.records import Block
from prcli.workflows.model import effective_parameters

pytestmark = pytest.mark.usefixtures("workplace")


def facts(outcome) -> dict[str, str]:
    assert outcome.code == 0, outcome.err
    assert outcome.table[0] == ["file", "name", "value"]
    return {name: value for _, name, value in outcome.table[1:]}


def test_store(prcli):
    found = facts(prcli("info", "train.h5"))
    assert found["kind"] == "store"
    assert found["n_structures"] == "10"
    assert found["n_features"] == "3"
    assert found["structures/features"] == "10 x 3 float64"
    assert found["source"] == "train.xyz"
    assert found["provenance"] == "none"
    assert set(found["elements"].split()) == {"H", "C", "O"}


def test_store_of_means_with_blocks_and_columns(prcli):
    blocks = [Block("nu1", 1), Block("nu2", 2)]
    columns = {"energy": np.zeros(8), "group": ["a"] * 8}
    write_store(Path("m.h5"), per_atom=False, blocks=blocks, columns=columns, convention="sum")
    found = facts(prcli("info", "m.h5"))
    assert found["atoms/features"] == "absent"
    assert found["blocks"] == "nu1:1,nu2:2"
    assert found["columns"] == "energy group"
    assert found["convention"] == "sum"


def test_hessian(prcli):
    prcli("hessian", "train.h5", "-o", "h.h5", "--intercept", "species")
    found = facts(prcli("info", "h.h5"))
    assert found["kind"] == "hessian"
    assert found["rows"] == "energy:10"
    assert found["energy"] == "per-atom"
    assert found["intercept"] == "species H C O"
    assert found["scale"].startswith("atom-rms = ")
    assert found["regularizer"] == "1e-05"
    assert found["rank_of_data"] == "6"
    assert float(found["condition_number"]) > 1
    assert 3 < float(found["effective_parameters"]) <= 6
    assert found["command"] == "prcli hessian train.h5 -o h.h5 --intercept species"


def test_hessian_with_forces(prcli):
    counts = counts_of(6, 4)
    write_store(
        Path("forces.h5"),
        6,
        seed=4,
        gradients=gradients_of(counts, seed=4),
        columns={"w": np.linspace(1.0, 2.0, 6)},
    )
    options = ("--force-weight", "0.25", "--reduction", "mean", "--stress-components", "9")
    keys = ("--weight-key", "w", "--force-weight-key", "w")
    prcli("hessian", "forces.h5", "-o", "h.h5", *options, *keys)
    found = facts(prcli("info", "h.h5"))
    assert found["rows"] == f"energy:6 force:{3 * counts.sum()} stress:36"
    assert found["weights"] == "energy:1 force:0.25 stress:1"
    assert found["reduction"] == "mean"
    assert found["loss"] == "squared, 9 components of the stress"
    assert found["structure_weights"] == "w, force:w"
    assert found["prior"] == "identity"
    assert found["rank_of_data"] == "3"
    expected = effective_parameters(read_hessian("h.h5"))
    assert float(found["effective_parameters"]) == pytest.approx(expected, rel=1e-5)


def test_hessian_of_a_robust_loss_with_a_prior(prcli):
    columns = {"energy": np.zeros(8), "energy_predicted": np.zeros(8)}
    write_store(Path("e.h5"), columns=columns)
    np.save("prior.npy", np.ones(3))
    options = ("--loss", "huber", "--energy-delta", "0.05", "--prior", "prior.npy")
    prcli("hessian", "e.h5", "-o", "h.h5", *options)
    found = facts(prcli("info", "h.h5"))
    assert found["loss"] == "huber, energy_delta 0.05 eV/atom"
    assert found["structure_weights"] == "none"
    assert found["prior"] == "diagonal, 3"
    prcli("hessian", "e.h5", "-o", "i.h5", *options, "--energy", "total")
    assert facts(prcli("info", "i.h5"))["loss"] == "huber, energy_delta 0.05 eV"


def test_hessian_without_regularizer(prcli):
    prcli("hessian", "train.h5", "-o", "h.h5", "--regularizer", "0")
    found = facts(prcli("info", "h.h5"))
    assert float(found["effective_parameters"]) == pytest.approx(3.0, rel=1e-5)
    assert 1.0 < float(found["condition_number"]) < 1e6


def test_singular_hessian_is_described_all_the_same(prcli):
    prcli("hessian", "train.h5@:2", "-o", "h.h5")
    with h5py.File("h.h5", "a") as file:
        file.attrs["regularizer"] = 0.0
    found = facts(prcli("info", "h.h5"))
    assert (found["rank_of_data"], found["condition_number"]) == ("2", "inf")
    assert "effective_parameters" not in found


def test_structures_and_arrays(prcli):
    found = facts(prcli("info", "pool.xyz"))
    assert (found["kind"], found["n_structures"]) == ("extxyz", "12")
    np.save("f.npy", np.zeros((3, 2), np.float32))
    found = facts(prcli("info", "f.npy"))
    assert (found["kind"], found["shape"], found["dtype"]) == ("npy", "3 x 2", "float32")


def test_several_files_make_one_table(prcli):
    outcome = prcli("info", "train.h5", "pool.xyz")
    assert [row[0] for row in outcome.table].count("file") == 1
    assert {row[0] for row in outcome.table[1:]} == {"train.h5", "pool.xyz"}
    lines = prcli("info", "train.h5", "pool.xyz", "--format", "jsonl").text.splitlines()
    assert [list(json.loads(line)) for line in lines] == [["file", "name", "value"]] * len(lines)


@pytest.mark.parametrize("content", [b"", b"plain text\n", b"\x00" * 100])
def test_unknown_file_is_refused_and_nothing_printed(fails, content):
    Path("odd").write_bytes(content)
    assert "odd" in fails("info", "train.h5", "odd")


def test_missing_file_is_refused(fails):
    assert "absent.h5" in fails("info", "absent.h5")
