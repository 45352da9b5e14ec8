from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import atoms_for, counts_of, features_of, source_of, sums_of, write_store
from hypothesis import given
from hypothesis import strategies as st

from prcli.data.dataset import Dataset, Part, read_structures
from prcli.data.features import Features
from prcli.data.slices import parse_slice, split_slice
from prcli.data.store import open_store
from prcli.errors import FeatureError, MismatchError, RequestError
from prcli.records import Block


def whole(table: object) -> Part:
    return Part(table, range(table.n_structures))  # type: ignore[arg-type, attr-defined]


@pytest.mark.parametrize(
    ("argument", "path", "text"),
    [
        ("pool.h5", "pool.h5", None),
        ("pool.h5@3", "pool.h5", "3"),
        ("pool.h5@-1", "pool.h5", "-1"),
        ("pool.h5@:", "pool.h5", ":"),
        ("pool.h5@::10", "pool.h5", "::10"),
        ("pool.h5@5:1:-2", "pool.h5", "5:1:-2"),
        ("a@b.xyz", "a@b.xyz", None),
        ("a@b.xyz@1:2", "a@b.xyz", "1:2"),
        ("a@1:2@3", "a@1:2", "3"),
        ("pool.h5@", "pool.h5@", None),
        ("pool.h5@bulk", "pool.h5@bulk", None),
        ("pool.h5@1:2:3:4", "pool.h5@1:2:3:4", None),
        ("pool.h5@1.5", "pool.h5@1.5", None),
        ("@3", "@3", None),
        ("user@host/pool.h5", "user@host/pool.h5", None),
        ("run@1/pool.h5@2:", "run@1/pool.h5", "2:"),
        ("-@::2", "-", "::2"),
        ("-", "-", None),
    ],
)
def test_slice_is_split_at_the_last_at_of_the_file_name(argument, path, text):
    assert split_slice(argument) == (path, text)


def test_file_of_that_very_name_is_not_split(tmp_path: Path):
    path = tmp_path / "pool@3"
    path.touch()
    assert split_slice(str(path)) == (str(path), None)
    assert split_slice(f"{path}@1") == (str(path), "1")


@given(st.integers(1, 12), st.data())
def test_slices_in_range_mean_what_they_mean_to_a_list(n_structures, data):
    ends = st.none() | st.integers(-n_structures, n_structures)
    step = st.none() | st.integers(-4, 4).filter(bool)
    parts = (data.draw(ends), data.draw(ends), data.draw(step))
    text = ":".join("" if part is None else str(part) for part in parts)
    expected = list(range(n_structures))[slice(*parts)]
    if expected:
        assert list(parse_slice(text, n_structures, "pool")) == expected
    else:
        with pytest.raises(RequestError, match="selects no structure"):
            parse_slice(text, n_structures, "pool")


@given(st.integers(1, 12), st.data())
def test_one_index_counts_from_either_end(n_structures, data):
    index = data.draw(st.integers(-n_structures, n_structures - 1))
    chosen = parse_slice(str(index), n_structures, "pool")
    assert list(chosen) == [list(range(n_structures))[index]]


@pytest.mark.parametrize("text", ["5", "-6", "6", "6:", ":6", "-6:", ":-6", "0:6:2", "99::-1"])
def test_slice_out_of_range_is_refused(text):
    with pytest.raises(RequestError, match="out of range") as caught:
        parse_slice(text, 5, f"pool.h5@{text}")
    assert caught.value.where == f"pool.h5@{text}"
    assert "0 to 4" in str(caught.value)


@pytest.mark.parametrize("text", ["5:", "3:3", "4:2", "::0"])
def test_slice_that_selects_nothing_is_refused(text):
    with pytest.raises(RequestError, match="selects no structure|step of zero"):
        parse_slice(text, 5, "pool.h5")


def test_no_slice_is_everything():
    assert parse_slice(None, 3, "pool") == range(3)


def test_empty_set_is_refused():
    with pytest.raises(RequestError, match="the pool set holds no structures"):
        Dataset([], "pool")


def test_parts_follow_each_other():
    one, other = features_of(3, seed=1), features_of(5, seed=2)
    data = Dataset([whole(one), Part(other, range(4, 0, -2)), whole(one)], "pool")
    assert data.n_structures == 8
    expected = np.concatenate([one.n_atoms, other.n_atoms[[4, 2]], one.n_atoms])
    np.testing.assert_array_equal(data.n_atoms, expected)
    assert data.n_atoms_total == expected.sum()
    assert [data.locate(i)[1] for i in range(8)] == [0, 1, 2, 4, 2, 0, 1, 2]
    assert data.locate(3)[0].table is other
    digests = np.concatenate([one.digests, other.digests[[4, 2]], one.digests])
    np.testing.assert_array_equal(data.digests, digests)


def test_label_names_each_table_once():
    one, other = features_of(2, seed=1), features_of(2, seed=2)
    assert Dataset([whole(one), whole(other), whole(one)], "x").label == "features 1, features 2"


def test_different_widths_are_refused():
    one, other = features_of(2, 3, seed=1), features_of(2, 4, seed=2)
    with pytest.raises(MismatchError, match="differ in width") as caught:
        Dataset([whole(one), whole(other)], "pool")
    for text in ("features 1", "features 2", "3 features", "4 features"):
        assert text in str(caught.value)


@pytest.mark.parametrize("blocks", [None, (Block("a", 2), Block("b", 1))])
def test_different_blocks_are_refused(blocks):
    one = features_of(2, blocks=(Block("a", 1), Block("b", 2)))
    other = features_of(2, seed=1, blocks=blocks)
    with pytest.raises(MismatchError, match="a:1,b:2"):
        Dataset([whole(one), whole(other)], "pool")


def test_different_types_are_listed():
    rows = np.ones((2, 3))
    one, other = Features(rows), Features(rows.astype(np.float32))
    data = Dataset([whole(one), whole(other)], "pool")
    assert data.dtypes == ("float32", "float64")


def test_columns_that_all_parts_have():
    one = features_of(2, columns={"energy": [1.0, 2.0], "group": ["a", "b"]})
    other = features_of(2, seed=1, columns={"energy": [3.0, 4.0], "extra": [0.0, 0.0]})
    data = Dataset([Part(one, range(1, -1, -1)), whole(other)], "pool")
    assert data.column_names == ("energy",)
    np.testing.assert_array_equal(data.column("energy"), [2.0, 1.0, 3.0, 4.0])
    with pytest.raises(FeatureError, match="'group' is absent"):
        data.column("group")


def test_frames_of_tables_without_source_count_in_the_table():
    one = features_of(5, label="one")
    data = Dataset([Part(one, range(4, -1, -2)), Part(one, range(1, 2))], "pool")
    sources, source, frame = data.frames()
    assert sources == ("one",)
    assert source.tolist() == [0, 0, 0, 0]
    assert frame.tolist() == [4, 2, 0, 1]


def test_frames_of_a_store_count_in_the_structures_file(tmp_path: Path):
    path = write_store(tmp_path / "a.h5", 6, xyz=tmp_path / "a.xyz")
    with open_store(path) as store:
        data = Dataset([Part(store, range(5, 0, -2)), whole(features_of(1, label="b"))], "pool")
        sources, source, frame = data.frames()
    assert sources == (str(tmp_path / "a.xyz"), "b")
    assert source.tolist() == [0, 0, 0, 1]
    assert frame.tolist() == [5, 3, 1, 0]


def test_different_files_typed_alike_stay_apart(tmp_path: Path):
    stores = []
    for seed, folder in enumerate((tmp_path / "one", tmp_path / "two")):
        folder.mkdir()
        write_store(folder / "x.h5", 2, seed=seed, xyz=folder / "x.xyz")
        source = source_of(folder / "x.xyz", "x.xyz")
        stores.append(open_store(write_store(folder / "y.h5", 2, seed=seed, source=source)))
    with Dataset([whole(store) for store in stores], "pool") as data:
        sources, source, _ = data.frames()
    assert sources == ("x.xyz", "x.xyz")
    assert source.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("positions", [range(7), range(6, -1, -1), range(1, 7, 3), range(5, 0, -2)])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("max_rows", [1, 2, 3, 100])
def test_structure_runs_cover_every_slice(tmp_path: Path, positions, on_disk, max_rows):
    counts = counts_of(7)
    rows = sums_of(atoms_for(counts), counts) / counts[:, np.newaxis]
    table = (
        open_store(write_store(tmp_path / "s.h5", 7)) if on_disk else Features(rows, n_atoms=counts)
    )
    with Dataset([whole(table), Part(table, positions)], "x") as data:
        expected = np.concatenate([rows, rows[list(positions)]])
        done = 0
        for start, part, chosen in data.structure_runs(max_rows):
            block, convention = read_structures(part, chosen)
            assert start == done
            assert 1 <= len(block) <= max_rows
            assert convention == "mean"
            np.testing.assert_array_equal(block, expected[done : done + len(block)])
            done += len(block)
        assert done == len(expected)


@pytest.mark.parametrize("n_structures", [10, 11, 12, 13, 14])
@pytest.mark.parametrize("text", ["::7", "3::5", "1:9:4", "::-7"])
def test_stride_that_does_not_divide_the_set_stays_inside(n_structures, text):
    table = Features(np.arange(2.0 * n_structures).reshape(-1, 2))
    data = Dataset([Part(table, parse_slice(text, n_structures, "x"))], "x")
    blocks = [read_structures(part, chosen)[0] for _, part, chosen in data.structure_runs(64)]
    start, stop, step = (int(part) if part else None for part in (text + ":").split(":")[:3])
    expected = np.arange(2.0 * n_structures).reshape(-1, 2)[start:stop:step]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_reading_structures_of_a_table_of_atoms_is_refused():
    with pytest.raises(FeatureError, match="no features of structures"):
        read_structures(whole(features_of(2)), range(2))


def collect(data: Dataset, max_rows: int) -> tuple[np.ndarray, ...]:
    blocks = list(data.atom_blocks(max_rows))
    assert all(1 <= len(block[0]) <= max_rows for block in blocks)
    return tuple(np.concatenate([block[i] for block in blocks]) for i in range(4))


@pytest.mark.parametrize("max_rows", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    "positions", [range(9), range(8, -1, -1), range(2, 9, 3), range(7, 1, -2), range(3, 4)]
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_atom_blocks_cover_every_slice(tmp_path: Path, positions, max_rows, on_disk):
    table = (
        open_store(write_store(tmp_path / "s.h5", 9, seed=4)) if on_disk else features_of(9, seed=4)
    )
    rows = atoms_for(counts_of(9, 4), 3, 4)
    numbers = np.asarray(table.species)
    ends = np.cumsum(table.n_atoms)
    own = {i: np.arange(ends[i] - table.n_atoms[i], ends[i]) for i in range(9)}
    with Dataset([Part(table, range(1)), Part(table, positions)], "x") as data:
        structure, atom, features, species = collect(data, max_rows)
    order = [0, *positions]
    index = np.concatenate([own[i] for i in order])
    np.testing.assert_array_equal(features, rows[index])
    np.testing.assert_array_equal(species, numbers[index])
    counts = table.n_atoms[order]
    np.testing.assert_array_equal(structure, np.repeat(np.arange(len(order)), counts))
    np.testing.assert_array_equal(atom, np.concatenate([np.arange(n) for n in counts]))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_huge_structure_among_small_ones_crosses_block_borders(place):
    counts = np.array([1, 1, 1])
    counts[place] = 1000
    rows = np.arange(2.0 * counts.sum()).reshape(-1, 2)
    data = Dataset([whole(Features(atoms=rows, n_atoms=counts, species=[6] * 1002))], "x")
    structure, atom, features, _ = collect(data, 64)
    np.testing.assert_array_equal(features, rows)
    np.testing.assert_array_equal(structure, np.repeat([0, 1, 2], counts))
    np.testing.assert_array_equal(atom, np.concatenate([np.arange(n) for n in counts]))


def test_atom_blocks_without_elements():
    table = Features(atoms=np.ones((3, 2)), n_atoms=[1, 2])
    data = Dataset([whole(table)], "x")
    assert not data.has_species
    assert [block[3] for block in data.atom_blocks(2)] == [None, None]


def test_atom_blocks_of_means_are_refused():
    data = Dataset([whole(Features(np.ones((2, 3))))], "x")
    assert not data.has_atoms
    with pytest.raises(FeatureError, match="no features of atoms"):
        next(data.atom_blocks(8))


def test_context_closes_the_stores(tmp_path: Path):
    store = open_store(write_store(tmp_path / "s.h5"))
    with Dataset([whole(store), whole(features_of(2))], "x"):
        assert store._file
    assert not store._file
