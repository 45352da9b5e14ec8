from __future__ import annotations

import logging

import numpy as np
import pytest
from builders import counts_of, features_of, gradients_of

import prcli
from prcli.workflows.score_run import ScoreRequest, ScoreRun

D = 4
GRADIENTS = gradients_of(counts_of(10, 1), D)
TARGET = features_of(5, D, seed=2, **gradients_of(counts_of(5, 2), D))
WORDS = "do not fix the zero of energies"


def train(**columns: np.ndarray) -> prcli.Features:
    return features_of(10, D, seed=1, columns=columns, **GRADIENTS)


def hessian(energy_weight: float) -> prcli.HessianRecord:
    return prcli.hessian(train(), regularizer=1e-3, energy_weight=energy_weight)


@pytest.mark.parametrize("per", ["structure", "atom", "force", "stress"])
@pytest.mark.parametrize("energy_weight", [0.0, 1e-3])
def test_scores_of_energies_warn_where_no_energy_has_weight(caplog, per, energy_weight):
    request = ScoreRequest(hessian(energy_weight), (TARGET,), per=per)
    with caplog.at_level(logging.WARNING), ScoreRun(request) as run:
        run.run()
    assert (WORDS in caplog.text) == (energy_weight == 0.0 and per in ("structure", "atom"))


def test_energies_of_structures_that_weigh_nothing_are_none(caplog):
    loss = prcli.LossOptions(energy_weight_key="w")
    record = prcli.hessian(train(w=np.zeros(10)), regularizer=1e-3, loss=loss)
    prcli.score(record, TARGET)
    assert WORDS in caplog.text


@pytest.mark.parametrize("energy_weight", [0.0, 1e-3])
def test_selections_and_prunings_warn_of_it(caplog, energy_weight):
    pool = features_of(6, D, seed=3, **gradients_of(counts_of(6, 3), D))
    prcli.select(pool, 1, hessian=hessian(energy_weight), target=TARGET)
    assert (WORDS in caplog.text) == (energy_weight == 0.0)
    caplog.clear()
    options = prcli.HessianOptions(regularizer=1e-3, energy_weight=energy_weight)
    prcli.prune(train(), TARGET, prcli.PruneOptions(n_to_keep=9), hessian_options=options)
    assert (WORDS in caplog.text) == (energy_weight == 0.0)


def test_selections_without_targets_do_not(caplog):
    pool = features_of(6, D, seed=3, **gradients_of(counts_of(6, 3), D))
    prcli.select(pool, 1, hessian=hessian(0.0), objective="log-det")
    assert WORDS not in caplog.text
