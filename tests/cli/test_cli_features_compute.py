from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from atoms_builder import count_atoms, structures_of, write_xyz

from prcli.workflows import compute_batches

STRUCTURES = structures_of(6, seed=2, symbols=("H", "C"))
COUNTS = count_atoms(STRUCTURES)
CONFIGS = Path(__file__).parents[2] / "configs"
FUNCTION = f"python:{__name__}:positions"

#: How often the function below was called, and what happens then.
state = {"calls": 0, "signal_at": 0, "signal": 0}


def positions(structures, width=3):
    """Features that need no package, by a function that can be stopped."""
    state["calls"] += 1
    if state["calls"] == state["signal_at"]:
        signal.raise_signal(state["signal"])
        time.sleep(0.2)  # the handler runs in the main thread
    return [structure.positions[:, :width] for structure in structures]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    write_xyz(Path("s.xyz"), STRUCTURES)
    state.update(calls=0, signal_at=0)
    return tmp_path


@pytest.fixture
def computes(prcli):
    def run(*arguments, output="o.h5", stdin=b""):
        outcome = prcli("features", "compute", *arguments, "-o", output, stdin=stdin)
        assert outcome.code == 0, outcome.err
        assert outcome.out == b""
        return outcome

    return run


@pytest.fixture
def refuses(fails):
    def run(*arguments, code=1):
        before = sorted(Path().iterdir())
        message = fails("features", "compute", *arguments, "-o", "o.h5", code=code)
        assert sorted(Path().iterdir()) == before
        return message

    return run


def rows_of(path, name="atoms/features"):
    with h5py.File(path) as file:
        return file[name][...]


def test_a_python_function(computes):
    outcome = computes(FUNCTION, "s.xyz")
    expected = np.concatenate([structure.positions for structure in STRUCTURES])
    np.testing.assert_array_equal(rows_of("o.h5"), expected)
    for text in ("o.h5: 6 structures", f"{COUNTS.sum()} atoms", "3 features", "float64"):
        assert text in outcome.err


def test_structures_on_stdin(computes):
    computes(FUNCTION, "-", stdin=Path("s.xyz").read_bytes())
    computes(FUNCTION, "s.xyz", output="p.h5")
    np.testing.assert_array_equal(rows_of("o.h5"), rows_of("p.h5"))


def test_slice_and_options(computes):
    computes(FUNCTION, "s.xyz@::2", "--no-atoms", "--dtype", "float32", "--no-checkpoint")
    with h5py.File("o.h5") as file:
        assert file["structures/features"].shape == (3, 3)
        assert file["structures/features"].dtype == np.float32
        assert "features" not in file["atoms"]


def test_quiet_says_nothing(computes):
    assert computes(FUNCTION, "s.xyz", "--quiet").err == ""


def test_settings_come_from_a_file(computes):
    Path("h.toml").write_text("width = 2\n")
    computes(FUNCTION, "s.xyz", "--hypers", "h.toml")
    assert rows_of("o.h5").shape[1] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_run_that_is_stopped_goes_on(prcli, computes, monkeypatch, number):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    state.update(signal_at=5, signal=number)
    command = ("features", "compute", FUNCTION, "s.xyz", "-o", "o.h5")
    outcome = prcli(*command)
    assert outcome.code == 75
    assert f"stopped by {number.name}" in outcome.err
    assert "o.h5.checkpoint" in outcome.err
    assert "the same command goes on" in outcome.err
    assert sorted(os.listdir()) == ["o.h5.checkpoint", "s.xyz"]
    again = computes(FUNCTION, "s.xyz")
    assert int(re.search(r"(\d) structures from the checkpoint", again.err)[1]) in (3, 4, 5)
    computes(FUNCTION, "s.xyz", output="p.h5")
    np.testing.assert_array_equal(rows_of("o.h5"), rows_of("p.h5"))
    assert sorted(os.listdir()) == ["o.h5", "p.h5", "s.xyz"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_without_a_checkpoint_a_stopped_run_leaves_nothing(prcli, monkeypatch, number, code):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    state.update(signal_at=5, signal=number)
    command = ("features", "compute", FUNCTION, "s.xyz", "-o", "o.h5", "--no-checkpoint")
    assert prcli(*command).code == code
    assert os.listdir() == ["s.xyz"]


def test_another_command_does_not_go_on(prcli, fails, monkeypatch):
    monkeypatch.setattr(compute_batches, "BATCH_BYTES", 1)
    state.update(signal_at=5, signal=signal.SIGTERM)
    command = ("features", "compute", FUNCTION, "s.xyz", "-o", "o.h5")
    assert prcli(*command).code == 75
    message = fails(*command, "--dtype", "float32")
    assert "belongs to another request" in message
    assert 'dtype "float64"' in message


def test_featurizers_are_listed(prcli):
    outcome = prcli("features", "compute", "--help")
    assert outcome.code == 0
    for text in ("soap", "lode", "python:MODULE:FUNCTION"):
        assert text in outcome.text


@pytest.mark.parametrize("name", ["soap", "lode"])
def test_help_has_an_example(prcli, name):
    text = prcli("features", "compute", name, "--help").text
    assert f"prcli features compute {name} train.xyz -o train.h5" in text


def test_a_misspelt_featurizer(refuses):
    assert "Did you mean 'soap'?" in refuses("sop", "s.xyz", code=2)
    assert "No such command" in refuses("xyzzy", "s.xyz", code=2)


def test_standard_output_is_no_place_for_a_store(fails):
    message = fails("features", "compute", "soap", "s.xyz", "-o", "-", code=2)
    assert "standard output" in message


def test_one_checkpoint_or_none(refuses):
    message = refuses(FUNCTION, "s.xyz", "--checkpoint", "c", "--no-checkpoint", code=2)
    assert "either --checkpoint or --no-checkpoint" in message


def test_without_featomic_the_remedy_is_told(refuses, monkeypatch):
    monkeypatch.setitem(sys.modules, "featomic", None)
    assert 'pip install "prcli[soap]"' in refuses("soap", "s.xyz")


class TestSoap:
    """What needs featomic."""

    @pytest.fixture(autouse=True)
    def featomic(self):
        return pytest.importorskip("featomic")

    def test_defaults_are_told(self, computes):
        outcome = computes("soap", "s.xyz")
        assert "default hyperparameters: {'cutoff': {'radius': 4.0" in outcome.err
        assert "--species H,C" in outcome.err
        assert rows_of("o.h5").shape == (COUNTS.sum(), 2 * 3 * 125)

    def test_columns_by_options(self, computes):
        computes("soap", "s.xyz", "--no-per-species", "--distinct", "--species", "C,H")
        with h5py.File("o.h5") as file:
            assert file.attrs["blocks"] == "H-H:75,H-C:125,C-C:75"

    def test_gradients(self, computes):
        outcome = computes("soap", "s.xyz", "--gradients", "both")
        n_rows = 3 * COUNTS.sum() + 6 * 6
        assert f"{n_rows} gradient rows" in outcome.err
        assert rows_of("o.h5", "gradients/rows").shape == (n_rows, 750)

    def test_a_section_of_the_configuration(self, computes):
        Path("run.toml").write_text(
            '[features.compute.soap]\nspecies = "H,C,O"\nper-species = false\natoms = false\n'
        )
        computes("soap", "s.xyz", "--config", "run.toml")
        with h5py.File("o.h5") as file:
            assert file["structures/features"].shape == (6, 6 * 125)
            assert "features" not in file["atoms"]

    def test_a_misspelt_key_is_told_with_the_nearest(self, refuses):
        text = (CONFIGS / "soap.toml").read_text()
        Path("h.toml").write_text(text.replace("smoothing", "smothing"))
        message = refuses("soap", "s.xyz", "--hypers", "h.toml")
        for text in ("'smothing'", "h.toml, cutoff", "did you mean 'smoothing'?"):
            assert text in message

    def test_an_element_without_columns(self, refuses):
        message = refuses("soap", "s.xyz", "--species", "C")
        for text in ("s.xyz, frame 0", "--species C", "got:      H"):
            assert text in message

    def test_store_feeds_the_other_commands(self, prcli, computes):
        computes("soap", "s.xyz", "--gradients", "force")
        assert prcli("hessian", "o.h5", "-o", "h.hessian").code == 0
        table = prcli("score", "h.hessian", "o.h5")
        assert [float(x) > 0 for x in table.column("pr")] == [True] * 6
        info = prcli("info", "o.h5")
        assert "H/H-H:125" in info.text


def test_columns_of_the_comment_line_serve_filters_without_the_structures(computes, prcli):
    structures = structures_of(6, seed=2, symbols=("H", "C"))
    for i, atoms in enumerate(structures):
        atoms.info["group"] = "even" if i % 2 == 0 else "odd"
        atoms.info["REF_energy"] = float(i)
        atoms.cell, atoms.pbc = np.eye(3) * (5.0 + i), True
    ase.io.write("c.xyz", structures, format="extxyz")
    computes(FUNCTION, "c.xyz", "--column", "group", "--column", "energy=REF_energy")
    with h5py.File("o.h5") as file:
        columns = file["structures"]
        assert columns["energy"][:].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        np.testing.assert_allclose(columns["volume"][:], [(5.0 + i) ** 3 for i in range(6)])
        assert columns["density"][:].min() > 0.0
    Path("c.xyz").unlink()
    arguments = ("--train", "o.h5", "--target", "o.h5", "--pool", "o.h5", "-n", "3", "--indices")
    outcome = prcli("select", *arguments, "--allow-duplicates", "--where", "group == 'even'")
    assert outcome.code == 0, outcome.err
    frames = {line.split(b"\t")[1] for line in outcome.out.splitlines()}
    assert frames == {b"0", b"2", b"4"}


def test_a_column_that_no_frame_has_is_refused_before_anything_is_computed(refuses):
    assert "nobody" in refuses(FUNCTION, "s.xyz", "--column", "nobody")
    assert state["calls"] <= 1
