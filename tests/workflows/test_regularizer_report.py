from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from builders import atoms_for, counts_of, features_of
from scipy.stats import spearmanr

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.errors import MismatchError, OutputError, RankError, RequestError
from prcli.numerics.rigidity import inverse_rigidities
from prcli.numerics.square_root import condition_number
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.model import effective_parameters, full_factor, row_form, scales
from prcli.workflows.regularizer_report import regularizer_report
from prcli.workflows.regularizer_report_run import ReportRequest, run_report
from prcli.workflows.rows import EnergyRows

D = 5


def whole(table, name="train"):
    return Dataset([Part(table, range(table.n_structures))], name)


def steep(n_structures, seed):
    """Features whose columns fall by six decades."""
    counts = counts_of(n_structures, seed)
    atoms = atoms_for(counts, D, seed) * np.logspace(0, -6, D)
    return Features(atoms=atoms, n_atoms=counts)


def hessian(n_structures=12, **options):
    return sum_hessian([whole(steep(n_structures, 1))], [], HessianOptions(**options))


def at(record, regularizer):
    return replace(record, regularizer=float(regularizer))


@pytest.mark.parametrize(
    "options", [{}, {"intercept": "atom"}, {"energy": "total"}, {"prior": np.arange(1.0, D + 1)}]
)
def test_numbers_are_those_of_fresh_factorizations(options):
    record = hessian(**options)
    report = regularizer_report(record)
    for k, regularizer in enumerate(report.regularizers):
        fresh = at(record, regularizer)
        expected = condition_number(full_factor(fresh) / scales(record))
        assert report.condition_numbers[k] == pytest.approx(expected, rel=1e-6)
        assert report.effective_parameters[k] == pytest.approx(
            effective_parameters(fresh), rel=1e-8
        )


def test_regularizers_are_decades_and_the_one_in_use():
    report = regularizer_report(hessian(regularizer=3e-4))
    assert np.all(np.diff(report.regularizers) > 0.0)
    assert report.regularizers[report.table()["in_use"]].tolist() == [3e-4]
    others = np.log10(report.regularizers[~report.table()["in_use"]])
    np.testing.assert_allclose(others, np.round(others), atol=1e-9)
    np.testing.assert_allclose(np.diff(others), 1.0, atol=1e-9)


def test_power_of_ten_in_use_is_there_once():
    report = regularizer_report(hessian(regularizer=1e-5))
    assert np.count_nonzero(np.isclose(report.regularizers, 1e-5, rtol=1e-6)) == 1
    assert np.count_nonzero(report.table()["in_use"]) == 1


def test_regularizer_of_zero_is_no_row():
    report = regularizer_report(hessian(regularizer=0.0))
    assert not report.table()["in_use"].any()
    assert np.all(report.regularizers > 0.0)


def test_zero_with_a_rank_deficient_set_names_the_rank():
    record = at(hessian(3), 0.0)
    with pytest.raises(RankError, match=f"rank 3 of {D}"):
        regularizer_report(record, whole(steep(4, 2), "target"))


def test_singular_values_and_rank(caplog):
    record = hessian(3)
    with caplog.at_level(logging.INFO):
        report = regularizer_report(record)
    expected = np.linalg.svd(record.R["energy"] / record.scale, compute_uv=False)
    np.testing.assert_allclose(report.singular_values[:3], expected[:3], rtol=1e-9)
    assert report.rank == 3
    assert f"rank 3 of {D}" in caplog.text


@pytest.mark.parametrize("n_top", [1, 4, 100])
def test_ranking_is_compared_with_that_in_use(n_top):
    record, target = hessian(regularizer=1e-6), whole(steep(20, 2), "target")
    report = regularizer_report(record, target, n_top)
    rows = EnergyRows(target, row_form(record)).read_all()
    in_use = 1.0 / inverse_rigidities(rows, full_factor(record))
    for k, regularizer in enumerate(report.regularizers):
        rigidities = 1.0 / inverse_rigidities(rows, full_factor(at(record, regularizer)))
        rho = spearmanr(rigidities, in_use).statistic
        assert report.ranking.spearman[k] == pytest.approx(rho, abs=1e-9)
        heads = [set(np.argsort(values)[:n_top].tolist()) for values in (rigidities, in_use)]
        overlap = len(heads[0] & heads[1]) / min(n_top, 20)
        assert report.ranking.overlap[k] == pytest.approx(overlap)
    here = report.table()["in_use"]
    assert report.ranking.spearman[here] == pytest.approx(1.0)
    assert report.ranking.overlap[here] == 1.0
    assert report.ranking.spearman.min() < 0.999


def test_targets_that_the_regularizer_holds_are_counted(caplog):
    record, target = hessian(regularizer=1e-4), whole(steep(20, 2), "target")
    with caplog.at_level(logging.INFO):
        report = regularizer_report(record, target)
    rows = EnergyRows(target, row_form(record)).read_all() / scales(record)
    factor = record.R["energy"] / scales(record)
    for k, regularizer in enumerate(report.regularizers):
        inverse = np.linalg.inv(factor.T @ factor + regularizer * np.eye(D))
        held = regularizer * np.sum((rows @ inverse) ** 2, axis=1)
        shares = held / np.einsum("ij,jk,ik->i", rows, inverse, rows)
        if regularizer > 1e-6:
            assert report.ranking.held[k] == np.mean(shares > 0.5)
    here = report.table()["in_use"]
    assert 0 < report.ranking.n_held < 20
    assert report.table()["held_targets"][here] == report.ranking.n_held / 20
    assert report.ranking.held[-1] == 1.0
    assert f"{report.ranking.n_held} of 20 targets" in caplog.text


def test_condition_is_put_into_words(caplog):
    with caplog.at_level(logging.INFO):
        report = regularizer_report(hessian())
    assert report.condition.number == pytest.approx(
        report.condition_numbers[report.table()["in_use"]][0], rel=1e-6
    )
    assert "condition number of R" in caplog.text
    assert "digits of a rigidity" in caplog.text


def test_columns_follow_the_request():
    record = hessian()
    plain = regularizer_report(record)
    names = ("regularizer", "in_use", "condition_number", "effective_parameters")
    assert plain.columns == tuple(plain.table()) == names
    ranked = regularizer_report(record, whole(steep(6, 2), "target"))
    assert (
        ranked.columns
        == tuple(ranked.table())
        == (*names, "spearman", "top_overlap", "held_targets")
    )


def test_rows_of_zeros_are_left_out_of_rankings():
    counts = counts_of(6, 2)
    atoms = atoms_for(counts, D, 2)
    atoms[: counts[0]] = 0.0
    target = whole(Features(atoms=atoms, n_atoms=counts), "target")
    assert regularizer_report(hessian(), target).ranking.n_targets == 5


def test_other_features_are_refused():
    with pytest.raises(MismatchError, match="target set does not fit"):
        regularizer_report(hessian(), whole(features_of(4, 3), "target"))


# From what a user typed.


def test_no_report_is_made_unless_wanted():
    assert run_report(ReportRequest(wanted=False), hessian()) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wanted": False, "target": ("t.h5",)}, "--target means nothing without --report"),
        ({"wanted": False, "plots": "p"}, "--plots means nothing without --report"),
        ({"n_top": 3}, "--top means nothing without --target"),
        ({"n_top": 0, "target": ("t.h5",)}, "--top must be at least 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        ReportRequest(**options).check()


def test_plots_are_written_whole(tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "plots"
    request = ReportRequest(plots=str(folder), target=(steep(6, 2),))
    run_report(request, hessian())
    names = ("regularizer", "singular_values")
    expected = [f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    assert sorted(path.name for path in folder.iterdir()) == expected
    with pytest.raises(OutputError, match="output exists already"):
        run_report(request, hessian())
    run_report(replace(request, overwrite=True), hessian())


def test_plots_need_a_directory(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(OutputError, match="plots go into a directory"):
        ReportRequest(plots=str(path)).check()
    with pytest.raises(OutputError, match="output folder does not exist"):
        ReportRequest(plots=str(tmp_path / "a" / "b")).check()
