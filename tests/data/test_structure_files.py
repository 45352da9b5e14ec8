from __future__ import annotations

import gzip
import hashlib
import pickle
import re
import shutil
import sqlite3
import sys
import tracemalloc
from io import StringIO
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.io import read, write
from foreign_structures import (
    WRITERS,
    packed,
    rich_structures,
    write_aselmdb,
    write_trajectory,
    write_xdatcar,
)

from prcli.data.atoms_frame import write_frame
from prcli.data.conversion_notes import ConversionNotes
from prcli.data.extxyz import index_frames
from prcli.data.file_kind import file_kind
from prcli.data.structure_file import index_structures, read_frames
from prcli.data.structure_formats import find_format
from prcli.errors import FormatError, InputFileError, RequestError

N = 7


def frames_at(path: Path, numbers: object) -> list[bytes]:
    numbers = np.asarray(numbers)
    return list(read_frames(path, numbers, np.full(len(numbers), -1)))


def as_atoms(frame: bytes) -> Atoms:
    return read(StringIO(frame.decode()), index=0, format="extxyz")


def expected_frames(structures: list[Atoms]) -> list[bytes]:
    return [write_frame(atoms, ConversionNotes()) for atoms in structures]


def crystals(n_structures: int) -> list[Atoms]:
    """Structures of the same atoms in different places and cells."""
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    structures = []
    for i in range(n_structures):
        crystal.rattle(0.1, seed=i)
        crystal.set_cell(crystal.cell * 1.001, scale_atoms=True)
        structures.append(crystal[np.argsort(crystal.symbols, kind="stable")])
    return structures


@pytest.fixture(params=WRITERS)
def foreign(request, tmp_path):
    """A file of structures in each format that keeps all that they have."""
    if request.param == ".aselmdb":
        pytest.importorskip("lmdb")
    path = tmp_path / f"pool{request.param}"
    WRITERS[request.param](path, rich_structures(N))
    return path


def test_index_counts_atoms_and_has_no_offsets(foreign):
    index = index_structures(foreign)
    assert index.n_atoms.tolist() == [1 + i % 5 for i in range(N)]
    assert index.offset.tolist() == index.length.tolist() == [-1] * N
    assert index.stamp.path == str(foreign)
    assert index.stamp.size == foreign.stat().st_size
    digest = hashlib.blake2b(foreign.read_bytes(), digest_size=16).hexdigest()
    assert index.stamp.digest == f"blake2b:{digest}"


def test_digest_is_left_out_where_it_is_not_wanted(foreign):
    assert index_structures(foreign, digest=False).stamp.digest == ""


def test_reading_leaves_the_file_as_it_is(foreign):
    before = foreign.read_bytes(), foreign.stat().st_mtime_ns
    index_structures(foreign)
    frames_at(foreign, range(N))
    assert (foreign.read_bytes(), foreign.stat().st_mtime_ns) == before


@pytest.mark.parametrize("order", [range(N), [N - 1, 0, 3], [2, 2, 5, 2], [1, 1, 4], [], [4]])
def test_frames_in_any_order(foreign, order):
    in_file = frames_at(foreign, range(N))
    assert frames_at(foreign, order) == [in_file[i] for i in order]


def test_every_key_column_and_result_is_there(foreign):
    written = [as_atoms(frame) for frame in frames_at(foreign, range(N))]
    for found, atoms in zip(written, rich_structures(N), strict=True):
        assert found.numbers.tolist() == atoms.numbers.tolist()
        assert found.positions.tobytes() == atoms.positions.tobytes()
        assert found.cell.array.tobytes() == atoms.cell.array.tobytes()
        assert found.pbc.tolist() == atoms.pbc.tolist()
        assert set(found.info) == set(atoms.info)
        for key, value in atoms.info.items():
            assert np.array_equal(found.info[key], value)
            assert isinstance(found.info[key], str) == isinstance(value, str)
        for name, values in atoms.arrays.items():
            assert np.array_equal(found.arrays[name], values)
        assert set(found.calc.results) == set(atoms.calc.results)
        for name, value in atoms.calc.results.items():
            assert np.array_equal(found.calc.results[name], value)


def test_kind_is_told_from_the_content(foreign, tmp_path):
    if foreign.suffix == ".json":
        pytest.skip("JSON has no mark of its own")
    renamed = shutil.copy(foreign, tmp_path / "file.jpg")
    assert file_kind(renamed) == "structures"
    assert len(index_structures(renamed)) == N


def test_shorter_file_than_was_indexed_is_an_error(foreign):
    with pytest.raises(InputFileError, match="structure is not where it was") as caught:
        frames_at(foreign, [0, N])
    assert caught.value.where == f"{foreign}, frame {N}"


def test_two_readers_of_one_file_do_not_disturb_each_other(foreign):
    in_file = frames_at(foreign, range(N))
    pairs = zip(
        *(read_frames(foreign, np.arange(N), np.full(N, -1)) for _ in range(2)), strict=True
    )
    assert list(pairs) == [(frame, frame) for frame in in_file]


def test_cut_file_is_an_error(foreign):
    foreign.write_bytes(foreign.read_bytes()[:900])
    with pytest.raises(InputFileError, match="structures cannot be read") as caught:
        index_structures(foreign)
    assert str(foreign) in str(caught.value.where)
    assert caught.value.remedy is not None


def test_constraints_are_dropped(tmp_path):
    path = tmp_path / "a.traj"
    write_trajectory(path, [Atoms("HO", constraint=FixAtoms([1])), Atoms("H")])
    notes = ConversionNotes()
    frames = list(read_frames(path, [0, 1], [-1, -1], notes=notes))
    assert not as_atoms(frames[0]).constraints
    assert (notes.n_structures, notes.n_constrained) == (2, 1)


def test_trajectory_of_changing_atoms_and_of_constant_ones(tmp_path):
    same = crystals(4)
    for name, structures in (("same", same), ("mixed", [*rich_structures(3), *same])):
        path = tmp_path / f"{name}.traj"
        write_trajectory(path, structures)
        assert index_structures(path).n_atoms.tolist() == list(map(len, structures))
        frames = frames_at(path, range(len(structures)))
        assert frames == expected_frames(read(path, index=":"))
        positions = [as_atoms(frame).positions.tobytes() for frame in frames]
        assert positions == [atoms.positions.tobytes() for atoms in structures]


def test_trajectory_is_not_read_to_count_its_atoms(tmp_path, monkeypatch):
    from ase.io.ulm import NDArrayReader

    path = tmp_path / "a.traj"
    write_trajectory(path, crystals(5))
    counted = []
    monkeypatch.setattr(NDArrayReader, "read", lambda *_: counted.append(1))
    index_structures(path)
    assert len(counted) <= 1  # the heading of the file


def test_reading_some_frames_takes_no_others(foreign, monkeypatch):
    if foreign.suffix == ".json":
        pytest.skip("JSON is read from front to end")
    import prcli.data.structure_file as structure_file

    made = []
    monkeypatch.setattr(structure_file, "write_frame", lambda atoms, _: made.append(atoms))
    frames = read_frames(foreign, np.arange(N)[::-1], np.full(N, -1))
    list(islice(frames, 2))
    frames.close()
    assert [len(atoms) for atoms in made] == [1 + 6 % 5, 1 + 5 % 5]


def test_memory_does_not_grow_with_the_trajectory(tmp_path):
    peaks = []
    for n_structures in (300, 1200):
        path = tmp_path / f"{n_structures}.traj"
        write_trajectory(path, crystals(20) * (n_structures // 20))
        index_structures(path)
        tracemalloc.start()
        index = index_structures(path, digest=False)
        for _ in read_frames(path, np.arange(len(index)), index.offset):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 900 more structures of 8 atoms would take more than 1 MB.
    assert peaks[1] - peaks[0] < 150_000


def test_rows_of_a_database_that_were_deleted_are_skipped(tmp_path):
    from ase.db import connect

    path = tmp_path / "a.db"
    WRITERS[".db"](path, rich_structures(N))
    whole = frames_at(path, range(N))
    connect(path).delete([1, 4])
    assert index_structures(path).n_atoms.tolist() == [2, 3, 5, 1, 2]
    assert frames_at(path, range(5)) == [whole[i] for i in (1, 2, 4, 5, 6)]


def test_pairs_and_data_of_one_name_are_both_kept(tmp_path):
    from ase.db import connect

    path = tmp_path / "a.db"
    with connect(path) as database:
        database.write(Atoms("H"), tag="pair", data={"tag": "data"})
    assert as_atoms(frames_at(path, [0])[0]).info == {"tag": "pair", "data_tag": "data"}


def test_sqlite_of_another_program_is_refused(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(FormatError, match="SQLite file is not an ASE database") as caught:
        index_structures(path)
    assert caught.value.got == "tables: songs"


class TestLmdb:
    @pytest.fixture(autouse=True)
    def _lmdb(self):
        self.lmdb = pytest.importorskip("lmdb")

    @pytest.mark.parametrize("deleted", [[1], [7], [3], [2, 3, 6], [1, 2, 7], [1, 3, 5, 7]])
    def test_deleted_rows_are_skipped(self, tmp_path, deleted):
        whole, some = tmp_path / "a.aselmdb", tmp_path / "b.aselmdb"
        write_aselmdb(whole, rich_structures(N))
        write_aselmdb(some, rich_structures(N), deleted)
        kept = [i for i in range(N) if i + 1 not in deleted]
        assert len(index_structures(some)) == len(kept)
        assert frames_at(some, range(len(kept))) == frames_at(whole, kept)

    def test_rows_whose_elements_do_not_come_first_are_counted(self, tmp_path):
        path = tmp_path / "a.aselmdb"
        write_aselmdb(path, rich_structures(2))
        positions, numbers = np.zeros((4, 3)), np.array([6, 6, 6, 1])
        with (
            self.lmdb.open(str(path), subdir=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.put(b"2", packed({"positions": positions, "numbers": numbers}))
        assert index_structures(path).n_atoms.tolist() == [1, 4]

    def test_what_fairchem_writes(self, tmp_path):
        aselmdb = pytest.importorskip("ase_db_backends.aselmdb")
        ours, theirs = tmp_path / "ours.aselmdb", tmp_path / "theirs.aselmdb"
        structures = rich_structures(N)
        write_aselmdb(ours, structures, [2])
        database = aselmdb.LMDBDatabase(theirs)
        for atoms in structures:
            database.write(atoms, data=atoms.info)
        database.delete([2])
        database.close()
        assert index_structures(theirs).n_atoms.tolist() == [1, 3, 4, 5, 1, 2]
        assert frames_at(theirs, range(N - 1)) == frames_at(ours, range(N - 1))

    def test_pickles_are_refused_and_never_opened(self, tmp_path):
        path = tmp_path / "a.lmdb"
        bomb = pickle.dumps(Bomb(str(tmp_path / "exploded")))
        with (
            self.lmdb.open(str(path), subdir=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.put(b"0", bomb)
            transaction.put(b"length", pickle.dumps(1))
        with pytest.raises(FormatError, match="holds pickled objects") as caught:
            index_structures(path)
        assert "--allow-pickle does not" in str(caught.value)
        write_aselmdb(tmp_path / "b.aselmdb", rich_structures(2))
        with self.lmdb.open(str(tmp_path / "b.aselmdb"), subdir=False) as environment:
            with environment.begin(write=True) as transaction:
                transaction.put(b"2", bomb)
        with pytest.raises(FormatError, match="holds pickled objects"):
            index_structures(tmp_path / "b.aselmdb")
        assert not (tmp_path / "exploded").exists()

    def test_lmdb_of_another_program_is_refused(self, tmp_path):
        path = tmp_path / "a.lmdb"
        with (
            self.lmdb.open(str(path), subdir=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.put(b"apple", b"red")
        with pytest.raises(FormatError, match="LMDB file is not an ASE database") as caught:
            index_structures(path)
        assert caught.value.got == "keys b'apple'"

    def test_row_that_is_absent(self, tmp_path):
        path = tmp_path / "a.aselmdb"
        write_aselmdb(path, rich_structures(3))
        with (
            self.lmdb.open(str(path), subdir=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            transaction.delete(b"2")
        with pytest.raises(InputFileError, match="row is absent") as caught:
            index_structures(path)
        assert caught.value.expected == "a row of id 2"

    def test_file_is_let_go(self, tmp_path):
        path = tmp_path / "a.aselmdb"
        write_aselmdb(path, rich_structures(3))
        reading = read_frames(path, [0, 1], [-1, -1])
        next(reading)
        with pytest.raises(self.lmdb.Error, match="already open"):
            self.lmdb.open(str(path), subdir=False)
        reading.close()
        self.lmdb.open(str(path), subdir=False).close()

    def test_without_the_package(self, tmp_path, monkeypatch):
        path = tmp_path / "a.aselmdb"
        write_aselmdb(path, rich_structures(1))
        monkeypatch.setitem(sys.modules, "lmdb", None)
        with pytest.raises(RequestError, match="package lmdb") as caught:
            index_structures(path)
        assert caught.value.remedy == 'pip install "prcli[lmdb]"'


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


@pytest.mark.parametrize("fixed_cell", [True, False])
def test_xdatcar_is_cut_into_what_ase_reads(tmp_path, fixed_cell):
    path = tmp_path / "XDATCAR"
    write_xdatcar(path, crystals(5), fixed_cell=fixed_cell)
    assert path.read_text().count("Na") == (1 if fixed_cell else 5)
    whole = expected_frames(read(path, index=":", format="vasp-xdatcar"))
    assert index_structures(path).n_atoms.tolist() == [8] * 5
    assert frames_at(path, [3, 0, 4, 0]) == [whole[i] for i in (3, 0, 4, 0)]


def test_xdatcar_is_not_read_as_a_whole(tmp_path, monkeypatch):
    import ase.io

    path = tmp_path / "XDATCAR"
    write_xdatcar(path, crystals(5))
    lengths = []
    read_it = ase.io.read

    def watched(source: StringIO, **options: object) -> object:
        lengths.append(len(source.getvalue()))
        return read_it(source, **options)

    monkeypatch.setattr(ase.io, "read", watched)
    index_structures(path)
    assert lengths == []
    frames_at(path, [4])
    assert max(lengths) < path.stat().st_size / 3


@pytest.mark.parametrize("n_lines", [1, 4])
def test_xdatcar_that_was_cut_short(tmp_path, n_lines):
    path = tmp_path / "XDATCAR"
    write_xdatcar(path, crystals(3))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-n_lines]))
    with pytest.raises(InputFileError, match="last structure is truncated") as caught:
        index_structures(path)
    assert caught.value.where == f"{path}, frame 2"
    assert caught.value.got == f"{8 - n_lines} lines, and the end of the file"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("POSCAR", "vasp"), ("x.cif", "cif"), ("x.vasp", None), ("XDATCAR.gz", "vasp-xdatcar")],
)
def test_formats_that_ase_tells_by_name(tmp_path, name, kind):
    path = tmp_path / name
    if kind is None:
        write(path, crystals(1)[0], format="vasp")
        with pytest.raises(FormatError, match="not a file of structures in a known format"):
            index_structures(path)
        return
    write(path, crystals(1), format=kind)
    assert file_kind(path) == "structures"
    (atoms,) = read(path, index=":")
    assert index_structures(path).n_atoms.tolist() == [8]
    assert frames_at(path, [0]) == expected_frames([atoms])
    assert as_atoms(frames_at(path, [0])[0]).positions.tobytes() == atoms.positions.tobytes()


def test_cif_of_several_blocks_in_any_order(tmp_path):
    path = tmp_path / "x.cif"
    write(path, crystals(4))
    whole = expected_frames(read(path, index=":"))
    assert len(index_structures(path)) == 4
    assert frames_at(path, [2, 0, 0]) == [whole[i] for i in (2, 0, 0)]
    with pytest.raises(InputFileError, match="structure is not where it was"):
        frames_at(path, [1, 4])


def test_pass_stops_after_the_last_structure_that_is_wanted(tmp_path, monkeypatch):
    import ase.io

    path = tmp_path / "x.cif"
    write(path, crystals(4))
    read_so_far = []

    def counting(*_: object, **__: object) -> object:
        for atoms in crystals(4):
            read_so_far.append(atoms)
            yield atoms

    monkeypatch.setattr(ase.io, "iread", counting)
    frames_at(path, [0, 1])
    assert len(read_so_far) == 2


def test_name_with_an_at_sign(tmp_path):
    path = tmp_path / "x@1.cif"
    write(tmp_path / "x.cif", crystals(3))
    shutil.move(tmp_path / "x.cif", path)
    assert len(index_structures(path)) == 3


@pytest.mark.parametrize("name", ["mysql_x.cif", "postgres.cif", "mariadb.cif"])
def test_names_of_servers_are_not_called(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write("x.cif", crystals(2))
    shutil.move("x.cif", name)
    assert len(index_structures(name)) == 2


def test_extxyz_goes_by_its_first_line_whatever_its_name(tmp_path):
    frames = expected_frames(rich_structures(3))
    path = tmp_path / "POSCAR"
    path.write_bytes(b"".join(frames))
    assert find_format(path) is None
    index = index_structures(path)
    assert index.offset.tolist() == index_frames(path).offset.tolist()
    assert list(read_frames(path, [2, 0], index.offset[[2, 0]])) == [frames[2], frames[0]]
    assert frames_at(path, [1]) == [frames[1]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", b"", "file holds no structures"),
        ("a.xyz", b"\n\n", "file holds no structures"),
        ("a.xyz", b"hello\n", "not an extxyz file"),
        ("a.txt", b"hello\n", "not a file of structures in a known format"),
        ("a.npy", b"\x93NUMPY\x01\x00", "not a file of structures in a known format"),
    ],
)
def test_what_is_no_structure_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        index_structures(path)


def test_unknown_format_lists_what_was_tried(tmp_path):
    path = tmp_path / "notes.text"
    path.write_text("some text\n")
    with pytest.raises(FormatError) as caught:
        index_structures(path)
    for word in ("extxyz", "ASE trajectory", "SQLite", "LMDB", "formats that ASE tells"):
        assert word in str(caught.value.expected)
    assert caught.value.got == "a file that begins with 'some text'"
    assert file_kind(path) == "unknown"


def test_wrong_content_under_a_name_of_a_format(tmp_path):
    path = tmp_path / "POSCAR"
    path.write_text("some text\n")
    with pytest.raises(InputFileError, match="structures cannot be read") as caught:
        index_structures(path)
    assert "VASP POSCAR" in str(caught.value.expected)


def test_reason_of_a_reader_that_says_nothing_is_one_line(tmp_path):
    path = tmp_path / "x.cif"
    path.write_text("some text\n")
    with pytest.raises(InputFileError, match="structures cannot be read") as caught:
        index_structures(path)
    assert "CIF-file (told by the name)" in str(caught.value.expected)
    # What the parser asserts: it raises without a word.
    assert re.fullmatch("AssertionError: assert .+", str(caught.value.got))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("README.md", "CASTEP molecular dynamics file"),
        ("README.md.gz", "CASTEP molecular dynamics file"),
        ("notes.pdb", "Protein Data Bank"),
    ],
)
def test_text_in_which_a_reader_finds_no_structure(tmp_path, name, title):
    path = tmp_path / name
    text = b"# My data\n\nStructures of carbon.\n"
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(FormatError, match="not a file of structures") as caught:
        index_structures(path)
    assert "extxyz, which begins with a number of atoms" in str(caught.value.expected)
    assert f"by its name it would be: {title}" in str(caught.value.expected)
    assert caught.value.got == "a file that begins with '# My data', and no structure in it"
    assert "name the file that holds the structures" in str(caught.value.remedy)


def test_database_without_rows(tmp_path):
    path = tmp_path / "a.db"
    WRITERS[".db"](path, rich_structures(1))
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM systems")
    connection.close()
    with pytest.raises(FormatError, match="file holds no structures") as caught:
        index_structures(path)
    assert caught.value.got == "none, read as ASE database (SQLite)"


def test_compressed_trajectory_is_refused(tmp_path):
    path = tmp_path / "a.traj.gz"
    write_trajectory(tmp_path / "a.traj", rich_structures(2))
    path.write_bytes(gzip.compress((tmp_path / "a.traj").read_bytes()))
    with pytest.raises(FormatError, match="a compressed ASE trajectory") as caught:
        index_structures(path)
    assert caught.value.remedy == "decompress it first"


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputFileError, match="No such file"):
        index_structures(tmp_path / "absent.traj")
    (tmp_path / "x.cif").mkdir()
    with pytest.raises(InputFileError, match=r"file cannot be read(.*\n)+.*name a file$"):
        index_structures(tmp_path / "x.cif")
    (tmp_path / "x.cif" / "data.0000.aselmdb").touch()
    with pytest.raises(InputFileError, match=r"got: +a folder\n.*x\.cif/\*\.aselmdb$"):
        index_structures(tmp_path / "x.cif")


def test_package_that_a_format_needs(tmp_path, monkeypatch):
    import ase.io

    def failing(*_: object, **__: object) -> object:
        raise ModuleNotFoundError("No module named 'netCDF4'")
        yield

    path = tmp_path / "a.nc"
    path.write_bytes(b"CDF\x01")
    monkeypatch.setattr(ase.io, "iread", failing)
    with pytest.raises(RequestError, match="a package that is needed") as caught:
        index_structures(path)
    assert "netCDF4" in str(caught.value.got)


def test_index_says_what_it_reads(foreign, caplog):
    with caplog.at_level("INFO", logger="prcli"):
        index_structures(foreign)
    assert f"{foreign}: ASE" in caplog.text
    assert f"{N} structures, read through ASE" in caplog.text
