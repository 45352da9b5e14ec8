"""``prcli embed`` as it is typed: what goes where, and what is refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from ase.io import read, write
from large_structures import disordered

import prcli as package
from prcli.workflows.inputs import InputOptions

FEATURIZER = 'featurizer = "python:radial_features:radial"\n'
COLUMNS = (
    "index source frame atom species strategy draw seed n_atoms n_fixed formula density n_tries"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embed")
    train = [disordered("cubic", seed=seed)[:40] for seed in range(10)]
    for atoms in train:
        atoms.pbc = False
    write(path / "train.xyz", train, format="extxyz")
    write(path / "large.xyz", disordered("oblong", seed=7), format="extxyz")
    (path / "radial.toml").write_text(FEATURIZER)
    inputs = InputOptions(featurizer=path / "radial.toml")
    record = package.hessian(path / "train.xyz", inputs=inputs, regularizer=1e-3)
    package.write_hessian(path / "train.hessian", record)
    return path


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


MODEL = ("--hessian", "train.hessian", "--featurizer", "radial.toml", "--cutoff", "3")


def frames_in(text):
    return read(io.StringIO(text), ":", format="extxyz")


def test_structures_go_to_stdout_and_the_table_to_stderr(prcli):
    outcome = prcli("embed", "large.xyz", "--atom", 5, "--cutoff", 3, "-n", 2)
    assert outcome.code == 0
    frames = frames_in(outcome.text)
    assert [f.info["prcli_strategy"] for f in frames] == ["carve", "periodic", "periodic"]
    lines = outcome.err.splitlines()
    assert lines[-4] == COLUMNS.replace(" ", "\t")
    assert len(lines[-1].split("\t")) == len(COLUMNS.split())


def test_the_table_goes_to_stdout_where_structures_go_to_a_file(prcli, tmp_path):
    small = tmp_path / "small.xyz"
    outcome = prcli("embed", "large.xyz", *MODEL, "--crystal", "C", "-n", 2, "-o", small)
    assert outcome.code == 0
    assert outcome.table[0] == [
        *COLUMNS.split(),
        *"rank lpr gain gain_alone feature_change".split(),
    ]
    strategies = outcome.column("strategy")
    assert sorted(strategies[:-1]) == sorted(
        ["carve", "crystal", "high-symmetry", "high-symmetry", "periodic", "periodic"]
    )
    assert strategies[-1] == "whole"
    frames = read(small, ":")
    assert [f.info["prcli_strategy"] for f in frames] == strategies[:-1]
    gains = [float(value) for value in outcome.column("gain")[:-1]]
    assert gains == [f.info["prcli_gain"] for f in frames]
    assert "features of the atoms in question: changed by at most" in outcome.err


def test_both_may_go_to_files(prcli, tmp_path):
    small, table = tmp_path / "small.xyz", tmp_path / "gains.jsonl"
    outcome = prcli(
        *("embed", "large.xyz", *MODEL, "-n", 3, "--choose", 2, "-o", small),
        *("--table", table, "--format", "jsonl"),
    )
    assert (outcome.code, outcome.out) == (0, b"")
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [row["pick"] for row in rows] == [1, 2, None]
    assert len(read(small, ":")) == 2
    assert rows[1]["picked_lpr"] > rows[0]["picked_lpr"] > rows[0]["lpr"]


def test_quiet_leaves_structures_alone(prcli):
    outcome = prcli("embed", "large.xyz", "--atom", 5, "--cutoff", 3, "-q")
    assert outcome.err == ""
    assert len(frames_in(outcome.text)) == 2


def test_the_same_command_gives_the_same_bytes(prcli):
    arguments = ("embed", "large.xyz", *MODEL, "--crystal", "Si", "-n", 2, "--seed", 3)
    first, second = prcli(*arguments), prcli(*arguments)
    assert first.out == second.out
    assert first.out != prcli(*arguments[:-1], 4).out


def test_the_large_structure_may_come_from_stdin(prcli, folder):
    content = (folder / "large.xyz").read_bytes()
    outcome = prcli("embed", "-", "--atom", 5, "--cutoff", 3, "-q", stdin=content)
    assert outcome.code == 0
    assert [frame.info["prcli_source"] for frame in frames_in(outcome.text)] == ["-", "-"]


def test_rigidities_come_from_score(prcli, tmp_path):
    scored = prcli(
        "score", "train.hessian", "large.xyz", "--featurizer", "radial.toml", "--per", "atom"
    )
    (tmp_path / "lpr.tsv").write_bytes(scored.out)
    by_table = prcli("embed", "large.xyz", "--lpr", tmp_path / "lpr.tsv", "--cutoff", 3, "-q")
    by_model = prcli("embed", "large.xyz", *MODEL, "-q")
    atoms = {f.info["prcli_atom"] for f in frames_in(by_table.text + by_model.text)}
    assert atoms == {int(scored.column("atom")[0])}
    written = tmp_path / "scored.xyz"
    prcli(
        *("score", "train.hessian", "large.xyz", "--featurizer", "radial.toml"),
        *("--per", "atom", "--write", written),
    )
    by_column = prcli("embed", written, "--cutoff", 3, "-q")
    assert {f.info["prcli_atom"] for f in frames_in(by_column.text)} == atoms


def test_structures_teach_a_model_what_the_table_says(prcli, tmp_path):
    small = tmp_path / "small.xyz"
    table = prcli("embed", "large.xyz", *MODEL, "--strategy", "periodic", "-o", small)
    scale = package.read_hessian("train.hessian").scale
    more = prcli(
        *("hessian", "train.hessian", small, "--featurizer", "radial.toml"),
        *("--scale", scale, "-o", tmp_path / "more.hessian"),
    )
    assert more.code == 0
    lpr = [
        prcli(
            "score",
            hessian,
            "large.xyz",
            "--featurizer",
            "radial.toml",
            "--per",
            "atom",
            "--order",
            "file",
        )
        for hessian in ("train.hessian", tmp_path / "more.hessian")
    ]
    atom = int(table.column("atom")[0])
    before, after = (float(each.column("lpr")[atom]) for each in lpr)
    assert float(table.column("lpr")[0]) == pytest.approx(before, rel=1e-9)
    assert float(table.column("gain")[0]) == pytest.approx(after / before - 1.0, rel=1e-6)


def test_options_may_come_from_a_file(prcli, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[embed]\natom = [5, 9]\ncutoff = 3.0\nstrategy = "carve"\n')
    outcome = prcli("embed", "large.xyz", "--config", config, "-q")
    assert [frame.info["prcli_atom"] for frame in frames_in(outcome.text)] == [5, 9]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--atom", 5), 1, "it is not known how large an environment is"),
        (("--cutoff", 3), 1, "it is not known which atom is the least rigid"),
        (("--atom", 10**6, "--cutoff", 3), 1, "there is no such atom"),
        (("--atom", 5, "--cutoff", 30), 1, "larger than the cell"),
        (("--atom", 5, "--cutoff", 3, "--strategy", "cut"), 1, "strategy is not known"),
        (("--atom", 5, "--cutoff", 3, "--repeat", "2,2"), 2, "is not like 3,3,4"),
        (("--atom", 5, "--cutoff", 3, "--crystal", "x/y.xyz"), 1, "x/y.xyz"),
        (("--atom", 5, "--cutoff", 3, "-o", "large.xyz"), 1, "output exists already"),
        (("--atom", 5, "--cutoff", 3, "-o", "large.xyz", "--overwrite"), 1, "one of the inputs"),
        (("--atom", 5, "--cutoff", 3, "-o", "no/such/x.xyz"), 1, "output folder does not exist"),
        (("--atom", 5, "--cutoff", 3, "--table", "t", "-o", "t"), 1, "go to the same file"),
    ],
)
def test_what_cannot_be_done_is_refused(prcli, arguments, code, message):
    outcome = prcli("embed", "large.xyz", *arguments)
    assert (outcome.code, outcome.out) == (code, b"")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_no_file_appears_where_the_work_fails(prcli, tmp_path):
    small = tmp_path / "small.xyz"
    outcome = prcli("embed", "large.xyz", "--atom", 5, "--cutoff", 30, "-o", small)
    assert outcome.code == 1
    assert list(tmp_path.iterdir()) == []


def test_help_needs_neither_ase_nor_numpy():
    code = (
        "import sys; from prcli.cli.main import cli;"
        "cli(['embed', '--help'], standalone_mode=False);"
        "assert not {'ase', 'numpy', 'h5py'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "high-symmetry" in done.stdout


def test_atoms_of_a_draw_are_apart(prcli):
    outcome = prcli("embed", "large.xyz", "--atom", 5, "--cutoff", 3, "-n", 4, "--contact", 1.1)
    for frame in frames_in(outcome.text):
        distances = frame.get_all_distances(mic=bool(frame.pbc.all()))
        assert distances[np.triu_indices(len(frame), 1)].min() >= 1.1
