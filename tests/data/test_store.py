from __future__ import annotations

import os
import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prcli.data import hdf5_file
from prcli.data.checks import atom_offsets
from prcli.data.dataset import Dataset, Part
from prcli.data.digests import atom_digests, compute_digests, content_digest_of, row_digests
from prcli.data.feature_table import FeatureTable
from prcli.data.features import Features
from prcli.data.provenance import make_provenance, provenance_to_dict
from prcli.data.store import StoreSource, StoreWriter, open_store
from prcli.errors import FeatureError, FormatError, InputFileError, OutputError
from prcli.records import Block, FileStamp

N_ATOMS = np.array([2, 1, 3])
STRUCTURES = np.arange(12.0).reshape(3, 4) / 7
ATOMS = np.arange(24.0).reshape(6, 4) / 3
BLOCKS = (Block("nu1", 1), Block("nu2: ü", 3))
COLUMNS = {"energy": np.array([-1.0, np.nan, 3.0]), "config": np.array(["bulk", "", "Fläche"])}
STAMP = FileStamp("/data/train.xyz", 3, 5, "blake2b:00")


def make_source() -> StoreSource:
    return StoreSource((STAMP,), np.zeros(3), np.arange(3), np.array([0, 70, 99]), ("train.xyz",))


def writer(path: Path, **changes: Any) -> StoreWriter:
    parts: dict[str, Any] = {
        "n_atoms": N_ATOMS,
        "n_features": 4,
        "dtype": np.float64,
        "convention": "mean",
        "structures": True,
        "atoms": True,
        "species": [1, 8, 6, 6, 6, 1],
        "blocks": BLOCKS,
        "columns": COLUMNS,
        "source": make_source(),
    }
    return StoreWriter(path, **(parts | changes))


def write(path: Path, **changes: Any) -> Path:
    with writer(path, **changes) as store:
        if changes.get("structures", True):
            store.write_structures(0, STRUCTURES)
        if changes.get("atoms", True):
            store.write_atoms(0, ATOMS)
    return path


def foreign(path: Path, **changes: Any) -> Path:
    """Write the least that another program has to."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "prcli-features"
        file.attrs["version"] = 1
        file.attrs["convention"] = "sum"
        file["structures/n_atoms"] = N_ATOMS
        file["structures/features"] = STRUCTURES
        for name, value in changes.items():
            if name in file.attrs:
                del file.attrs[name]
                if value is not None:
                    file.attrs[name] = value
            else:
                name = name.replace("__", "/")
                if name in file:
                    del file[name]
                if value is not None:
                    file[name] = value
    return path


def test_round_trip(tmp_path: Path) -> None:
    provenance = make_provenance([STAMP], {"seed": 0}, "prcli features import")
    path = write(tmp_path / "s.h5", provenance=provenance)
    with open_store(path) as opened:
        store: FeatureTable = opened
        assert store.label == str(path)
        assert (store.n_structures, store.n_features) == (3, 4)
        assert store.n_atoms.tolist() == [2, 1, 3]
        assert store.n_atoms.dtype == np.int64
        assert (store.convention, store.dtype) == ("mean", np.float64)
        assert store.blocks == BLOCKS
        assert store.structures is not None
        assert store.atoms is not None
        assert store.species is not None
        np.testing.assert_array_equal(store.structures.read(0, 3), STRUCTURES)
        np.testing.assert_array_equal(store.atoms.take(np.array([5, 0])), ATOMS[[5, 0]])
        assert store.species.tolist() == [1, 8, 6, 6, 6, 1]
        assert store.column_names == ("config", "energy")
        assert store.column("config").tolist() == ["bulk", "", "Fläche"]
        np.testing.assert_array_equal(store.column("energy"), COLUMNS["energy"])
        assert store.source is not None
        assert store.source.files == (STAMP,)
        assert store.source.offset.tolist() == [0, 70, 99]
        assert opened.provenance == provenance_to_dict(provenance)
    assert os.listdir(tmp_path) == ["s.h5"]


def write_large(path: Path) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(100, 30))
    with StoreWriter(
        path, n_atoms=np.ones(100, int), n_features=30, dtype="f8", convention="sum"
    ) as store:
        store.write_structures(0, rows)
    return rows


def test_mapped_rows_are_views_that_outlive_the_store(tmp_path: Path) -> None:
    rows = write_large(tmp_path / "s.h5")
    with open_store(tmp_path / "s.h5") as store:
        assert store.structures is not None
        first, second = store.structures.read(0, 100), store.structures.read(50, 60, 2)
        assert np.shares_memory(first, second)
        assert not first.flags.writeable
    np.testing.assert_array_equal(first, rows)


def test_large_datasets_are_aligned_to_pages(tmp_path: Path) -> None:
    write_large(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        dataset = file["structures/features"]
        assert dataset.chunks is None
        assert dataset.id.get_offset() % 4096 == 0


def test_digests_are_those_of_the_rows(tmp_path: Path) -> None:
    with open_store(write(tmp_path / "s.h5")) as store:
        assert store.digests is not None
        assert store.digests.tolist() == row_digests(N_ATOMS, STRUCTURES).tolist()


def test_digests_of_float32_are_those_of_what_is_stored(tmp_path: Path) -> None:
    with open_store(write(tmp_path / "s.h5", dtype=np.float32)) as store:
        assert store.digests is not None
        assert store.digests.tolist() == compute_digests(store).tolist()


def test_without_structures_digests_are_those_of_the_atoms(tmp_path: Path) -> None:
    with open_store(write(tmp_path / "s.h5", structures=False)) as store:
        assert store.structures is None
        assert store.digests is not None
        assert store.digests.tolist() == atom_digests(N_ATOMS, ATOMS).tolist()


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"structures": False},
        {"atoms": False, "species": None},
        {"dtype": "f4"},
        {"columns": None, "blocks": None},
    ],
)
def test_content_digest_equals_that_of_the_arrays(tmp_path: Path, parts: dict[str, Any]) -> None:
    dtype = parts.get("dtype", "f8")
    table = Features(
        STRUCTURES.astype(dtype) if parts.get("structures", True) else None,
        ATOMS.astype(dtype) if parts.get("atoms", True) else None,
        N_ATOMS,
        species=parts.get("species", [1, 8, 6, 6, 6, 1]),
        blocks=parts.get("blocks", BLOCKS),
        columns=parts.get("columns", COLUMNS),
    )
    with open_store(write(tmp_path / "s.h5", **parts)) as store:
        assert store.content_digest == content_digest_of(store) == content_digest_of(table)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(
    data=st.data(),
    n_atoms=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    n_features=st.integers(1, 4),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_blocks_in_any_order(
    tmp_path: Path, data: st.DataObject, n_atoms: list[int], n_features: int, dtype: type
) -> None:
    counts = np.array(n_atoms)
    rng = np.random.default_rng(0)
    structures = rng.normal(size=(len(counts), n_features)).astype(dtype)
    atoms = rng.normal(size=(counts.sum(), n_features)).astype(dtype)
    path = tmp_path / "s.h5"
    with StoreWriter(
        path,
        n_atoms=counts,
        n_features=n_features,
        dtype=dtype,
        convention="sum",
        atoms=True,
        overwrite=True,
    ) as store:
        for rows, put in ((structures, store.write_structures), (atoms, store.write_atoms)):
            cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)))) | {0, len(rows)})
            spans = list(zip(cuts[:-1], cuts[1:], strict=True))
            for start, stop in data.draw(st.permutations(spans)):
                put(start, rows[start:stop])
    with open_store(path) as opened:
        assert opened.structures is not None
        assert opened.atoms is not None
        assert opened.dtype == dtype
        np.testing.assert_array_equal(opened.structures.read(0, len(structures)), structures)
        np.testing.assert_array_equal(opened.atoms.read(0, len(atoms)), atoms)
        assert opened.content_digest == content_digest_of(opened)


def test_straddling_atoms_without_structures(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with writer(path, structures=False) as store:
        for start in (4, 1, 0, 5, 2):
            store.write_atoms(start, ATOMS[start : start + (2 if start == 2 else 1)])
    with open_store(path) as opened:
        assert opened.digests is not None
        assert opened.digests.tolist() == atom_digests(N_ATOMS, ATOMS).tolist()


def test_equal_input_without_provenance_gives_equal_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5")
    time.sleep(1.1)  # HDF5 counts seconds
    assert write(tmp_path / "b.h5").read_bytes() == first.read_bytes()


def test_bytes_do_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5")
    with writer(tmp_path / "b.h5") as store:
        for i in (2, 0, 1):
            store.write_structures(i, STRUCTURES[i : i + 1])
        store.write_atoms(3, ATOMS[3:])
        store.write_atoms(0, ATOMS[:3])
    assert (tmp_path / "b.h5").read_bytes() == first.read_bytes()


def test_without_provenance_nothing_of_the_host_is_stored(tmp_path: Path) -> None:
    write(tmp_path / "s.h5")
    content = (tmp_path / "s.h5").read_bytes()
    assert b"/data/train.xyz" not in content
    assert b"train.xyz" in content
    with open_store(tmp_path / "s.h5") as store:
        assert store.provenance is None


def test_provenance_of_many_inputs_fits(tmp_path: Path) -> None:
    provenance = make_provenance([STAMP] * 3000, {}, "prcli features import")
    with open_store(write(tmp_path / "s.h5", provenance=provenance)) as store:
        assert store.provenance == provenance_to_dict(provenance)


def test_nan_in_a_structure_is_placed(tmp_path: Path) -> None:
    rows = STRUCTURES[1:].copy()
    rows[1, 3] = np.nan
    with (
        pytest.raises(FeatureError, match="s.h5, structure 2, column 3"),
        writer(tmp_path / "s.h5") as store,
    ):
        store.write_structures(1, rows)
    assert os.listdir(tmp_path) == []


def test_infinity_in_an_atom_is_placed(tmp_path: Path) -> None:
    rows = ATOMS[2:].copy()
    rows[2, 0] = np.inf
    with (
        pytest.raises(FeatureError, match="atom 1 of structure 2, column 0"),
        writer(tmp_path / "s.h5") as store,
    ):
        store.write_atoms(2, rows)


def test_value_beyond_float32_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(FeatureError, match="structure 0, column 0[\\s\\S]*inf"),
        writer(tmp_path / "s.h5", dtype="f4") as store,
    ):
        store.write_structures(0, np.full((1, 4), 1e200))


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_interrupted_writer_leaves_nothing_behind(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    def write_and_fail(store: StoreWriter) -> None:
        store.write_structures(0, STRUCTURES)
        raise fault

    with pytest.raises(fault), writer(tmp_path / "s.h5") as store:
        write_and_fail(store)
    assert os.listdir(tmp_path) == []


def test_interrupted_writer_keeps_the_old_store(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5")
    old = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), writer(path, overwrite=True):
        raise KeyboardInterrupt
    assert path.read_bytes() == old


def test_incomplete_store_is_not_published(tmp_path: Path) -> None:
    store = writer(tmp_path / "s.h5").__enter__()
    store.write_structures(0, STRUCTURES)
    store.write_atoms(3, ATOMS[3:])
    store.write_atoms(0, ATOMS[:2])
    with pytest.raises(FeatureError, match="features of atoms are incomplete[\\s\\S]*row 2 was"):
        store.__exit__(None, None, None)
    assert os.listdir(tmp_path) == []


def test_rows_cannot_be_written_twice(tmp_path: Path) -> None:
    with writer(tmp_path / "s.h5", atoms=False) as store:
        store.write_structures(0, STRUCTURES[:2])
        with pytest.raises(ValueError, match="rows 1:2 were written before"):
            store.write_structures(1, STRUCTURES[:1])
        store.write_structures(2, STRUCTURES[2:])


@pytest.mark.parametrize("start", [-1, 2])
def test_rows_out_of_range_are_refused(tmp_path: Path, start: int) -> None:
    with pytest.raises(ValueError, match="outside"), writer(tmp_path / "s.h5") as store:
        store.write_structures(start, STRUCTURES[:2])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((3, 5)), "number of features differs"),
        (np.ones(4), "do not fit the structures"),
        (np.float64(1), "do not fit the structures"),
        (np.ones((3, 4), complex), "float32 or float64"),
    ],
)
def test_misshaped_blocks_are_refused(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    with pytest.raises(FeatureError, match=message), writer(tmp_path / "s.h5") as store:
        store.write_structures(0, rows)


def test_undeclared_rows_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="declared without features of atoms"),
        writer(tmp_path / "s.h5", atoms=False) as store,
    ):
        store.write_atoms(0, ATOMS)


def test_rows_outside_of_the_with_block_are_refused(tmp_path: Path) -> None:
    store = writer(tmp_path / "s.h5", atoms=False)
    with pytest.raises(ValueError, match="within the with block"):
        store.write_structures(0, STRUCTURES)
    with store:
        store.write_structures(0, STRUCTURES)
    with pytest.raises(ValueError, match="within the with block"):
        store.write_structures(0, STRUCTURES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_atoms": []}, "there are no structures"),
        ({"structures": False, "atoms": False}, "features of structures or of atoms"),
        ({"dtype": "f2"}, "float32 or float64"),
        ({"n_features": 0}, "shape"),
        ({"convention": "total"}, "mean or sum"),
        ({"species": [1]}, "species do not fit"),
        ({"blocks": [Block("a", 5)]}, "add up to 4"),
        ({"columns": {"a/b": [1, 2, 3]}}, "name of a column"),
        ({"n_atoms": [2, 4], "columns": None}, "source does not fit"),
    ],
)
def test_misfits_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        writer(tmp_path / "s.h5", **changes)
    assert os.listdir(tmp_path) == []


def test_existing_store_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s.h5")
    with pytest.raises(OutputError, match="give --overwrite"):
        writer(tmp_path / "s.h5")


def test_store_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not enough space"):
        StoreWriter(
            tmp_path / "s.h5",
            n_atoms=[1, 1],
            n_features=1 << 58,
            dtype="f4",
            convention="sum",
        )


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("n_structures", [1000, 1500])
def test_disk_that_fills_up(tmp_path: Path, n_structures: int) -> None:
    rows = np.ones((n_structures, 100))
    store = StoreWriter(
        tmp_path / "s.h5",
        n_atoms=np.ones(n_structures, int),
        n_features=100,
        dtype="f8",
        convention="sum",
    )
    # The limit is met while writing rows, or only by the digests after them.
    message = r"s.h5\n  got:      File too large\n"
    with file_size_limit(810_000), pytest.raises(OutputError, match=message), store:
        store.write_structures(0, rows)
    assert os.listdir(tmp_path) == []


def test_least_store_of_another_program(tmp_path: Path) -> None:
    with open_store(foreign(tmp_path / "s.h5")) as store:
        assert store.structures is not None
        np.testing.assert_array_equal(store.structures.read(0, 3), STRUCTURES)
        assert store.convention == "sum"
        assert store.digests is None
        assert store.source is None
        assert store.content_digest is None
        assert store.blocks is None
        assert store.species is None
        assert store.column_names == ()


def test_atoms_need_no_convention(tmp_path: Path) -> None:
    path = foreign(
        tmp_path / "s.h5", convention=None, structures__features=None, atoms__features=ATOMS
    )
    with open_store(path) as store:
        assert store.atoms is not None
        assert store.structures is None
        assert store.dtype == np.float64


def test_attributes_may_be_bytes_or_arrays(tmp_path: Path) -> None:
    path = foreign(
        tmp_path / "s.h5",
        format=np.bytes_(b"prcli-features"),
        version=np.array([1], dtype=">i2"),
        convention=np.array([b"mean"]),
    )
    with open_store(path) as store:
        assert store.convention == "mean"


def test_big_endian_chunked_compressed_store(tmp_path: Path) -> None:
    path = foreign(tmp_path / "s.h5", structures__features=None, structures__n_atoms=None)
    with h5py.File(path, "a") as file:
        file["structures/n_atoms"] = N_ATOMS.astype(">u2")
        options = {"chunks": (2, 3), "compression": "gzip", "shuffle": True}
        file.create_dataset("structures/features", data=STRUCTURES.astype(">f4"), **options)
        file.create_dataset("atoms/features", data=ATOMS.astype(">f8"), **options)
        file.create_dataset("atoms/species", data=np.arange(6, dtype=">i4"), chunks=(2,))
        file["structures/energy"] = np.array([1, 2, 3], dtype=">f4")
        file["structures/name"] = ["a", "b", "ü"]
    with open_store(path) as store:
        assert store.structures is not None
        assert store.atoms is not None
        assert store.dtype == np.dtype("=f8")
        assert store.structures.dtype == np.dtype("=f4")
        np.testing.assert_array_equal(store.structures.read(0, 3), STRUCTURES.astype("f4"))
        np.testing.assert_array_equal(store.atoms.read(1, 5, 2), ATOMS[1:5:2])
        assert store.species is not None
        assert store.species.dtype == np.uint8
        assert store.column("energy").tolist() == [1.0, 2.0, 3.0]
        assert store.column("name").tolist() == ["a", "b", "ü"]


def test_unknown_things_are_left_alone(tmp_path: Path) -> None:
    path = foreign(
        tmp_path / "s.h5",
        hessians__rows=np.ones((5, 4)),
        structures__matrix=np.ones((3, 3)),
        structures__pair=np.ones(2),
        structures__flags=np.array([True, False, True]),
        structures__group__x=np.ones(3),
        notes="anything",
    )
    with h5py.File(path, "a") as file:
        file["structures/broken"] = h5py.SoftLink("/absent")
        file["structures/elsewhere"] = h5py.ExternalLink("absent.h5", "/x")
    with open_store(path) as store:
        assert store.column_names == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "prcli-hessian"}, "another format[\\s\\S]*format = prcli-hessian"),
        ({"format": None}, "no such attribute"),
        ({"format": 3}, "not a string"),
        ({"version": 2}, "newer version[\\s\\S]*install a newer prcli"),
        ({"version": None}, "no valid version"),
        ({"version": 0}, "no valid version"),
        ({"version": "one"}, "not a number"),
        ({"convention": None}, "does not state its convention"),
        ({"convention": "total"}, "does not state its convention"),
        ({"structures__n_atoms": None}, "numbers of atoms are absent"),
        ({"structures__features": np.ones((2, 4))}, r"structures/features[\s\S]*shape \(3, D\)"),
        ({"structures__features": np.ones((3, 4), int)}, "float32 or float64"),
        ({"structures__features": np.ones(3)}, "do not fit the structures"),
        ({"atoms__features": np.ones((5, 4))}, r"do not fit the atoms[\s\S]*shape \(6, D\)"),
        ({"atoms__species": np.ones(5, "u1")}, "species do not fit"),
        ({"structures__energy": np.ones(2)}, "column energy does not fit"),
        ({"source__row_digest": np.ones(2, "u8")}, "digests do not fit"),
    ],
)
def test_broken_formats_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        _ = open_store(foreign(tmp_path / "s.h5", **changes)).digests


@pytest.mark.parametrize("text", ["nu1:3", "nu1", "nu1:4,", "nu1:2,nu1:2", "nu1:-4", ":4"])
def test_broken_blocks_are_refused(tmp_path: Path, text: str) -> None:
    path = foreign(tmp_path / "s.h5")
    with h5py.File(path, "a") as file:
        file.attrs["blocks"] = text
    with pytest.raises(FormatError, match="block"):
        open_store(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structures__features": None}, "there are no features"),
        ({"atoms__features": np.ones((6, 5))}, "different numbers of features"),
        ({"structures__n_atoms": np.array([1, 0, 1])}, "structure 1"),
        ({"structures__n_atoms": np.empty(0, int)}, "there are no structures"),
    ],
)
def test_broken_features_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        open_store(foreign(tmp_path / "s.h5", **changes))


def truncated(path: Path) -> None:
    write(path)
    os.truncate(path, path.stat().st_size // 2)


def absent(path: Path) -> None:
    pass


def empty(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "HDF5 file is truncated[\\s\\S]*eof"),
        (absent, "No such file"),
        (empty, "file is empty"),
        (folder, "[Dd]irectory"),
    ],
)
def test_unreadable_files(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "s.h5")
    with pytest.raises(InputFileError, match=message):
        open_store(tmp_path / "s.h5")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    content = write(tmp_path / "s.h5").read_bytes()
    path = tmp_path / "cut.h5"
    for size in range(1, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises((InputFileError, FormatError)):
            open_store(path)


def test_text_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "s.h5").write_text("2\nProperties=species:S:1\n")
    with pytest.raises(FormatError, match="not HDF5"):
        open_store(tmp_path / "s.h5")


def test_damaged_chunk_is_noticed_when_read(tmp_path: Path) -> None:
    path = foreign(tmp_path / "s.h5", structures__features=None)
    with h5py.File(path, "a") as file:
        dataset = file.create_dataset(
            "structures/features", data=STRUCTURES, chunks=(3, 4), compression="gzip"
        )
        start = dataset.id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as raw:
        raw.seek(start)
        raw.write(b"\xff" * 8)
    with open_store(path) as store:
        assert store.structures is not None
        with pytest.raises(InputFileError, match="damaged"):
            store.structures.read(0, 3)


@pytest.mark.parametrize("length", [None, 16])
def test_strings_are_read_piece_by_piece(tmp_path: Path, monkeypatch, length) -> None:
    monkeypatch.setattr(hdf5_file, "_STRINGS_AT_A_TIME", 2)
    texts = ["a", "", "longer", "b", "äöü", "the longest", "c"]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dtype = h5py.string_dtype("utf-8", length)
        values = np.array([text.encode() for text in texts], dtype="S16").astype(dtype)
        dataset = file.create_dataset("x", data=values, dtype=dtype)
        empty = file.create_dataset("empty", shape=(0,), dtype=dtype)
        found = hdf5_file.read_strings(dataset)
        assert found.tolist() == texts
        assert found.dtype == np.dtype("U11")
        assert hdf5_file.read_strings(empty).tolist() == []


def test_column_of_strings_takes_hardly_more_memory_than_it_holds(tmp_path: Path) -> None:
    n = 300_000
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.attrs.update({"format": "prcli-features", "version": 1, "convention": "mean"})
        file["structures/n_atoms"] = np.ones(n, dtype=np.int32)
        file["structures/features"] = np.ones((n, 1), dtype=np.float32)
        dtype = h5py.string_dtype("utf-8", 10)
        file["structures/config"] = np.full(n, b"0123456789", dtype="S10").astype(dtype)
    with open_store(tmp_path / "s.h5") as store:
        data = Dataset([Part(store, range(n))], "pool")
        tracemalloc.start()
        column = data.column("config")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert column.nbytes == 40 * n
    # One column, and what is decoded at a time.
    assert peak < column.nbytes + 10_000_000


def test_absent_column_lists_those_that_are_there(tmp_path: Path) -> None:
    with (
        open_store(write(tmp_path / "s.h5")) as store,
        pytest.raises(FeatureError, match="one of config, energy"),
    ):
        store.column("weight")


def test_provenance_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "s.h5")
    with h5py.File(path, "a") as file:
        file.attrs["provenance"] = "by hand"
    with pytest.raises(FormatError, match="not JSON"):
        open_store(path)


def test_offsets_of_atoms() -> None:
    assert atom_offsets(N_ATOMS).tolist() == [0, 2, 3, 6]
