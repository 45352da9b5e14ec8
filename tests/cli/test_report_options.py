from __future__ import annotations

from pathlib import Path

import click
import pytest

from prcli.cli.console import session
from prcli.cli.main import LazyGroup
from prcli.cli.options import common_options, input_options, overwrite_opt
from prcli.cli.regularizer_report import ReportOfHessian, report_options
from prcli.data.hessian_file import read_hessian

pytestmark = pytest.mark.usefixtures("workplace")


@click.command()
@click.argument("hessian")
@report_options
@input_options
@overwrite_opt
@common_options
def show(hessian, overwrite, quiet, verbose, threads, **choices):
    """Report on a finished Hessian, as a command that makes one does."""
    report = ReportOfHessian(choices, overwrite)
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        report.emit(read_hessian(hessian), progress)


@pytest.fixture
def shown(prcli, monkeypatch):
    """Run the command above beside the others."""
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    known = LazyGroup.get_command
    monkeypatch.setattr(
        LazyGroup,
        "get_command",
        lambda self, ctx, name: show if name == "show" else known(self, ctx, name),
    )
    return lambda *arguments: prcli("show", "h.h5", *arguments)


def test_options_do_nothing_by_themselves(shown):
    assert shown().out == b""


def test_table_of_the_regularizer(shown):
    outcome = shown("--report")
    names = ["regularizer", "in_use", "condition_number", "effective_parameters"]
    assert outcome.table[0] == names
    assert outcome.column("in_use").count("true") == 1
    here = outcome.column("in_use").index("true")
    assert float(outcome.column("regularizer")[here]) == 1e-5
    assert "singular values of the scaled features" in outcome.err


def test_table_with_a_ranking(shown):
    outcome = shown("--report", "--target", "target.h5", "--top", "2", "--format", "csv")
    header = outcome.text.splitlines()[0].split(",")
    assert header[-3:] == ["spearman", "top_overlap", "held_targets"]
    assert "that of the 2 least rigid" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "target.h5"), "--target means nothing without --report"),
        (("--report", "--top", "2"), "--top means nothing without --target"),
        (("--report", "--target", "absent.h5"), "absent.h5"),
    ],
)
def test_what_cannot_be_reported_is_refused(shown, arguments, message):
    outcome = shown(*arguments)
    assert outcome.code == 1
    assert outcome.out == b""
    assert message in outcome.err


def test_plot(shown):
    pytest.importorskip("matplotlib")
    assert shown("--report", "--plots", "plots").code == 0
    assert Path("plots/regularizer.png").exists()
