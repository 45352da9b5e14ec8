from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from foreign_structures import WRITERS, rich_structures, write_trajectory

from prcli.data.atoms_frame import write_frame
from prcli.data.conversion_notes import ConversionNotes
from prcli.data.dataset import Dataset, Part
from prcli.data.provenance import file_digest
from prcli.data.store import open_store
from prcli.data.structure_file import read_frames
from prcli.errors import FormatError, InputFileError, MismatchError
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.features_compute import compute_features
from prcli.workflows.features_import import import_features
from prcli.workflows.frames import Frames
from prcli.workflows.import_request import ImportRequest
from prcli.workflows.info import describe
from prcli.workflows.inputs import InputOptions, open_input
from prcli.workflows.structure_columns import StructureColumns

N = 9
STRUCTURES = rich_structures(N)
COUNTS = [len(atoms) for atoms in STRUCTURES]
HERE = Path(__file__).stem


def positions(structures):
    """Features that are easy to check."""
    return [np.array(structure.positions) for structure in structures]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("means.npy", np.random.default_rng(0).normal(size=(N, 3)))
    return tmp_path


@pytest.fixture(params=WRITERS)
def pool(request):
    """The name of a file in each of the formats."""
    if request.param == ".aselmdb":
        pytest.importorskip("lmdb")
    name = f"pool{request.param}"
    WRITERS[request.param](Path(name), STRUCTURES)
    return name


def imported(name: str = "pool.traj", **options: object) -> Dataset:
    request = {"features": "means.npy", "convention": "mean"} | options
    import_features(ImportRequest(name, "o.h5", overwrite=True, **request))
    return opened()


def opened() -> Dataset:
    store = open_store("o.h5")
    return Dataset([Part(store, range(store.n_structures))], "pool")


def test_store_remembers_file_and_frames(pool):
    with imported(pool) as data:
        table = data.parts[0].table
        assert table.n_atoms.tolist() == COUNTS
        assert table.species.tolist() == np.concatenate([a.numbers for a in STRUCTURES]).tolist()
        source = table.source
    assert source.typed == (pool,)
    assert source.files[0].size == os.path.getsize(pool)
    assert source.files[0].digest == file_digest(pool)
    assert source.frame.tolist() == list(range(N))
    assert source.offset.tolist() == [-1] * N


def test_slices(pool):
    np.save("means.npy", np.ones((3, 2)))
    with imported(f"{pool}@::-4") as data:
        assert data.n_atoms.tolist() == COUNTS[::-4]
        assert data.parts[0].table.source.frame.tolist() == [8, 4, 0]
        assert [int(f.split(b"\n")[0]) for f in Frames(data).read([0, 2])] == [COUNTS[8], COUNTS[0]]


def test_features_are_computed_as_from_extxyz(pool):
    Path("copy.xyz").write_bytes(b"".join(read_frames(pool, range(N), np.full(N, -1))))
    stores = []
    for name in (pool, "copy.xyz"):
        compute_features(ComputeRequest(f"python:{HERE}:positions", name, f"{name}.h5"))
        with open_store(f"{name}.h5") as store:
            stores.append((store.content_digest, store.atoms.read(0, sum(COUNTS)).tobytes()))
    assert stores[0] == stores[1]
    assert stores[0][1] == np.concatenate(positions(STRUCTURES)).tobytes()


def test_features_within_the_structures(pool):
    with imported(pool, features=None, feature_key="weights") as data:
        rows = data.parts[0].table.structures.read(0, N)
    assert rows.tolist() == [atoms.info["weights"].tolist() for atoms in STRUCTURES]


def test_features_within_the_structures_on_the_way(pool):
    options = InputOptions(feature_key="forces")
    with open_input([f"{pool}@1:4"], "pool", options) as data:
        rows = data.parts[0].table.atoms.read(0, sum(COUNTS[1:4]))
        frames = list(Frames(data).read([2]))
    forces = [atoms.calc.results["forces"] for atoms in STRUCTURES[1:4]]
    assert rows.tolist() == np.concatenate(forces).tolist()
    assert frames == list(read_frames(pool, [3], [-1]))


def test_keys_are_columns_to_filter_by(pool):
    with imported(pool) as data:
        columns = StructureColumns(data, lambda: Frames(data))
        columns.fetch(["count", "config_type", "energy", "volume", "n_C"])
        assert columns["count"].tolist() == list(range(N))
        assert columns["config_type"][:2].tolist() == ["surface slab", "bulk"]
        assert columns["energy"].tolist() == [a.calc.results["energy"] for a in STRUCTURES]
        np.testing.assert_allclose(columns["volume"][1], STRUCTURES[1].cell.volume, rtol=1e-12)
        assert columns["n_C"].tolist() == [a.symbols.count("C") for a in STRUCTURES]


def test_reading_says_nothing_and_copying_says_what_was_converted(pool, caplog):
    with imported(pool) as data:
        frames = Frames(data)
        list(frames.read([3, 1]))
        assert "converted" not in caplog.text
        copied = list(frames.copy([3, 1]))
        assert "converted" not in caplog.text
        frames.say_converted()
        frames.say_converted()
    assert copied == list(read_frames(pool, [3, 1], [-1, -1]))
    (record,) = [r for r in caplog.records if "converted" in r.getMessage()]
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"2 structures of {pool} (ASE ")
    assert "converted to extxyz through ASE, not copied byte for byte" in record.getMessage()


def test_copies_of_extxyz_are_not_called_converted(caplog):
    write_trajectory(Path("pool.traj"), STRUCTURES)
    content = b"".join(write_frame(atoms, ConversionNotes()) for atoms in STRUCTURES)
    Path("pool.xyz").write_bytes(content)
    with imported("pool.xyz") as data:
        frames = Frames(data)
        list(frames.copy([0]))
        frames.say_converted()
    assert "converted" not in caplog.text


def test_structures_of_two_formats_in_turn(caplog):
    write_trajectory(Path("pool.traj"), STRUCTURES)
    WRITERS[".db"](Path("pool.db"), STRUCTURES)
    for name in ("pool.traj", "pool.db"):
        import_features(ImportRequest(name, f"{name}.h5", "means.npy", convention="mean"))
    with open_input(["pool.traj.h5", "pool.db.h5"], "pool") as data:
        found = Frames(data)
        frames = list(found.copy([0, N, 1, N + 1, 2]))
        found.say_converted()
    traj, db = (list(read_frames(f"pool.{e}", range(N), [-1] * N)) for e in ("traj", "db"))
    assert frames == [traj[0], db[0], traj[1], db[1], traj[2]]
    assert "3 structures of pool.traj" in caplog.text
    assert "2 structures of pool.db" in caplog.text


def test_file_that_has_changed(pool):
    with imported(pool) as data:
        WRITERS[Path(pool).suffix](Path("other" + Path(pool).suffix), STRUCTURES[:4])
        shutil.copy("other" + Path(pool).suffix, pool)
        with open(pool, "ab") as file:
            file.write(b" ")
        with pytest.raises(InputFileError, match="has changed since its features were imported"):
            Frames(data)


def test_another_file_in_place_of_that_of_the_store(pool):
    with imported(pool) as data:
        write_trajectory(Path("other.traj"), STRUCTURES)
        expected = list(read_frames("other.traj", [4], [-1]))
        assert list(Frames(data, ["other.traj"]).read([4])) == expected
        Path("other.xyz").write_bytes(b"".join(read_frames(pool, range(N), [-1] * N)))
        assert list(Frames(data, ["other.xyz"]).read([4])) == list(read_frames(pool, [4], [-1]))


def test_another_file_that_does_not_fit(pool):
    write_trajectory(Path("short.traj"), STRUCTURES[:5])
    write_trajectory(Path("other.traj"), [*STRUCTURES[:8], STRUCTURES[0]])
    Path("notes.text").write_text("nothing\n")
    with imported(pool) as data:
        with pytest.raises(MismatchError, match="fewer frames"):
            Frames(data, ["short.traj"])
        with pytest.raises(MismatchError, match="another number of atoms") as caught:
            Frames(data, ["other.traj"])
        assert caught.value.where == "other.traj, frame 8"
        with pytest.raises(FormatError, match="not a file of structures"):
            Frames(data, ["notes.text"])


def test_counts_are_checked_where_nothing_is_known_of_the_file():
    write_trajectory(Path("pool.traj"), STRUCTURES)
    imported().close()
    import h5py

    with h5py.File("o.h5", "r+") as file:
        for name in ("size", "mtime_ns", "digest"):
            del file["source"][name]
    write_trajectory(Path("pool.traj"), STRUCTURES[::-1])
    with opened() as data, pytest.raises(MismatchError, match="another number of atoms"):
        list(Frames(data).read([0]))


def test_where_needs_one_pass_over_a_file_that_is_read_in_passes(monkeypatch):
    import ase.io

    from prcli.data import ase_file

    ase.io.write("pool.cif", [atoms for atoms in STRUCTURES if all(atoms.pbc)])
    structures = read("pool.cif", index=":")
    np.save("means.npy", np.ones((len(structures), 2)))
    with imported("pool.cif") as data:
        passes = []
        begin = ase_file.AseFile._open
        monkeypatch.setattr(ase_file.AseFile, "_open", lambda self: passes.append(1) or begin(self))
        columns = StructureColumns(data, lambda: Frames(data))
        columns.fetch(["volume", "unit_cell"])
    assert len(passes) == 1
    volumes = [atoms.cell.volume for atoms in structures]
    np.testing.assert_allclose(columns["volume"], volumes, rtol=1e-12)
    assert set(columns["unit_cell"]) == {"conventional"}


def test_info_describes_the_file(pool):
    facts = dict(describe(pool))
    assert facts["kind"] == "structures"
    assert facts["n_structures"] == str(N)
    assert facts["n_atoms"] == str(sum(COUNTS))
    assert facts["largest"] == "5"
    assert facts["digest"] == file_digest(pool)
