"""Arrays of other programs: npy, npz and HDF5, told by their content."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy_format

from prcli.data.formats import looks_rounded, open_array
from prcli.errors import FeatureError, FormatError, InputFileError


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 3))


def save_npy(path: Path, array: object, **options: object) -> Path:
    with path.open("wb") as file:
        np.save(file, array, **options)
    return path


def save_hdf5(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


def save_any(kind: str, folder: Path, array: np.ndarray) -> Path:
    path = folder / "no_suffix"
    if kind == "npy":
        return save_npy(path, array)
    if kind == "hdf5":
        return save_hdf5(path, a__b=array)
    with path.open("wb") as file:
        (np.savez if kind == "npz" else np.savez_compressed)(file, x=array)
    return path


KINDS = ["npy", "npz", "npz compressed", "hdf5"]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryFormat:
    def test_reads_rows(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(save_any(kind, tmp_path, rows)) as array:
            assert array.shape == (7, 3)
            assert array.dtype == np.float64
            # Forwards, with a gap, and back again.
            for start, stop in [(0, 2), (4, 7), (1, 3), (5, 5)]:
                np.testing.assert_array_equal(array.read(start, stop), rows[start:stop])

    def test_returns_own_contiguous_rows(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(save_any(kind, tmp_path, rows)) as array:
            first = array.read(0, 7)
            assert first.flags.c_contiguous
            first[:] = 0  # writable, and nobody else's
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_keeps_float32(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        single = rows.astype(np.float32)
        with open_array(save_any(kind, tmp_path, single)) as array:
            assert "float32 source" in array.notes
            assert array.read(0, 7).dtype == np.float32
            np.testing.assert_array_equal(array.read(0, 7), single)

    @pytest.mark.parametrize("dtype", ["float16", "int32", "uint8"])
    def test_converts_other_numbers(self, kind: str, tmp_path: Path, dtype: str) -> None:
        numbers = np.arange(6).reshape(3, 2).astype(dtype)
        with open_array(save_any(kind, tmp_path, numbers)) as array:
            assert f"{dtype} source, converted to float64" in array.notes
            assert array.read(0, 3).dtype == np.float64
            np.testing.assert_array_equal(array.read(0, 3), numbers)

    def test_reads_foreign_byte_order(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(save_any(kind, tmp_path, rows.astype(">f8"))) as array:
            assert array.read(0, 7).dtype.isnative
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_squeezes_component_axis(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(save_any(kind, tmp_path, rows[:, np.newaxis, :])) as array:
            assert array.shape == (7, 3)
            assert "component axis of length 1 squeezed" in array.notes
            np.testing.assert_array_equal(array.read(2, 3), rows[2:3])
            assert array.read(2, 2).shape == (0, 3)

    def test_keeps_one_row_and_one_column(self, kind: str, tmp_path: Path) -> None:
        with open_array(save_any(kind, tmp_path, np.ones((1, 1)))) as array:
            assert array.shape == (1, 1)
            assert array.notes == (("compressed source, not mapped",) * kind.endswith("compressed"))

    @pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1, 4), ()])
    def test_refuses_other_shapes(self, kind: str, tmp_path: Path, shape: tuple[int, ...]) -> None:
        path = save_any(kind, tmp_path, np.ones(shape))
        name = "a/b" if kind == "hdf5" else None
        with pytest.raises(FeatureError, match="not a table of feature rows") as caught:
            open_array(path, array=name)
        assert str(shape) in str(caught.value)

    @pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
    def test_refuses_empty(self, kind: str, tmp_path: Path, shape: tuple[int, int]) -> None:
        with pytest.raises(FeatureError, match="array is empty"):
            open_array(save_any(kind, tmp_path, np.ones(shape)))

    @pytest.mark.parametrize("dtype", ["complex128", "bool"])
    def test_refuses_what_is_not_real(self, kind: str, tmp_path: Path, dtype: str) -> None:
        path = save_any(kind, tmp_path, np.ones((2, 2), dtype))
        name = "a/b" if kind == "hdf5" else None
        with pytest.raises(FormatError, match="features are not real numbers"):
            open_array(path, array=name)

    @pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 8), (3, 2)])
    def test_refuses_rows_out_of_range(
        self, kind: str, tmp_path: Path, rows: np.ndarray, start: int, stop: int
    ) -> None:
        path = save_any(kind, tmp_path, rows)
        with open_array(path) as array, pytest.raises(IndexError, match="of 7"):
            array.read(start, stop)

    @pytest.mark.parametrize("shape", [(12, 5), (4, 3, 5), (4, 1, 3, 5)])
    def test_reads_gradients(self, kind: str, tmp_path: Path, shape: tuple[int, ...]) -> None:
        values = np.random.default_rng(3).normal(size=shape)
        rows = values.reshape(12, 5)
        with open_array(save_any(kind, tmp_path, values), components=(3,)) as array:
            assert array.shape == (12, 5)
            # Also runs that cut an atom.
            for start, stop in [(0, 12), (3, 9), (2, 4), (4, 5), (7, 7), (11, 12)]:
                np.testing.assert_array_equal(array.read(start, stop), rows[start:stop])

    @pytest.mark.parametrize("shape", [(2, 3, 3, 4), (2, 9, 4), (18, 4)])
    def test_reads_gradients_of_two_axes(
        self, kind: str, tmp_path: Path, shape: tuple[int, ...]
    ) -> None:
        values = np.random.default_rng(3).normal(size=shape)
        with open_array(save_any(kind, tmp_path, values), components=(3, 3)) as array:
            np.testing.assert_array_equal(array.read(4, 15), values.reshape(18, 4)[4:15])

    @pytest.mark.parametrize("shape", [(2, 4, 5), (2, 3, 3, 5), (2, 6, 5), (9,)])
    def test_refuses_other_components(
        self, kind: str, tmp_path: Path, shape: tuple[int, ...]
    ) -> None:
        path = save_any(kind, tmp_path, np.ones(shape))
        name = "a/b" if kind == "hdf5" else None
        with pytest.raises(FeatureError, match="not a table of gradients") as caught:
            open_array(path, array=name, components=(3,))
        assert caught.value.expected == "shape (3 n, features) or (n, 3, features)"
        assert caught.value.got == f"shape {shape}"

    def test_has_no_labels(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(save_any(kind, tmp_path, rows)) as array:
            assert array.sample_structure is None
            assert array.blocks is None

    def test_opening_reads_no_rows(self, kind: str, tmp_path: Path) -> None:
        path = save_any(kind, tmp_path, np.zeros((4000, 500)))  # 16 MB
        tracemalloc.start()
        try:
            with open_array(path) as array:
                array.read(10, 20)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4e6


def test_one_axis_is_one_structure(tmp_path: Path) -> None:
    with open_array(save_npy(tmp_path / "a", np.arange(3.0))) as array:
        assert array.shape == (1, 3)
        assert array.notes == ("array of one axis read as the features of one structure",)
        np.testing.assert_array_equal(array.read(0, 1), [[0, 1, 2]])


class TestNpy:
    @pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
    def test_reads_every_version(
        self, tmp_path: Path, rows: np.ndarray, version: tuple[int, int]
    ) -> None:
        path = tmp_path / "a.npy"
        with path.open("wb") as file:
            npy_format.write_array(file, rows, version=version)
        with open_array(path) as array:
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_reads_names_in_utf8_since_version_3(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        with path.open("wb") as file:
            npy_format.write_array(file, np.zeros(2, [("größe", "<f8")]), version=(3, 0))
        with pytest.raises(FormatError, match="not real numbers") as caught:
            open_array(path)
        assert "größe" in str(caught.value)

    def test_reads_column_order(self, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(save_npy(tmp_path / "a", np.asfortranarray(rows))) as array:
            np.testing.assert_array_equal(array.read(2, 6), rows[2:6])

    def test_refuses_truncated_data(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_npy(tmp_path / "a.npy", rows)
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(InputFileError, match="truncated") as caught:
            open_array(path)
        assert "5 bytes fewer" in str(caught.value)

    @pytest.mark.parametrize("length", [7, 9, 40])
    def test_refuses_truncated_header(self, tmp_path: Path, rows: np.ndarray, length: int) -> None:
        path = save_npy(tmp_path / "a.npy", rows)
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(InputFileError, match="truncated"):
            open_array(path)

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            (b"{'descr': '<f8', 'fortran_order': False}", "cannot be understood"),
            (b"{'descr': '<f8', 'fortran_order': False, 'shape': f()}", "cannot be understood"),
            (b"{'descr': 'what', 'fortran_order': False, 'shape': (2, 2)}", "cannot be understood"),
            (b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, -2)}", "negative length"),
        ],
    )
    def test_refuses_bad_header(self, tmp_path: Path, header: bytes, message: str) -> None:
        path = tmp_path / "a.npy"
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
        path.write_bytes(start + header + bytes(32))
        with pytest.raises(FormatError, match=message):
            open_array(path)

    def test_refuses_unknown_version(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(b"\x93NUMPY\x09\x00" + bytes(32))
        with pytest.raises(FormatError, match="no npy header of version 1 to 3"):
            open_array(path)

    def test_refuses_endless_header(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<L", 1 << 30))
        with pytest.raises(FormatError, match="header is too long"):
            open_array(path)

    def test_refuses_array_name(self, tmp_path: Path, rows: np.ndarray) -> None:
        with pytest.raises(FormatError, match="one array without a name"):
            open_array(save_npy(tmp_path / "a.npy", rows), array="x")


def object_array(items: list[object]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


class Trap:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of the pickle ran')",)


class TestPickle:
    @pytest.mark.parametrize("kind", ["npy", "npz", "npz compressed"])
    def test_is_not_run_unless_allowed(self, kind: str, tmp_path: Path) -> None:
        path = save_any(kind, tmp_path, object_array([Trap()]))
        with pytest.raises(FormatError, match="pickled Python objects") as caught:
            open_array(path)
        assert "--allow-pickle" in str(caught.value)
        assert "nothing but arrays, numbers and text" in str(caught.value)

    @pytest.mark.parametrize("kind", ["npy", "npz", "npz compressed"])
    def test_never_calls_what_it_names(self, kind: str, tmp_path: Path) -> None:
        path = save_any(kind, tmp_path, object_array([Trap()]))
        with pytest.raises(InputFileError, match="it names builtins.exec"):
            open_array(path, allow_pickle=True)

    @pytest.mark.parametrize("kind", ["npy", "npz", "npz compressed"])
    def test_is_read_if_allowed(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_any(kind, tmp_path, object_array(list(rows)))
        with open_array(path, allow_pickle=True) as array:
            assert array.notes == ("unpickled from Python objects",)
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_reads_table_of_number_objects(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_npy(tmp_path / "a", rows.astype(object))
        with open_array(path, allow_pickle=True) as array:
            np.testing.assert_array_equal(array.read(0, 7), rows)

    @pytest.mark.parametrize(
        "items",
        [
            [{"C": np.ones(3)}, {"C": np.ones(3)}],
            [np.ones(3), np.ones(2)],
            [np.ones(3), 1.0],
        ],
    )
    def test_refuses_other_objects(self, tmp_path: Path, items: list[object]) -> None:
        path = save_npy(tmp_path / "a", object_array(items))
        with pytest.raises(FormatError, match="not feature vectors of one length"):
            open_array(path, allow_pickle=True)

    def test_refuses_truncated_pickle(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_npy(tmp_path / "a", object_array(list(rows)))
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(InputFileError, match="pickled objects cannot be read"):
            open_array(path, allow_pickle=True)


class TestNpz:
    @pytest.mark.parametrize("name", ["b", "b.npy"])
    def test_reads_named_array(self, tmp_path: Path, rows: np.ndarray, name: str) -> None:
        np.savez(tmp_path / "a.npz", a=rows[:2], b=rows)
        with open_array(tmp_path / "a.npz", array=name) as array:
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_lists_arrays_if_none_is_named(self, tmp_path: Path, rows: np.ndarray) -> None:
        np.savez(tmp_path / "a.npz", few=rows[:2], all=rows)
        with pytest.raises(FormatError, match="several arrays") as caught:
            open_array(tmp_path / "a.npz")
        assert caught.value.got == "few (2, 3), all (7, 3)"
        assert "--array" in str(caught.value)

    def test_lists_arrays_if_name_is_unknown(self, tmp_path: Path, rows: np.ndarray) -> None:
        np.savez(tmp_path / "a.npz", few=rows[:2])
        with pytest.raises(FormatError, match="no array of this name") as caught:
            open_array(tmp_path / "a.npz", array="fwe")
        assert caught.value.got == "few (2, 3)"
        assert "'fwe'" in str(caught.value)

    def test_maps_behind_longer_local_header(self, tmp_path: Path, rows: np.ndarray) -> None:
        # The extra field of the local header is not the one of the central directory.
        buffer = io.BytesIO()
        np.save(buffer, rows)
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("first.txt", "anything")
            with archive.open("x.npy", "w", force_zip64=True) as member:
                member.write(buffer.getvalue())
        with open_array(path) as array:
            assert array.notes == ()
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_refuses_compressed_columns(self, tmp_path: Path, rows: np.ndarray) -> None:
        np.savez_compressed(tmp_path / "a.npz", x=np.asfortranarray(rows))
        with pytest.raises(FormatError, match="stored by columns"):
            open_array(tmp_path / "a.npz")

    @pytest.mark.parametrize("kind", ["npz", "npz compressed"])
    def test_refuses_truncated_archive(self, kind: str, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_any(kind, tmp_path, rows)
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(InputFileError, match="zip archive is truncated") as caught:
            open_array(path)
        assert str(path) in str(caught.value)

    def test_tells_damage_of_compressed_rows(self, tmp_path: Path) -> None:
        path = save_any("npz compressed", tmp_path, np.random.default_rng(0).random((5000, 40)))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        with open_array(path) as array, pytest.raises(InputFileError, match="damaged"):
            array.read(0, 5000)

    def test_refuses_encrypted_member(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_any("npz", tmp_path, rows)
        data = bytearray(path.read_bytes())
        data[data.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(data)
        with pytest.raises(FormatError, match="encrypted"):
            open_array(path)


class TestHdf5:
    def test_finds_the_only_table(self, tmp_path: Path, rows: np.ndarray) -> None:
        others = {"ids": np.arange(7), "cube": np.ones((2, 3, 4)), "phases": rows * 1j}
        path = save_hdf5(tmp_path / "a", g__x=rows, **others)
        with open_array(path) as array:
            assert array.where.endswith("array '/g/x'")
            np.testing.assert_array_equal(array.read(0, 7), rows)

    def test_lists_datasets_if_several_fit(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_hdf5(tmp_path / "a", g__x=rows, g__y=rows[:, np.newaxis, :])
        with pytest.raises(FormatError, match="2 datasets that could be features") as caught:
            open_array(path)
        assert caught.value.got == "/g/x (7, 3), /g/y (7, 1, 3)"
        assert "--array" in str(caught.value)

    def test_says_if_none_fits(self, tmp_path: Path) -> None:
        path = save_hdf5(tmp_path / "a", ids=np.arange(7))
        with pytest.raises(FormatError, match="0 datasets that could be features"):
            open_array(path)

    def test_reads_named_dataset(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_hdf5(tmp_path / "a", g__x=rows[:2], g__y=rows)
        with open_array(path, array="g/y") as array:
            np.testing.assert_array_equal(array.read(3, 7), rows[3:])

    def test_reads_named_vector(self, tmp_path: Path) -> None:
        path = save_hdf5(tmp_path / "a", v=np.arange(4.0))
        with open_array(path, array="v") as array:
            np.testing.assert_array_equal(array.read(0, 1), [[0, 1, 2, 3]])
            assert array.read(0, 0).shape == (0, 4)

    @pytest.mark.parametrize(
        ("name", "message"), [("g/z", "no such dataset"), ("g", "is a group, no dataset")]
    )
    def test_refuses_other_names(
        self, tmp_path: Path, rows: np.ndarray, name: str, message: str
    ) -> None:
        path = save_hdf5(tmp_path / "a", g__x=rows)
        with pytest.raises(FormatError, match=message) as caught:
            open_array(path, array=name)
        assert caught.value.got == "/g/x (7, 3)"

    def test_reads_chunked_and_packed(self, tmp_path: Path, rows: np.ndarray) -> None:
        with h5py.File(tmp_path / "a", "w") as file:
            file.create_dataset("x", data=rows, chunks=(2, 3), compression="gzip")
        with open_array(tmp_path / "a") as array:
            np.testing.assert_array_equal(array.read(1, 6), rows[1:6])

    def test_refuses_truncated_file(self, tmp_path: Path) -> None:
        path = save_hdf5(tmp_path / "a", x=np.ones((1000, 100)))
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(InputFileError, match="truncated"):
            open_array(path)

    def test_closes_the_file(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = save_hdf5(tmp_path / "a", x=rows)
        with open_array(path) as array:
            pass
        with pytest.raises(InputFileError):
            array.read(0, 1)


class TestUnknown:
    @pytest.mark.parametrize(
        ("content", "got"),
        [
            (b"", "an empty file"),
            (b"1.0 2.0\n", "first bytes b'1.0 2.0"),
            (pickle.dumps([1.0]), "a Python pickle"),
            (b"\x1f\x8b\x08", "a gzip file"),
        ],
    )
    def test_says_what_it_is(self, tmp_path: Path, content: bytes, got: str) -> None:
        path = tmp_path / "features.npy"
        path.write_bytes(content)
        with pytest.raises(FormatError, match="file format is not known") as caught:
            open_array(path)
        assert caught.value.got is not None
        assert caught.value.got.startswith(got)
        assert caught.value.expected == "npy, mts (metatensor), npz, HDF5"

    def test_zip_of_other_files(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("data.pkl", b"")
        with pytest.raises(FormatError, match="zip file without arrays"):
            open_array(tmp_path / "a.npz")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="cannot be read") as caught:
            open_array(tmp_path / "none.npy")
        assert "No such file" in str(caught.value)

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="cannot be read"):
            open_array(tmp_path)


class TestLooksRounded:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1))
    def test_tells_text_with_8_decimals(self, numbers: list[float]) -> None:
        written = [float(f"{number:.8f}") for number in numbers]
        assert looks_rounded([*written, 0.12345678])

    def test_tells_full_precision(self) -> None:
        assert not looks_rounded(np.random.default_rng(0).normal(size=(3, 4)))

    def test_one_exact_value_is_enough(self) -> None:
        assert not looks_rounded([0.12345678, 0.5, 0.123456789])

    @pytest.mark.parametrize("values", [[], [1.0, -3.0, 0.0], [np.nan, np.inf]])
    def test_integers_and_nothing_tell_nothing(self, values: list[float]) -> None:
        assert not looks_rounded(values)

    def test_passes_over_what_is_not_finite(self) -> None:
        assert looks_rounded([np.nan, 0.25, -np.inf])

    def test_counts_decimals(self) -> None:
        assert looks_rounded([0.125], decimals=3)
        assert not looks_rounded([0.125], decimals=2)


class TestChoiceOfGradients:
    """The name of the array of features need not be in the file of the gradients."""

    def test_name_of_features_is_passed_over(self, tmp_path: Path) -> None:
        gradients = np.random.default_rng(4).normal(size=(4, 3, 2))
        for path in (
            save_npy(tmp_path / "a", gradients),
            save_any("npz", tmp_path, gradients),
            save_hdf5(tmp_path / "c", g=gradients),
        ):
            with open_array(path, array="feats", components=(3,)) as array:
                np.testing.assert_array_equal(array.read(0, 12), gradients.reshape(12, 2))

    def test_name_that_is_there_is_taken(self, tmp_path: Path) -> None:
        one, other = np.ones((4, 3, 2)), np.zeros((4, 3, 2))
        with (tmp_path / "a.npz").open("wb") as file:
            np.savez(file, one=one, other=other)
        save_hdf5(tmp_path / "a.h5", one=one, other=other)
        for path in (tmp_path / "a.npz", tmp_path / "a.h5"):
            with open_array(path, array="other", components=(3,)) as array:
                np.testing.assert_array_equal(array.read(0, 12), other.reshape(12, 2))
            for name in (None, "absent"):
                with pytest.raises(FormatError, match="holds ") as caught:
                    open_array(path, array=name, components=(3,))
                assert caught.value.remedy is not None
                assert "alone" in caught.value.remedy

    def test_dataset_of_the_right_shape_is_found(self, tmp_path: Path) -> None:
        gradients = np.ones((4, 3, 2))
        path = save_hdf5(tmp_path / "a.h5", other=np.ones((4, 5, 2)), g=gradients)
        with open_array(path, components=(3,)) as array:
            np.testing.assert_array_equal(array.read(0, 12), gradients.reshape(12, 2))
