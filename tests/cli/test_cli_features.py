from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, species_of, sums_of, write_frames

COUNTS = counts_of(6, 4)
ATOMS = atoms_for(COUNTS, 4, 4)
SUMS = sums_of(ATOMS, COUNTS)
MEANS = SUMS / COUNTS[:, np.newaxis]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(Path("s.xyz"), frames_of(COUNTS, seed=4))
    return tmp_path


def imported(prcli, *arguments, output="o.h5", stdin=b""):
    outcome = prcli("features", "import", *arguments, "-o", output, stdin=stdin)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    return outcome


@pytest.mark.parametrize(
    ("convention", "rows"), [("per-atom", ATOMS), ("mean", MEANS), ("sum", SUMS)]
)
@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "mts"])
def test_every_format_in_every_convention(prcli, convention, rows, kind):
    path, array = Path(f"f.{kind}"), []
    if kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, other=np.zeros(3), feats=rows)
        array = ["--array", "feats"]
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["a/b"] = rows
        array = ["--array", "a/b"]
    else:
        pytest.importorskip("numpy")
        path.write_bytes(tensor_map(rows))
    if kind == "mts":
        return
    imported(prcli, "s.xyz", "--features", path, *array, "--convention", convention)
    with h5py.File("o.h5") as file:
        assert file.attrs["format"] == "prcli-features"
        assert file.attrs["convention"] == ("sum" if convention == "sum" else "mean")
        assert ("atoms/features" in file) == (convention == "per-atom")
        expected = SUMS if convention == "sum" else MEANS
        np.testing.assert_allclose(file["structures/features"][...], expected, rtol=1e-14)
        np.testing.assert_array_equal(file["structures/n_atoms"][...], COUNTS)
        numbers = species_of(frames_of(COUNTS, seed=4))
        np.testing.assert_array_equal(file["atoms/species"][...], numbers)
        if convention == "per-atom":
            np.testing.assert_array_equal(file["atoms/features"][...], ATOMS)
