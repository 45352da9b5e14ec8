from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import counts_of, gradients_of, write_store

from prcli.data.gradient_blocks import gradient_blocks
from prcli.errors import FeatureError, FormatError, MismatchError
from prcli.workflows.inputs import InputOptions, open_input

COUNTS = counts_of(5)
#: Structure 3 has two atoms, so that its forces are as many rows as a stress.
GRADIENTS = gradients_of(COUNTS, 3, forces=[0, 1, 2, 3], stresses=[1, 4])


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(write_store(tmp_path / "s.h5", 5, gradients=GRADIENTS))


def row_of(structure: int) -> int:
    """Second gradient row of a structure."""
    return int(np.searchsorted(GRADIENTS["gradient_structure"], structure)) + 1


def spoil(path: str, *structures: int) -> None:
    """As another program would write it: without our digest of the content."""
    with h5py.File(path, "r+") as file:
        del file.attrs["content_digest"]
        for structure in structures:
            file["gradients/rows"][row_of(structure), 2] = np.nan


def test_gradients_that_are_not_finite_are_refused(store):
    spoil(store, 3)
    with pytest.raises(FeatureError, match="gradient row 1 of structure 3, column 2"):
        open_input([store], "train")


def test_structures_whose_gradients_are_not_finite_are_left_out(store, caplog):
    spoil(store, 1, 3)
    with open_input([store], "train", InputOptions(skip_invalid=True)) as data:
        assert data.n_atoms.tolist() == COUNTS[[0, 2, 4]].tolist()
        rows = np.concatenate([block.rows for block in gradient_blocks(data, 5)])
    kept = np.isin(GRADIENTS["gradient_structure"], [0, 2, 4])
    np.testing.assert_array_equal(rows, GRADIENTS["gradients"][kept])
    assert "2 structures left out because a feature is not finite: 1, 3" in caplog.text


def test_order_is_checked_where_no_digest_vouches_for_it(store):
    spoil(store)
    with h5py.File(store, "r+") as file:
        file["gradients/structure"][...] = file["gradients/structure"][...][::-1]
    with pytest.raises(FormatError, match="not grouped by structure"):
        open_input([store], "train")


@pytest.mark.parametrize("name", ["rows", "kind"])
def test_verify_notices_a_change_of_gradients(store, name):
    with open_input([store], "train", InputOptions(verify=True)):
        pass
    with h5py.File(store, "r+") as file:
        values = file[f"gradients/{name}"][...]
        values[GRADIENTS["gradient_structure"] == 3] = 2
        file[f"gradients/{name}"][...] = values
    with open_input([store], "train") as data:
        assert data.gradient_counts("force")[0] == 15
    with pytest.raises(MismatchError, match="has changed"):
        open_input([store], "train", InputOptions(verify=True))
