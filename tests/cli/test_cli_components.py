from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import split_frames, write_store

from prcli.records import Block

BLOCKS = (Block("near", 1), Block("far", 2))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch, prcli):
    monkeypatch.chdir(tmp_path)
    for name, n_structures, seed in (("train", 10, 1), ("target", 4, 2), ("pool", 6, 3)):
        write_store(
            Path(f"{name}.h5"), n_structures, seed=seed, xyz=Path(f"{name}.xyz"), blocks=BLOCKS
        )
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0


def test_columns_of_components(prcli):
    outcome = prcli("score", "h.h5", "pool.h5", "--per", "component")
    names = ["index", "source", "frame", "n_atoms", "component", "cpr", "rank"]
    assert outcome.table[0] == names
    values = [float(text) for text in outcome.column("cpr")]
    assert values == sorted(values)
    assert len(values) == 12
    assert set(outcome.column("component")) == {"near", "far"}
    assert "12 components of structures" in outcome.err


def test_columns_of_components_of_atoms(prcli):
    outcome = prcli("score", "h.h5", "target.h5", "--per", "atom-component", "--order", "file")
    assert outcome.table[0][3:] == ["atom", "species", "component", "lcpr", "rank"]
    assert outcome.column("component")[:4] == ["near", "far"] * 2
    assert outcome.column("atom")[:4] == ["0", "0", "1", "1"]


def test_limits_and_shards(prcli):
    arguments = ("score", "h.h5", "pool.h5", "--per", "component")
    whole = prcli(*arguments, "--order", "file")
    values = np.array(whole.column("cpr"), float)
    middle = float(np.median(values))
    below = prcli(*arguments, "--below", middle)
    assert len(below.column("cpr")) == int((values < middle).sum())
    assert prcli(*arguments, "--top", 3).column("rank") == ["1", "2", "3"]
    parts = [prcli(*arguments, "--shard", f"{i}/2", "--no-header").text for i in (1, 2)]
    kept = [[*row[:6]] for row in whole.table[1:]]
    assert [line.split("\t") for line in "".join(parts).splitlines()] == kept


def test_write_adds_vectors(prcli):
    arguments = ("--per", "component", "--order", "file", "--write", "w.xyz")
    found = prcli("score", "h.h5", "pool.h5", *arguments)
    values = np.array(found.column("cpr"), float).reshape(6, 2)
    frames, before = (split_frames(Path(name).read_bytes()) for name in ("w.xyz", "pool.xyz"))
    for frame, old, row in zip(frames, before, values, strict=True):
        text = f' prcli_cpr="{float(row[0])!r} {float(row[1])!r}"'.encode()
        assert text in frame
        assert frame.replace(text, b"") == old


def test_write_adds_a_number_per_block_to_atoms(prcli):
    arguments = ("--per", "atom-component", "--order", "file", "--write", "w.xyz")
    values = np.array(prcli("score", "h.h5", "target.h5", *arguments).column("lcpr"), float)
    frames = split_frames(Path("w.xyz").read_bytes())
    assert all(b":prcli_lcpr:R:2" in frame for frame in frames)
    lines = [line for frame in frames for line in frame.splitlines()[2:]]
    written = [[float(text) for text in line.split()[-2:]] for line in lines]
    np.testing.assert_array_equal(np.ravel(written), values)


def test_blocks_are_needed(prcli, fails):
    write_store(Path("plain.h5"), 5, seed=3)
    assert prcli("hessian", "plain.h5", "-o", "plain.hessian").code == 0
    message = fails("score", "plain.hessian", "plain.h5", "--per", "component")
    assert "named blocks" in message
    assert "--blocks" in message
    arguments = ("--train", "plain.h5", "--target", "plain.h5", "--pool", "plain.h5", "-n", 1)
    assert "named blocks" in fails("select", *arguments, "--target-per", "component")


def test_targets_of_a_selection(prcli):
    outcome = prcli(
        *("select", "--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5", "-n", 2),
        *("--target-per", "component", "--explain", "-o", "out"),
    )
    assert outcome.code == 0, outcome.err
    lines = Path("out/targets.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:5] == ["index", "source", "frame", "component", "n_atoms"]
    assert len(lines) == 9
    scores = prcli("score", "h.h5", "target.h5", "--per", "component", "--order", "file")
    before = [float(line.split("\t")[6]) for line in lines[1:]]
    np.testing.assert_allclose(before, np.array(scores.column("cpr"), float), rtol=1e-9)
    report = json.loads(Path("out/report.json").read_text())
    assert report["request"]["target_per"] == "component"
    assert report["targets"]["n_targets"] == 8


def test_targets_with_an_empty_block_are_left_out_and_shown(prcli):
    with h5py.File("target.h5", "r+") as file:
        file["structures/features"][1, 0] = 0.0
    outcome = prcli(
        *("select", "--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5", "-n", 2),
        *("--target-per", "component", "-o", "out"),
    )
    assert outcome.code == 0, outcome.err
    assert "of infinite rigidity: left out" in outcome.err
    lines = Path("out/targets.tsv").read_text().splitlines()
    assert lines[3].split("\t")[-2:] == ["inf", "inf"]


def test_targets_of_a_pruning(prcli):
    arguments = ("--target", "target.h5", "--target-per", "component", "--keep", 8, "-o", "out")
    assert prcli("prune", "train.h5", *arguments).code == 0
    lines = Path("out/targets.tsv").read_text().splitlines()
    assert "component" in lines[0].split("\t")
    assert len(lines) == 9
