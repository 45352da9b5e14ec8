from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.io import read, write
from builders import split_frames, write_store
from foreign_structures import WRITERS, rich_structures, write_trajectory

from prcli.data.structure_file import read_frames
from prcli.errors import OutputError
from prcli.workflows import selection_output

N = 8
SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")
CONVERTED = "converted to extxyz through ASE, not copied byte for byte"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(Path("train.h5"), 6, seed=1)
    write_store(Path("target.h5"), 4, seed=2)
    np.save("f.npy", np.random.default_rng(3).normal(size=(N, 3)) + 0.3)
    return tmp_path


@pytest.fixture(params=WRITERS)
def pool(request, prcli):
    """The name of a file of structures, imported as ``pool.h5``."""
    if request.param == ".aselmdb":
        pytest.importorskip("lmdb")
    name = f"pool{request.param}"
    WRITERS[request.param](Path(name), rich_structures(N))
    assert import_pool(prcli, name).code == 0
    return name


def import_pool(prcli, name):
    return prcli(
        "features", "import", name, "--features", "f.npy", "--convention", "mean", "-o", "pool.h5"
    )


def frames_at(name: str, numbers: list[int]) -> list[bytes]:
    return list(read_frames(name, numbers, [-1] * len(numbers)))


def test_picks_are_written_as_extxyz(prcli, pool):
    outcome = prcli("select", *SETS, "-n", "3", "-o", "out")
    assert outcome.code == 0, outcome.err
    report = json.loads(Path("out/report.json").read_text())
    picks = [pick["frame"] for pick in report["picks"]]
    assert Path("out/selected.xyz").read_bytes() == b"".join(frames_at(pool, picks))
    assert {pick["source"] for pick in report["picks"]} == {pool}
    for found, i in zip(read("out/selected.xyz", index=":"), picks, strict=True):
        atoms = rich_structures(N)[i]
        assert found.positions.tobytes() == atoms.positions.tobytes()
        assert found.info.keys() == atoms.info.keys()
        assert found.info["serial"] == f"{i:03d}"
        assert found.calc.results.keys() == atoms.calc.results.keys()
        assert found.arrays.keys() == atoms.arrays.keys()


def test_what_was_converted_is_said(prcli, pool):
    for quiet in ([], ["-q"]):
        outcome = prcli("select", *SETS, "-n", "3", "-o", "-", *quiet)
        assert f"warning: 3 structures of {pool} (ASE " in outcome.err
        assert CONVERTED in outcome.err
        assert len(split_frames(outcome.out)) == 3
    outcome = prcli("select", *SETS, "-n", "3")
    assert CONVERTED not in outcome.err


def test_conversion_is_not_spoken_of_before_the_output_is_there(prcli, monkeypatch):
    def fails(*given):
        raise OutputError("disk is full")

    write_trajectory(Path("pool.traj"), rich_structures(N))
    assert import_pool(prcli, "pool.traj").code == 0
    monkeypatch.setattr(selection_output, "report", fails)
    outcome = prcli("select", *SETS, "-n", "3", "-o", "out")
    assert outcome.code == 1
    assert "disk is full" in outcome.err
    assert CONVERTED not in outcome.err
    assert not Path("out").exists()


def test_annotation_adds_two_keys_and_nothing_else(prcli, pool):
    plain = split_frames(prcli("select", *SETS, "-n", "3", "-o", "-").out)
    annotated = split_frames(prcli("select", *SETS, "-n", "3", "-o", "-", "--annotate").out)
    for rank, (one, other) in enumerate(zip(plain, annotated, strict=True), start=1):
        line, other_line = one.split(b"\n")[1], other.split(b"\n")[1]
        assert other_line.startswith(line + b" prcli_rank=%d prcli_gain=" % rank)
        assert one.replace(line, b"", 1) == other.replace(other_line, b"", 1)


def test_where_reads_keys_of_the_structures(prcli, pool):
    condition = "config_type == 'bulk' and count < 6 and ok"
    outcome = prcli("select", *SETS, "-n", "3", "--where", condition)
    assert outcome.code == 0, outcome.err
    assert sorted(outcome.column("frame")) == ["1", "3", "5"]


def test_scored_structures_are_converted(prcli, pool):
    assert prcli("hessian", "train.h5", "-o", "t.hessian").code == 0
    outcome = prcli("score", "t.hessian", "pool.h5", "--write", "scored.xyz", "--order", "file")
    assert outcome.code == 0, outcome.err
    assert f"warning: {N} structures of {pool} (ASE " in outcome.err
    assert CONVERTED in outcome.err
    scored = read("scored.xyz", index=":")
    assert [atoms.info["prcli_pr"] for atoms in scored] == list(map(float, outcome.column("pr")))
    assert [atoms.info["count"] for atoms in scored] == list(range(N))


def test_slice_of_a_pool(prcli):
    write_trajectory(Path("pool.traj"), rich_structures(N))
    np.save("f.npy", np.load("f.npy")[::3])
    assert import_pool(prcli, "pool.traj@::3").code == 0
    outcome = prcli("select", *SETS, "-n", "3")
    assert sorted(outcome.column("frame")) == ["0", "3", "6"]
    assert set(outcome.column("source")) == {"pool.traj"}


def test_import_says_what_the_file_is(prcli):
    write_trajectory(Path("pool.traj"), rich_structures(N))
    outcome = import_pool(prcli, "pool.traj")
    assert f"pool.traj: ASE trajectory, {N} structures, read through ASE" in outcome.err
    outcome = prcli("info", "pool.traj")
    assert ["pool.traj", "n_structures", str(N)] in outcome.table


def test_trajectory_on_standard_input(prcli):
    write_trajectory(Path("pool.traj"), rich_structures(N))
    outcome = prcli(
        "features", "import", "-", "--features", "f.npy", "--convention", "mean", "-o", "pool.h5",
        stdin=Path("pool.traj").read_bytes(),
    )  # fmt: skip
    assert outcome.code == 0, outcome.err


def test_constraints_that_are_dropped_are_said(prcli):
    structures = rich_structures(N)
    for atoms in structures[:4]:
        atoms.set_constraint(FixAtoms([0]))
    write_trajectory(Path("pool.traj"), structures)
    import_pool(prcli, "pool.traj")
    outcome = prcli("select", *SETS, "-n", str(N), "-o", "-")
    assert "constraints of 4 left out" in outcome.err
    assert b"move_mask" not in outcome.out


@pytest.mark.parametrize(("name", "kind"), [("XDATCAR", "vasp-xdatcar"), ("pool.cif", "cif")])
def test_formats_of_other_programs(prcli, name, kind):
    crystal = bulk("NaCl", "rocksalt", a=5.64)
    structures = []
    for i in range(N):
        crystal.rattle(0.1, seed=i)
        structures.append(crystal.copy())
    write(name, structures, format=kind)
    assert import_pool(prcli, name).code == 0
    outcome = prcli("select", *SETS, "-n", "3", "-o", "-")
    assert outcome.code == 0, outcome.err
    assert f"3 structures of {name}" in outcome.err
    table = prcli("select", *SETS, "-n", "3")
    in_file = read(name, index=":", format=kind)
    picked = read(StringIO(outcome.out.decode()), index=":", format="extxyz")
    for atoms, frame in zip(picked, table.column("frame"), strict=True):
        assert atoms.positions.tobytes() == in_file[int(frame)].positions.tobytes()


def test_single_structure_of_vasp(prcli):
    write("POSCAR", bulk("NaCl", "rocksalt", a=5.64), format="vasp")
    np.save("f.npy", np.ones((1, 3)))
    assert import_pool(prcli, "POSCAR").code == 0
    frame = prcli("select", *SETS, "-n", "1", "-o", "-").out.decode()
    assert frame.splitlines()[1].startswith('Lattice="0.0 2.82 2.82 2.82 0.0 2.82 ')
    assert [line.split()[0] for line in frame.splitlines()[2:]] == ["Na", "Cl"]


def test_unknown_format_is_refused(fails):
    Path("pool.text").write_text("some text\n")
    message = fails(
        "features", "import", "pool.text", "--features", "f.npy", "--convention", "mean", "-o", "o"
    )
    assert "not a file of structures in a known format" in message
    assert "formats that ASE tells by their content or name" in message


def test_structures_without_features_are_told_from_unknown_files(fails):
    write_trajectory(Path("pool.traj"), rich_structures(N))
    assert "structures but no features" in fails("hessian", "pool.traj", "-o", "h")
