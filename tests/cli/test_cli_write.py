"""``prcli select --write``: what other programs read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from builders import split_frames, write_frames

from prcli.data.tables import read_table
from prcli.workflows.mace_writer import MaceWriter
from prcli.workflows.write_options import WriteOptions

pytestmark = pytest.mark.usefixtures("workplace")

SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5", "-n", "4")


def frame(symbols="CO", comment="energy=-1.5", force="1.0 2.0 3.0", config=""):
    lines = [f"{s} 0.0 0.0 {i} {force}" for i, s in enumerate(symbols)]
    head = f"Properties=species:S:1:pos:R:3:forces:R:3 {comment} {config}".rstrip()
    return "\n".join([str(len(symbols)), head, *lines, ""]).encode()


def mace(folder, frames, **options):
    """Write frames for MACE; give the file and the options."""
    writer = MaceWriter(WriteOptions(("mace",), **options))
    writer.write(folder, "out/", ((f"frame {i}", each) for i, each in enumerate(frames)))
    name = {"replay": "mace_replay.xyz", "finetune": "mace_train.xyz"}
    path = folder / name[options.get("mace_role", "replay")]
    return path.read_bytes(), (folder / "mace.yaml").read_text()


def test_indices_are_file_and_frame(prcli):
    assert prcli("select", *SETS, "-o", "out", "--write", "indices").code == 0
    table = read_table("out/selection.tsv")
    expected = [f"{s}\t{f}" for s, f in zip(table["source"], table["frame"], strict=True)]
    assert Path("out/indices.tsv").read_text().splitlines() == expected


def test_metatrain_reads_indices_with_loadtxt(prcli):
    outcome = prcli("select", *SETS, "-o", "out", "--write", "metatrain", "--write", "indices")
    assert outcome.code == 0
    frames = read_table("out/selection.tsv")["frame"]
    found = np.loadtxt("out/metatrain_indices_0.txt", dtype=int)
    assert found.tolist() == [int(i) for i in frames]
    text = Path("out/metatrain.yaml").read_text()
    assert 'read_from: "pool.xyz"' in text
    assert 'indices: "out/metatrain_indices_0.txt"' in text
    assert "forces: false" in text


def test_every_structure_file_has_its_own_indices(prcli):
    sets = ("--train", "target.h5", "--target", "target.h5", "--pool", "train.h5")
    every = prcli(
        "select", *sets, "--pool", "pool.h5", "-n", "14", "-o", "out", "--write", "metatrain"
    )
    assert every.code == 0
    table = read_table("out/selection.tsv")
    text = Path("out/metatrain.yaml").read_text()
    for number, source in enumerate(("train.xyz", "pool.xyz")):
        expected = [
            int(f) for s, f in zip(table["source"], table["frame"], strict=True) if s == source
        ]
        assert np.loadtxt(f"out/metatrain_indices_{number}.txt", dtype=int).tolist() == expected
        assert text.index(source) < text.index(f"metatrain_indices_{number}.txt")


def test_mace_gets_its_keys_and_nothing_else_changes(tmp_path):
    frames = [frame(), frame(comment='stress="1 0 0 0 1 0 0 0 1" energy=2')]
    content, text = mace(tmp_path, frames)
    lines = content.decode().splitlines()
    assert lines[1].endswith("energy=-1.5 REF_energy=-1.5")
    assert lines[2] == "C 0.0 0.0 0 1.0 2.0 3.0 1.0 2.0 3.0"
    assert lines[5].endswith('energy=2 REF_energy=2 REF_stress="1 0 0 0 1 0 0 0 1"')
    assert text.splitlines()[-4:] == [
        'pt_train_file: "out/mace_replay.xyz"',
        'energy_key: "REF_energy"',
        'forces_key: "REF_forces"',
        'stress_key: "REF_stress"',
    ]


def test_frames_that_have_the_keys_are_copied_byte_for_byte(tmp_path):
    frames = [frame().replace(b"energy", b"REF_energy").replace(b"forces", b"REF_forces")] * 2
    assert mace(tmp_path, frames)[0] == b"".join(frames)


def test_ase_reads_what_mace_would(tmp_path):
    from ase.io import read

    options = {"mace_keys": (("energy", "E"), ("forces", "F")), "mace_role": "finetune"}
    mace(tmp_path, [frame(config="config_weight=3 head=old")], mace_weight=0.25, **options)
    atoms = read(tmp_path / "mace_train.xyz")
    assert atoms.info["E"] == -1.5
    np.testing.assert_array_equal(atoms.arrays["F"], [[1, 2, 3], [1, 2, 3]])
    assert atoms.info["config_weight"] == 0.25
    assert atoms.info["head"] == "old"
    mace(tmp_path, [frame(config="config_weight=3 head=old")], mace_head="pt")
    atoms = read(tmp_path / "mace_replay.xyz")
    assert (atoms.info["config_weight"], atoms.info["head"]) == (3, "pt")


def test_frames_without_references_are_counted(tmp_path, caplog):
    bare = b"1\nProperties=species:S:1:pos:R:3\nC 0 0 0\n"
    content, text = mace(tmp_path, [frame(), bare])
    assert content.endswith(bare)
    assert "1 of 2 frames have neither REF_energy nor energy" in caplog.text
    assert "1 of 2 frames have neither REF_forces nor forces" in caplog.text
    assert "stress_key" not in text


def test_e0s_of_what_is_trained_on_are_looked_for(tmp_path, caplog):
    atom = frame("C", config="config_type=IsolatedAtom")
    mace(tmp_path, [frame("CO"), atom], mace_role="finetune")
    assert "no isolated atom (config_type=IsolatedAtom) of O," in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "prcli"):
        mace(tmp_path, [frame("CO"), atom])
    assert "foundation model" in caplog.text


def test_a_key_that_is_there_already_stays(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "prcli"):
        content, _ = mace(tmp_path, [frame(comment="energy=1 REF_energy=2")])
    assert content.count(b"REF_energy") == 1
    assert "1 frames have REF_energy already" in caplog.text


def test_the_selection_for_mace_has_the_picked_frames_in_order(prcli):
    outcome = prcli("select", *SETS, "-o", "out", "--write", "mace", "--mace-keys", "energy=E")
    assert outcome.code == 0
    frames = split_frames(Path("out/mace_replay.xyz").read_bytes())
    plain = split_frames(Path("out/selected.xyz").read_bytes())
    assert len(frames) == len(plain) == 4
    for written, picked in zip(frames, plain, strict=True):
        assert written.split(b"\n")[1].startswith(picked.split(b"\n")[1])
        assert written.split(b"\n")[2:] == picked.split(b"\n")[2:]


def test_a_result_with_such_files_can_be_replaced(prcli):
    everything = ("--write", "mace", "--write", "metatrain", "--write", "indices")
    assert prcli("select", *SETS, "-o", "out", *everything).code == 0
    assert prcli("select", *SETS, "-o", "out", "--overwrite").code == 0
    assert not {"mace.yaml", "metatrain.yaml", "indices.tsv"} & set(os.listdir("out"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--write", "mace"), "-o DIR"),
        (("--write", "mace", "-o", "-"), "-o DIR"),
        (("--write", "pickle", "-o", "out"), "pickle"),
        (("--mace-weight", "2", "-o", "out"), "--write mace"),
        (("--write", "mace", "--mace-keys", "energy", "-o", "out"), "no list"),
    ],
)
def test_usage(prcli, arguments, said):
    outcome = prcli("select", *SETS, *arguments)
    assert outcome.code == 2
    assert said in outcome.err


def test_metatrain_cannot_read_what_came_through_a_pipe(prcli):
    sets = [*SETS[:-3], "-", "-n", "4"]
    outcome = prcli("select", *sets, "-o", "out", "--write", "metatrain")
    assert outcome.code == 1
    assert "write the pool to a file first" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mace-keys", "charge=q"), "charge"),
        (("--mace-weight", "-1"), "--mace-weight"),
        (("--mace-keys", "energy=my energy"), "my energy"),
        (("--mace-keys", "forces=pos"), "a name that is taken"),
        (("--mace-keys", "energy=REF_stress"), "a name that is taken"),
        (("--mace-head", " "), "--mace-head"),
    ],
)
def test_bad_values_are_refused_and_nothing_is_written(prcli, arguments, said):
    write_frames(Path("pool.xyz"), split_frames(Path("pool.xyz").read_bytes()))
    outcome = prcli("select", *SETS, "-o", "out", "--write", "mace", *arguments)
    assert outcome.code == 1
    assert said in outcome.err
    assert not Path("out").exists()
