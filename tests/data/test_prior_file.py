from __future__ import annotations

import h5py
import numpy as np
import pytest

from prcli.data.prior_file import read_prior_file
from prcli.errors import FormatError, InputFileError

MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])
VECTOR = np.array([1.0, 0.0, 4.0])


def write_npy(path, values):
    with path.open("wb") as file:
        np.save(file, values)


def write_npz(path, values):
    with path.open("wb") as file:
        np.savez_compressed(file, any_name=values)


def write_named_npz(path, values):
    with path.open("wb") as file:
        np.savez(file, other=np.eye(3), prior=values)


def write_hdf5(path, values):
    with h5py.File(path, "w") as file:
        file["prior"] = values
        file["other"] = np.eye(3)


@pytest.mark.parametrize("values", [MATRIX, VECTOR, np.eye(1)[0]])
@pytest.mark.parametrize("write", [write_npy, write_npz, write_named_npz, write_hdf5])
def test_vectors_and_matrices_of_all_formats(tmp_path, write, values):
    write(tmp_path / "p", values)
    found = read_prior_file(tmp_path / "p")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, values)


def test_matrix_alone_in_hdf5_needs_no_name(tmp_path):
    with h5py.File(tmp_path / "p", "w") as file:
        file["kernel"] = MATRIX
    np.testing.assert_array_equal(read_prior_file(tmp_path / "p"), MATRIX)


def test_matrix_stored_by_columns(tmp_path):
    np.save(tmp_path / "p.npy", np.asfortranarray(MATRIX))
    np.testing.assert_array_equal(read_prior_file(tmp_path / "p.npy"), MATRIX)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, ">f8"])
def test_other_numbers_become_float64(tmp_path, dtype):
    np.save(tmp_path / "p.npy", VECTOR.astype(dtype))
    found = read_prior_file(tmp_path / "p.npy")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, VECTOR)


def test_missing_file(tmp_path):
    with pytest.raises(InputFileError, match="prior cannot be read") as caught:
        read_prior_file(tmp_path / "absent.npy")
    assert "--prior" in str(caught.value)
    assert "absent.npy" in str(caught.value)


@pytest.mark.parametrize(
    "values", [np.ones((2, 2, 2)), np.ones((0, 0)), np.array(["a"]), np.ones(2, complex)]
)
def test_arrays_that_are_no_prior(tmp_path, values):
    np.save(tmp_path / "p.npy", values)
    with pytest.raises(FormatError, match="prior cannot be read") as caught:
        read_prior_file(tmp_path / "p.npy")
    assert "p.npy" in str(caught.value)


def test_several_arrays_without_the_name(tmp_path):
    with (tmp_path / "p.npz").open("wb") as file:
        np.savez(file, a=VECTOR, b=MATRIX)
    with pytest.raises(FormatError, match="prior cannot be read") as caught:
        read_prior_file(tmp_path / "p.npz")
    assert "under the name 'prior'" in str(caught.value)


def test_text_is_no_prior(tmp_path):
    (tmp_path / "p.txt").write_text("1 0\n0 1\n")
    with pytest.raises(FormatError, match="format is not known"):
        read_prior_file(tmp_path / "p.txt")
