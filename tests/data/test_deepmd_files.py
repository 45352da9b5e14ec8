"""Arrays of DeePMD-kit's systems as rows below each other."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prcli.data.deepmd_files import is_embedding, open_descriptors, open_embedding
from prcli.errors import FeatureError, FormatError


def write_embedding(
    path: Path, systems: dict[str, tuple[np.ndarray, np.ndarray]], type_map: object = ("C", "O")
) -> Path:
    with h5py.File(path, "w") as file:
        if type_map is not None:
            file.attrs["type_map"] = np.array(type_map, dtype=h5py.string_dtype())
        for name, (types, values) in systems.items():
            group = file.create_group(name)
            group["atom_types"] = types
            group["atomic_feature" if values.ndim == 3 else "structural_feature"] = values
    return path


@settings(max_examples=50)
@given(st.data())
def test_any_run_of_rows(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("deepmd")
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    shapes = data.draw(
        st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=4)
    )
    systems = {}
    for i, (n_frames, n_places) in enumerate(shapes):
        types = rng.integers(-1, 2, size=(n_frames, n_places))
        types[:, 0] = 0
        systems[f"s{i}"] = types, rng.normal(size=(n_frames, n_places, 2))
    names = data.draw(st.permutations(sorted(systems)))
    array, found = open_embedding(
        write_embedding(folder / "e.h5", systems), "atomic_feature", names
    )
    with array:
        ordered = [systems[name] for name in names]
        rows = np.concatenate([values[types >= 0] for types, values in ordered])
        start = data.draw(st.integers(0, len(rows)))
        stop = data.draw(st.integers(start, len(rows)))
        np.testing.assert_array_equal(array.read(start, stop), rows[start:stop])
        counts = np.concatenate([(types >= 0).sum(axis=1) for types, _ in ordered])
        np.testing.assert_array_equal(array.n_atoms, counts)
        kinds = np.concatenate([types[types >= 0] for types, _ in ordered])
        np.testing.assert_array_equal(array.species, np.array([6, 8])[kinds])
        assert [system.name for system in found] == list(names)


def test_rows_of_frames(tmp_path: Path) -> None:
    types, values = np.zeros((3, 2), int), np.arange(6.0).reshape(3, 2)
    path = write_embedding(tmp_path / "e.h5", {"a": (types, values), "b": (types, values + 9)})
    array, _ = open_embedding(path, "structural_feature", ["b", "a"])
    with array:
        np.testing.assert_array_equal(array.read(1, 5), np.concatenate([values + 9, values])[1:5])
        np.testing.assert_array_equal(array.n_atoms, [2] * 6)


@pytest.mark.parametrize("type_map", [None, ("C", "TYPE_1")])
def test_types_without_elements(tmp_path: Path, type_map: object) -> None:
    systems = {"a": (np.zeros((1, 2), int), np.ones((1, 2, 3)))}
    path = write_embedding(tmp_path / "e.h5", systems, type_map)
    array, _ = open_embedding(path, "atomic_feature", [])
    with array:
        assert array.species is None


def test_type_beyond_the_map(tmp_path: Path) -> None:
    systems = {"a": (np.full((1, 2), 2), np.ones((1, 2, 3)))}
    with pytest.raises(FormatError, match="not in type_map"):
        open_embedding(write_embedding(tmp_path / "e.h5", systems), "atomic_feature", [])


@pytest.mark.parametrize(
    ("types", "values", "message"),
    [
        ((1, 2), (1, 3, 4), "does not fit its atoms"),
        ((2, 3), (1, 3, 4), "does not fit its atoms"),
        ((1, 3), (3, 4), "does not fit its atoms"),
        ((3,), (1, 3, 4), "does not fit its atoms"),
        ((1, 3), (1, 3, 5), "different widths"),
        ((0, 3), (0, 3, 4), "array is empty"),
    ],
)
def test_axes_that_do_not_fit(tmp_path: Path, types, values, message) -> None:
    good = np.zeros((1, 2), int), np.ones((1, 2, 4))
    systems = {"a": good, "b": (np.zeros(types, int), np.ones(values))}
    with pytest.raises(FeatureError, match=message):
        open_embedding(write_embedding(tmp_path / "e.h5", systems), "atomic_feature", [])


def test_file_is_released_after_an_error(tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "e.h5", {"a": (np.zeros((1, 2), int), np.ones((1, 3, 4)))})
    with pytest.raises(FeatureError, match="does not fit its atoms"):
        open_embedding(path, "atomic_feature", [])
    with h5py.File(path, "a") as file:
        del file["a"]


def test_descriptors_of_several_types(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((1, 2, 3), np.float32))
    np.save(tmp_path / "b.npy", np.full((2, 1, 3), 0.1))
    array, _ = open_descriptors(tmp_path, [])
    assert array.dtype == np.float64
    assert array.notes == ()
    np.testing.assert_array_equal(array.read(0, 4)[:, 0], [1, 1, 0.1, 0.1])
    assert not is_embedding(tmp_path)


@pytest.mark.parametrize("array", [np.ones((2, 3)), np.array([[[None]]], dtype=object)])
def test_arrays_that_are_no_descriptors(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(FeatureError, match="not one of descriptors"):
        open_descriptors(tmp_path, [])
