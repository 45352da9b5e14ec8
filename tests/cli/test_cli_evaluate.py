from __future__ import annotations

import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from builders import counts_of, write_store

from prcli.cli.select_audit import AuditOfSelection, audit_options
from prcli.errors import OutputError, RequestError
from prcli.workflows.select import SelectOptions, select
from prcli.workflows.select_run import SelectRequest, SelectRun

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"
SETS = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")
#: Figure 4 of the sample data, meV/atom after so many additions; see sample_data/README.md.
KNOWN = {0: 613, 1: 347, 2: 281, 5: 274, 10: 181}


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """Three stores with energies, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, n, seed in (("train", 10, 1), ("target", 4, 2), ("pool", 12, 3)):
        energies = np.random.default_rng(seed).normal(size=n)
        write_store(
            tmp_path / f"{name}.h5",
            n,
            seed=seed,
            xyz=tmp_path / f"{name}.xyz",
            columns={"energy": energies, "other": 2.0 * energies},
        )
    return tmp_path


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """The sample data, in the current folder."""
    for name in ("train", "target", "pool"):
        for ending in ("h5", "xyz"):
            shutil.copy2(SAMPLE / f"{name}.{ending}", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sample_data_give_the_known_figure(sample, prcli):
    outcome = prcli("evaluate", *SETS, "-n", 10, "--strategy", "pr,random", "--seeds", 2)
    assert outcome.code == 0, outcome.err
    pr = np.array(outcome.column("strategy")) == "pr"
    counts = np.array(outcome.column("n_added"), dtype=int)[pr]
    errors = 1000.0 * np.array(outcome.column("rmse_energy"), dtype=float)[pr]
    assert dict(zip(counts.tolist(), np.round(errors).astype(int), strict=True)) == KNOWN
    assert set(outcome.column("energy_unit")) == {"eV/atom"}
    assert "baseline mean: -57.0334 eV for every atom" in outcome.err


def test_result_directories_give_the_same_curve(sample, prcli):
    select = ("select", *SETS, "-n", 10)
    assert prcli(*select, "-o", "out_pr").code == 0
    assert prcli(*select, "-o", "out_0", "--strategy", "random").code == 0
    selections = ("--selection", "out_pr", "--selection", "random=out_0")
    outcome = prcli("evaluate", *SETS, *selections, "--counts", "10,0")
    assert outcome.code == 0, outcome.err
    assert outcome.column("strategy") == ["out_pr", "out_pr", "random", "random"]
    assert outcome.column("n_added") == ["0", "10"] * 2
    found = [round(1000.0 * float(text)) for text in outcome.column("rmse_energy")[:2]]
    assert found == [KNOWN[0], KNOWN[10]]
    assert outcome.column("beats_random")[:2] == ["", "true"]
    last = (sample / "out_pr" / "selection.tsv").read_text().splitlines()[-1].split("\t")
    assert float(last[8]) == pytest.approx(float(outcome.column("target_pr_mean")[1]), rel=1e-9)


def test_all_strategies_run_where_nothing_else_is_said(labelled, prcli):
    outcome = prcli("evaluate", *SETS, "-n", 2, "--seeds", 2, "--baseline", "mean")
    assert outcome.code == 0, outcome.err
    names = list(dict.fromkeys(outcome.column("strategy")))
    assert names == ["pr", "random", "fps", "leverage"]
    assert outcome.column("n_runs")[3:6] == ["2", "2", "2"]
    assert "random" in outcome.err


def test_numbers_of_the_loss_are_those_of_the_options(labelled, prcli):
    common = ("evaluate", *SETS, "-n", 2, "--strategy", "pr", "--baseline", "none")
    plain = prcli(*common)
    doubled = prcli(*common, "--reference", "other")
    firm = prcli(*common, "--regularizer", "1e6")
    values = [float(outcome.column("rmse_energy")[0]) for outcome in (plain, doubled, firm)]
    # Everything is linear in the references.
    assert values[1] == pytest.approx(2.0 * values[0], rel=1e-12)
    energies = np.random.default_rng(2).normal(size=4)
    # So firm a prior leaves nothing but zero.
    expected = np.sqrt(np.mean((energies / counts_of(4, 2)) ** 2))
    assert values[2] == pytest.approx(expected, rel=1e-4)


def test_formats_and_plots(labelled, prcli):
    pytest.importorskip("matplotlib")
    arguments = ("evaluate", *SETS, "-n", 1, "--strategy", "pr", "--plots", "plots")
    outcome = prcli(*arguments, "--format", "jsonl")
    assert outcome.code == 0, outcome.err
    assert outcome.text.count('"beats_random": null') == 2
    assert (labelled / "plots" / "learning_curves.svg").exists()
    again = prcli(*arguments)
    assert again.code == 1
    assert "learning_curves" in again.err
    assert prcli(*arguments, "--overwrite", "--format", "table").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--strategy", "best", "-n", "1"), 1, "--strategy is not known"),
        (("--strategy", "pr"), 1, "-n/--n-to-select"),
        (("-n", "13"), 1, "fewer candidates"),
        (("-n", "1", "--counts", "1,x"), 2, "no list of whole numbers"),
        (("-n", "1", "--counts", "2"), 1, "at most 1"),
        (("-n", "1", "--reference", "enrgy"), 1, "did you mean 'energy'?"),
        (("-n", "1", "--random-where", "n_atoms <"), 1, "n_atoms <"),
        (("-n", "1", "--memory", "1M"), 1, "does not fit into memory"),
        (("--selection", "nowhere"), 1, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused(labelled, fails, arguments, code, message):
    assert message in fails("evaluate", *SETS, *arguments, code=code)


def test_filters(labelled, prcli):
    common = ("evaluate", *SETS, "-n", 2, "--seeds", 2)
    outcome = prcli(*common, "--strategy", "random", "--random-where", "n_atoms > 2")
    assert outcome.code == 0, outcome.err
    assert outcome.column("strategy")[-1] == "random[n_atoms > 2]"


def test_configuration_file(labelled, prcli):
    (labelled / "c.toml").write_text(
        '[evaluate]\ntrain = "train.h5"\ntarget = "target.h5"\npool = "pool.h5"\n'
        'n-to-select = 2\nstrategy = "pr"\n[loss]\nreference = "other"\n'
    )
    outcome = prcli("evaluate", "--config", "c.toml")
    assert outcome.code == 0, outcome.err
    assert outcome.column("strategy") == ["pr"] * 3


# The audit of a selection.


def audit_of(output="out", table_format="tsv", **choices):
    given = {"audit": True, "audit_seeds": None, "audit_plots": None} | choices
    return AuditOfSelection(given, output, table_format, False)


def test_an_audit_prints_what_every_strategy_reaches(labelled, capsys):
    request = SelectRequest(SelectOptions(2), ("pool.h5",), ("target.h5",), ("train.h5",))
    with SelectRun(request) as run:
        selection = run.run()

        def again(options):
            return select(run.record, run.pool, run.target, options)

        asked = audit_of(audit_seeds=2)
        asked.check()
        asked.emit(asked.run(selection, run.pool.n_atoms, again, lambda *_: None))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["strategy", "n_added", "objective"]
    assert [line[0] for line in lines[1::3]] == ["pr", "random", "fps", "leverage"]


def test_without_an_audit_nothing_is_printed(labelled, capsys):
    asked = audit_of(audit=False, output=None)
    asked.emit(asked.run(None, None, None, None))
    assert capsys.readouterr().out == ""


def test_plots_of_an_audit(labelled):
    pytest.importorskip("matplotlib")
    (labelled / "audit.png").write_bytes(b"")
    with pytest.raises(OutputError, match=r"audit\.png"):
        audit_of(audit_plots=str(labelled)).check()
    with pytest.raises(RequestError, match="--audit-seeds"):
        audit_of(audit_seeds=0).check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output": None}, "give -o DIR"),
        ({"output": "-"}, "give -o DIR"),
        ({"audit": False, "audit_seeds": 3}, "--audit-seeds means nothing without --audit"),
        ({"audit": False, "audit_plots": "p"}, "--audit-plots means nothing without --audit"),
    ],
)
def test_options_of_an_audit_that_do_not_go_together(given, message):
    with pytest.raises(click.UsageError, match=message):
        audit_of(**given)


def test_options_of_an_audit_have_these_names():
    command = audit_options(click.Command("select", callback=lambda **_: None).callback)
    names = {name for option in command.__click_params__ for name in option.opts}
    assert names == {"--audit", "--audit-seeds", "--audit-plots"}
