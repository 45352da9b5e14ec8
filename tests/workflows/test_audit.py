from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from builders import features_of

from prcli.data.dataset import Dataset, Part
from prcli.errors import RequestError
from prcli.workflows.audit import COLUMNS, audit, saturation
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.select import SelectOptions, select


def whole(table, name):
    return Dataset([Part(table, range(table.n_structures))], name)


TRAIN, TARGET, POOL = (features_of(n, seed=seed) for n, seed in ((10, 1), (4, 2), (9, 3)))
RECORD = sum_hessian([whole(TRAIN, "train")], [], HessianOptions(regularizer=0.01))


class Again:
    """Selects on the same terms, and remembers by which options."""

    def __init__(self, with_targets=True, **given):
        self.asked = []
        self._target = whole(TARGET, "target") if with_targets else None
        self._given = given

    def __call__(self, options):
        self.asked.append(options)
        return select(RECORD, whole(POOL, "pool"), self._target, options, **self._given)


def audited(n=4, *, n_seeds=3, with_targets=True, given=None, **options):
    again = Again(with_targets, **(given or {}))
    own = SelectOptions(n, **options)
    selection = again(own)
    again.asked.clear()
    return selection, audit(selection, POOL.n_atoms, again, n_seeds), again.asked


def of(result, name):
    return next(each for each in result.strategies if each.name == name)


def test_every_strategy_selects_as_much_on_the_same_terms():
    selection, result, asked = audited(4, objective="mean-log-pr", seed=7)
    assert [each.name for each in result.strategies] == ["pr", "random", "fps", "leverage"]
    # The selection itself is not made again.
    expected = [replace(selection.options, strategy="random", seed=seed) for seed in (7, 8, 9)]
    expected += [replace(selection.options, strategy=name) for name in ("fps", "leverage")]
    assert asked == expected


def test_an_audited_draw_is_the_first_of_the_random_ones():
    selection, result, asked = audited(3, strategy="random", seed=4, n_seeds=2)
    assert [options.strategy for options in asked] == ["random", "pr", "fps", "leverage"]
    assert result.strategies[0].name == "random"
    np.testing.assert_array_equal(
        of(result, "random").gain[1:, 0], [pick.gain for pick in selection.picks]
    )


def test_numbers_are_those_of_the_selections():
    selection, result, _ = audited(4)
    own = of(result, "pr")
    values = np.array([selection.objective_before, *(p.objective for p in selection.picks)])
    np.testing.assert_array_equal(own.objective[:, 0], values)
    np.testing.assert_allclose(own.pr_mean[:, 0], values, rtol=1e-12)
    assert own.pr_min[0, 0] == pytest.approx(selection.target_pr_before.min(), rel=1e-12)
    assert own.pr_min[-1, 0] == pytest.approx(selection.target_pr_after.min(), rel=1e-9)
    gains = np.diff(values)
    np.testing.assert_allclose(own.objective_share, (values - values[0]) / gains.sum(), rtol=1e-12)
    np.testing.assert_allclose(own.gain_share[1:], gains / gains[0], rtol=1e-9)
    assert np.isnan(own.gain_share[0])
    atoms = np.concatenate([[0], np.cumsum(POOL.n_atoms[selection.indices])])
    np.testing.assert_array_equal(own.n_atoms[:, 0], atoms)


def test_target_weights_enter_the_mean_before_any_pick():
    weight = np.array([3.0, 0.0, 1.0, 1.0])
    selection, result, _ = audited(2, given={"target_weight": weight})
    before = selection.target_pr_before
    own = of(result, "pr")
    assert own.pr_mean[0, 0] == pytest.approx(np.average(before, weights=weight), rel=1e-12)
    assert own.pr_min[0, 0] == pytest.approx(before[weight > 0].min(), rel=1e-12)


def test_draws_are_averaged_with_their_spread():
    _, result, _ = audited(3, n_seeds=4)
    table = result.table()
    assert tuple(table) == COLUMNS
    chosen = table["strategy"] == "random"
    draws = of(result, "random").objective
    assert draws.shape == (4, 4)
    np.testing.assert_allclose(table["objective"][chosen], draws.mean(axis=1), rtol=1e-12)
    spread = draws.std(axis=1, ddof=1)
    np.testing.assert_allclose(table["objective_std"][chosen], spread, rtol=1e-9, atol=1e-12)
    assert table["n_runs"][chosen].tolist() == [4] * 4
    assert table["n_added"][chosen].tolist() == [0, 1, 2, 3]
    assert np.isnan(table["objective_std"][~chosen]).all()


def test_selections_that_end_early_are_no_longer_than_they_are():
    _, result, _ = audited(6, stop_gain=0.5)
    own, random = of(result, "pr"), of(result, "random")
    lengths = np.count_nonzero(~np.isnan(random.objective), axis=0)
    assert len(own.objective) < 7
    assert len(random.objective) == lengths.max()
    assert result.table()["n_runs"][len(own.objective)] == 3


def test_log_det_needs_no_targets():
    _, result, _ = audited(3, objective="log-det", with_targets=False)
    own = of(result, "pr")
    assert own.objective[0, 0] == 0.0
    assert np.isnan(own.pr_mean).all()
    assert own.objective_share[-1] == 1.0
    panels = [axes.get_ylabel() for axes in figure_of(result).axes]
    assert panels == ["log-det", "share of what pr gains"]


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([1.0, 0.5, 0.02], None),
        ([1.0, 0.5, 0.009], 2),
        ([1.0, 0.001, 0.5, 0.001, 0.0], 3),
        ([1.0], None),
        ([0.0, 0.0], 0),
        ([], 0),
    ],
)
def test_picks_pay_until_all_that_follow_gain_little(gains, expected):
    assert saturation(np.array(gains)) == expected


def test_where_picks_stop_to_pay_is_said(caplog):
    selection, _, _ = audited(4)
    before = selection.objective_before
    gains = (1.0, 0.3, 0.005, 0.001)
    values = before + np.cumsum(gains)
    picks = tuple(
        replace(pick, gain=gain, objective=value)
        for pick, gain, value in zip(selection.picks, gains, values, strict=True)
    )
    faked = replace(selection, picks=picks)
    with caplog.at_level(logging.INFO, "prcli"):
        audit(faked, POOL.n_atoms, Again(), 1)
    assert "after 2 of 4 picks, each gains less than 1 % of the first; 99.54 %" in caplog.text


def test_that_more_would_help_is_said(caplog):
    with caplog.at_level(logging.INFO, "prcli"):
        selection, _, _ = audited(2)
    share = 100.0 * selection.picks[1].gain / selection.picks[0].gain
    assert f"the last of 2 picks still gains {share:.3g} % of the first" in caplog.text


def test_a_strategy_that_does_better_is_a_warning(caplog):
    audited(2, strategy="fps")
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("pr reaches a higher mean-pr than fps with 2 structures" in text for text in said)


def test_the_audited_one_may_be_the_best(caplog):
    audited(2)
    assert "reaches a higher" not in caplog.text


def test_at_least_one_draw_is_needed():
    selection, _, _ = audited(1)
    with pytest.raises(RequestError, match=r"--audit-seeds(.|\n)*0"):
        audit(selection, POOL.n_atoms, Again(), 0)


def figure_of(result):
    pytest.importorskip("matplotlib")
    (figure,) = (draw() for draw in result.figures().values())
    return figure


def test_the_figure_shows_all_strategies_and_the_saturation():
    _, result, _ = audited(3)
    upper, middle, lower = figure_of(result).axes
    assert [axes.get_ylabel() for axes in (upper, middle, lower)] == [
        "mean-pr",
        "mean PR of the targets",
        "share of what pr gains",
    ]
    assert len(upper.get_lines()) == len(middle.get_lines()) == 4
    (share,) = lower.get_lines()
    np.testing.assert_array_equal(share.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_allclose(share.get_ydata(), of(result, "pr").objective_share)
