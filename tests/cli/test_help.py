"""Help that teaches: commands under what they are for, examples that run, completion."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import h5py
import numpy as np
import pytest
from ase.io import read, write

from prcli.cli.main import _TASKS, cli

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "sample_data"

#: An example of each command, which the files of `stage` are enough for.
SHORT = {
    "features compute soap": "prcli features compute soap train.xyz -o train.h5",
    "features compute lode": "prcli features compute lode train.xyz -o train.h5 --hypers lode.toml",
    "features import": "prcli features import pool.xyz --features soap.npy --convention per-atom",
    "hessian": "prcli hessian train.h5 -o train.hessian",
    "score": "prcli score train.hessian pool.h5 --top 20",
    "calibrate": "prcli calibrate train.hessian valid.h5 -o calibrated.hessian",
    "ensemble": "prcli ensemble calibrated.hessian pool.h5 -n 64 > members.tsv",
    "evaluate": "prcli evaluate --train train.h5 --target target.h5 --pool pool.h5 -n 20 "
    "--plots plots/",
    "compare": "prcli compare --model e10.hessian test_e10.h5 --model e100.hessian test_e100.h5",
    "select": "prcli select --train train.h5 --target target.h5 --pool pool.h5 -n 10 -o out/",
    "prune": "prcli prune train.h5 --target target.h5 --max-loss 1% -o out/",
    "embed": "prcli embed large.xyz --atom 17 --cutoff 4 -n 5",
    "report": "prcli report out/ --overwrite",
    "info": "prcli info pool.h5 train.hessian",
}

#: Their examples are run with small models in test_cli_features_models.py.
WITH_MODELS = {"features compute mace", "features compute metatomic"}


def leaves(command=cli, name=()):
    """Names and commands that do something."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield " ".join(name), command
        return
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, (*name, each))


LEAVES = dict(leaves())
GROUPS = {"features": cli.get_command(None, "features")}
GROUPS["features compute"] = GROUPS["features"].get_command(None, "compute")


def examples(command):
    """Command lines of a help text, continued lines joined."""
    text = re.split(r"Examples?:\n", command.help)[-1].split("\n\n")[0]
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("prcli ")]


def words(line):
    """Arguments of prcli, up to what the shell takes."""
    found = shlex.split(line)[1:]
    ends = [i for i, word in enumerate(found) if word in ("|", ">", "<", "&&", ";")]
    return found[: min(ends, default=len(found))]


def test_every_command_is_listed_under_a_task(prcli):
    text = prcli("--help").text
    places = [text.index(f"\n{task}:\n") for task in _TASKS]
    assert places == sorted(places)
    for task, names in _TASKS.items():
        section = text.split(f"\n{task}:\n")[1].split("\n\n")[0]
        for name in names:
            assert re.search(rf"^  {name} +[A-Z].*", section, re.MULTILINE), name
    assert "..." not in text.split("Commands:")[-1].split("Options:")[-1]


@pytest.mark.parametrize("name", [*LEAVES, *GROUPS])
def test_every_command_has_examples_that_are_understood(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = examples({**LEAVES, **GROUPS}[name])
    assert any(line.startswith(f"prcli {name} ") for line in lines)
    for line in lines:
        context, arguments = click.Context(cli, info_name="prcli"), words(line)
        command = cli
        while isinstance(command, click.Group):
            _, command, arguments = command.resolve_command(context, arguments)
            assert command is not None
        command.make_context(command.name, list(arguments), parent=context)


def run(line, folder):
    """Run a command line without what the shell takes."""
    done = subprocess.run(
        [sys.executable, "-m", "prcli", *words(line)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files that examples name."""
    folder = tmp_path_factory.mktemp("help")
    for name in ("train", "target", "pool"):
        for ending in ("h5", "xyz"):
            shutil.copy(SAMPLE / f"{name}.{ending}", folder)
    shutil.copy(ROOT / "configs" / "lode.toml", folder)
    with h5py.File(folder / "pool.h5") as file:
        np.save(folder / "soap.npy", file["atoms/features"][:])
    write(folder / "large.xyz", read(folder / "pool.xyz", 0).repeat(3))
    # Predictions for those commands that want some.
    with h5py.File(folder / "pool.h5", "a") as file:
        energy = file["structures/energy"][:]
        file["structures/energy_predicted"] = energy + np.linspace(-0.5, 0.5, len(energy))
    shutil.copy(folder / "pool.h5", folder / "valid.h5")
    for name in ("e10", "e100"):
        shutil.copy(folder / "target.h5", folder / f"test_{name}.h5")
    run(SHORT["hessian"], folder)
    run(SHORT["calibrate"], folder)
    run(SHORT["select"], folder)
    for name in ("e10", "e100"):
        shutil.copy(folder / "train.hessian", folder / f"{name}.hessian")
    return folder


@pytest.fixture
def stage(files, tmp_path):
    """A folder of its own, in which no output is in the way of another."""
    shutil.copytree(files, tmp_path / "stage")
    return tmp_path / "stage"


#: What an example writes is not there before.
WRITTEN = {
    "hessian": "train.hessian",
    "calibrate": "calibrated.hessian",
    "select": "out",
    "prune": "out",
    "features compute soap": "train.h5",
    "features compute lode": "train.h5",
}


def test_an_example_of_every_command_is_run():
    assert set(SHORT) | WITH_MODELS == set(LEAVES)


@pytest.mark.parametrize("name", SHORT)
def test_examples_run(name, stage):
    line = SHORT[name]
    if name.startswith("features compute"):
        pytest.importorskip("featomic")
    if "--plots" in line:
        pytest.importorskip("matplotlib")
    shown = examples(LEAVES[name])
    if name == "features import":
        assert shown[0].startswith(line.replace("pool.xyz", "train.xyz"))
        line += " -o imported.h5"
    else:
        assert any(each.startswith(line) for each in shown)
    if name in WRITTEN:
        written = stage / WRITTEN[name]
        shutil.rmtree(written) if written.is_dir() else written.unlink()
    run(line, stage)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell, monkeypatch, prcli):
    monkeypatch.setenv("_PRCLI_COMPLETE", f"{shell}_source")
    outcome = prcli()
    assert outcome.code == 0
    assert f"_PRCLI_COMPLETE={shell}_complete" in outcome.text
    assert f"_PRCLI_COMPLETE={shell}_source prcli" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("prcli re", "report"), ("prcli select --obj", "--objective"), ("prcli hes", "hessian")],
)
def test_words_are_completed(typed, completed, monkeypatch, prcli):
    monkeypatch.setenv("_PRCLI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert f"plain,{completed}" in prcli().text.splitlines()


@pytest.mark.parametrize("typed", ["prcli score tra", "prcli select --train tra", "prcli report o"])
def test_files_are_completed_where_no_words_are_known(typed, monkeypatch, prcli):
    monkeypatch.setenv("_PRCLI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert prcli().text.splitlines() == [f"file,{typed.split()[-1]}"]


def test_no_file_is_completed_for_an_unknown_option(monkeypatch, prcli):
    monkeypatch.setenv("_PRCLI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "prcli select --nothing")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert prcli().text.strip() == ""
