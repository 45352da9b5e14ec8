from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import atoms_for, counts_of, frames_of, gradients_of, write_frames, write_store
from validation_set import ValidationSet

from prcli.data.hessian_file import read_hessian, write_hessian

pytestmark = pytest.mark.usefixtures("calibrated")

NAMES = np.array(["bulk", "slab", "md", "md", "md", "md"])
ENERGIES = np.array([-4.0, -7.5, -2.0, -2.25, -8.0, -2.5])
ENSEMBLE = ("ensemble", "c.h5", "s.h5", "-n", "5")


@pytest.fixture
def calibrated(workplace, prcli):
    """A calibrated Hessian, and a store with predicted energies and names."""
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    alphas = {"alpha_energy": 0.125, "alpha_force": 0.5, "alpha_stress": 0.25}
    write_hessian("c.h5", replace(read_hessian("h.h5"), **alphas), None)
    columns = {"energy_predicted": ENERGIES, "name": NAMES, "height": np.arange(6.0)}
    write_store(Path("s.h5"), 6, seed=4, columns=columns)
    return workplace


@pytest.fixture
def with_forces(calibrated):
    valid = ValidationSet(calibrated, 8, 3, name="forces.xyz")
    write_store(
        Path("forces.h5"),
        8,
        seed=7,
        gradients=gradients_of(counts_of(8, 7), 3, 7),
        source=valid.features.source,
        species=None,
    )
    return valid


def numbers(outcome, *names: str) -> np.ndarray:
    return np.array([[float(x) for x in outcome.column(name)] for name in names]).T


def members(outcome, n_members: int = 5) -> np.ndarray:
    return numbers(outcome, *(f"member_{m}" for m in range(n_members)))


def test_columns_of_structures(prcli):
    outcome = prcli(*ENSEMBLE)
    assert outcome.code == 0, outcome.err
    names = ["index", "source", "frame", "n_atoms", "predicted_eV", "sigma_eV"]
    assert outcome.table[0] == names + [f"member_{m}" for m in range(5)]
    assert outcome.column("index") == [str(i) for i in range(6)]
    assert [float(x) for x in outcome.column("predicted_eV")] == ENERGIES.tolist()
    assert "5 members, seed 0, alpha 0.125 eV/atom" in outcome.err


def test_default_is_32_members(prcli):
    outcome = prcli("ensemble", "c.h5", "s.h5")
    assert outcome.table[0][-1] == "member_31"
    np.testing.assert_array_equal(members(outcome), members(prcli(*ENSEMBLE)))


def test_sigma_is_that_of_scores_times_atoms(prcli):
    sigma = numbers(prcli(*ENSEMBLE), "sigma_eV")[:, 0]
    scores = prcli("score", "c.h5", "s.h5", "--order", "file")
    expected = numbers(scores, "sigma_eV_per_atom")[:, 0] * counts_of(6, 4)
    np.testing.assert_allclose(sigma, expected, rtol=1e-12)


def test_members_spread_by_sigma(prcli):
    outcome = prcli("ensemble", "c.h5", "s.h5", "-n", "3000")
    scaled = members(outcome, 3000) - ENERGIES[:, np.newaxis]
    scaled /= numbers(outcome, "sigma_eV")
    assert np.abs(scaled.std(axis=1) - 1.0).max() < 6.0 / np.sqrt(6000)


def test_seed(prcli):
    first, again, other = (prcli(*ENSEMBLE, "--seed", seed).out for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_members_may_be_left_out(prcli):
    outcome = prcli(*ENSEMBLE, "--no-members")
    assert outcome.table[0][-1] == "sigma_eV"
    assert [row[:6] for row in prcli(*ENSEMBLE).table] == outcome.table


def test_deviations_need_no_predictions(prcli):
    outcome = prcli("ensemble", "c.h5", "pool.h5", "-n", "5", "--deviations")
    assert outcome.table[0][4:6] == ["sigma_eV", "member_0"]
    mine = prcli(*ENSEMBLE, "--deviations")
    np.testing.assert_allclose(
        members(mine) + ENERGIES[:, np.newaxis], members(prcli(*ENSEMBLE)), rtol=1e-12
    )


def test_columns_of_atoms(prcli):
    outcome = prcli(*ENSEMBLE, "--per", "atom", "--deviations")
    assert outcome.table[0][:6] == ["index", "source", "frame", "atom", "species", "sigma_eV"]
    scores = prcli("score", "c.h5", "s.h5", "--per", "atom", "--order", "file")
    for name in ("index", "atom", "species"):
        assert outcome.column(name) == scores.column(name)
    np.testing.assert_allclose(
        numbers(outcome, "sigma_eV"), numbers(scores, "sigma_eV"), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("per", "place", "unit"),
    [("force", ["atom", "axis"], "eV_per_A"), ("stress", ["component"], "eV_per_A3")],
)
def test_columns_of_forces_and_stresses(prcli, with_forces, per, place, unit):
    outcome = prcli("ensemble", "c.h5", "forces.h5", "-n", "5", "--per", per)
    assert outcome.code == 0, outcome.err
    start = ["index", "source", "frame", *place, f"predicted_{unit}", f"sigma_{unit}"]
    assert outcome.table[0][: len(start)] == start
    expected = with_forces.predicted["forces" if per == "force" else "stress"]
    np.testing.assert_array_equal(numbers(outcome, f"predicted_{unit}")[:, 0], expected.ravel())
    scores = prcli("score", "c.h5", "forces.h5", "--per", per, "--order", "file")
    for name in ("index", "frame", *place):
        assert outcome.column(name) == scores.column(name)
    np.testing.assert_allclose(
        numbers(outcome, f"sigma_{unit}"), numbers(scores, f"sigma_{unit}"), rtol=1e-12
    )


def test_hessian_must_be_calibrated(prcli, fails):
    message = fails("ensemble", "h.h5", "s.h5")
    assert "not calibrated" in message
    assert "prcli calibrate" in message
    given = prcli("ensemble", "h.h5", "s.h5", "-n", "5", "--alpha", "0.125")
    assert given.out == prcli(*ENSEMBLE).out


def test_weights_predict(prcli, tmp_path):
    np.save(tmp_path / "w.npy", np.array([1.0, -2.0, 0.5]))
    outcome = prcli(*ENSEMBLE, "--weights", "w.npy", "--save-weights", "m.npy")
    assert outcome.code == 0, outcome.err
    saved = np.load("m.npy")
    assert saved.shape == (5, 3)
    pool = prcli("ensemble", "c.h5", "pool.h5", "-n", "5", "--weights", "w.npy")
    for k in range(5):
        np.save("one.npy", saved[k])
        twin = prcli("ensemble", "c.h5", "pool.h5", "-n", "1", "--weights", "one.npy")
        np.testing.assert_allclose(
            numbers(twin, "predicted_eV"), numbers(pool, f"member_{k}"), rtol=1e-9
        )


def test_saved_weights_follow_the_rules_of_outputs(fails, tmp_path, prcli):
    np.save(tmp_path / "w.npy", np.ones(3))
    command = (*ENSEMBLE, "--weights", "w.npy", "--save-weights")
    Path("m.npy").write_text("mine")
    assert "--overwrite" in fails(*command, "m.npy")
    assert Path("m.npy").read_text() == "mine"
    assert "one of the inputs" in fails(*command, "w.npy", "--overwrite")
    assert prcli(*command, "m.npy", "--overwrite").code == 0
    assert "--weights" in fails(*ENSEMBLE, "--save-weights", "n.npy")


def test_derived_quantities(prcli):
    outcome = prcli(*ENSEMBLE, "--expr", "E['slab'] - 2*E['bulk']", "--expr", "mean(E['md'])")
    assert outcome.code == 0, outcome.err
    assert outcome.table[0] == ["expression", "row", "value", "mean", "sigma"]
    assert outcome.column("expression") == ["E['slab'] - 2*E['bulk']", "mean(E['md'])"]
    assert numbers(outcome, "value")[:, 0].tolist() == [0.5, -3.6875]
    table = members(prcli(*ENSEMBLE))
    expected = np.array([table[1] - 2.0 * table[0], table[2:].mean(axis=0)])
    np.testing.assert_allclose(numbers(outcome, "mean")[:, 0], expected.mean(axis=1), rtol=1e-12)
    sigma = expected.std(axis=1, ddof=1)
    np.testing.assert_allclose(numbers(outcome, "sigma")[:, 0], sigma, rtol=1e-9)
    found = prcli(*ENSEMBLE, "--expr", "E['slab'] - 2*E['bulk']", "--members")
    np.testing.assert_allclose(members(found), expected[:1], rtol=1e-12)


def test_rows_that_nothing_reduces_have_a_row_each(prcli):
    outcome = prcli(*ENSEMBLE, "--expr", "E['md'] - E['bulk']", "--expr", "E[0]")
    assert outcome.column("row") == ["0", "1", "2", "3", "0"]
    assert outcome.column("value") == ["2.0", "1.75", "-4.0", "1.5", "-4.0"]


def test_key_of_names(prcli):
    outcome = prcli(*ENSEMBLE, "--expr", "E['3']", "--name-key", "height")
    assert outcome.column("value") == ["-2.25"]


def test_members_that_are_not_finite_are_warned_of(prcli):
    outcome = prcli(*ENSEMBLE, "--expr", "log(E['bulk'])")
    assert outcome.column("value") == ["nan"]
    assert "warning: log(E['bulk']): not finite for 5 of 5 members" in outcome.err


def test_averages(prcli):
    command = (*ENSEMBLE, "--temperature", "300")
    outcome = prcli(*command, "--average", "height", "--average", "E", "--members")
    assert outcome.code == 0, outcome.err
    names = ["observable", "method", "n_frames", "n_effective", "value", "mean", "sigma"]
    assert outcome.table[0] == names + [f"member_{m}" for m in range(5)]
    assert outcome.column("observable") == ["height", "height", "E", "E"]
    assert outcome.column("method") == ["direct", "cumulant"] * 2
    assert outcome.column("value") == ["2.5", "2.5", *[str(ENERGIES.mean())] * 2]
    table = members(outcome)
    np.testing.assert_allclose(numbers(outcome, "mean")[:, 0], table.mean(axis=1))
    np.testing.assert_allclose(numbers(outcome, "sigma")[:, 0], table.std(axis=1, ddof=1))
    beta = 1.0 / (8.617333262e-5 * 300.0)
    deviations = members(prcli(*ENSEMBLE, "--deviations"))
    weights = np.exp(-beta * deviations)
    direct = (np.arange(6.0) @ weights) / weights.sum(axis=0)
    np.testing.assert_allclose(table[0], direct, rtol=1e-9)
    covariance = (np.arange(6.0) - 2.5) @ deviations / 6.0
    np.testing.assert_allclose(table[1], 2.5 - beta * covariance, rtol=1e-9)
    n_effective = (weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)).min()
    assert float(outcome.column("n_effective")[0]) == pytest.approx(n_effective)
    assert outcome.column("n_effective")[1] == "6.0"


def test_a_column_named_like_the_energy_is_said(prcli):
    write_store(Path("e.h5"), 6, seed=4, columns={"energy_predicted": ENERGIES, "E": ENERGIES * 0})
    outcome = prcli("ensemble", "c.h5", "e.h5", "--expr", "E[0]")
    assert outcome.column("value") == ["-4.0"]
    assert "warning: E is the predicted energy" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--expr", "E[0]", "--average", "E"), "--expr and --average"),
        (("--expr", "E[0]", "--per", "atom"), "--per atom"),
        (("--expr", "E[0]", "-n", "1"), "at least 2"),
        (("--expr", "E[0]", "--deviations"), "need predictions"),
        (("--expr", "__import__('os')"), "not allowed"),
        (("--expr", "E.T"), "not allowed"),
        (("--name-key", "x"), "--name-key"),
        (("--average", "height"), "temperature"),
        (("--temperature", "300"), "temperature"),
        (("--average", "height", "--temperature", "0"), "--temperature must be"),
        (("--average", "eval('1')", "--temperature", "300"), "not allowed"),
        (("-n", "0"), "--n-members"),
        (("--seed", "-1"), "--seed"),
        (("--alpha", "0"), "--alpha"),
        (("--predicted", "other"), "'other' are not found"),
        (("--weights", "gone.npy"), "gone.npy"),
        (("--per", "force"), "no force rows"),
        (("--per", "atom"), "structure"),
    ],
)
def test_requests_that_cannot_be_satisfied(fails, arguments, message):
    assert message in fails("ensemble", "c.h5", "s.h5", *arguments)


def test_deviations_exclude_weights(fails, tmp_path):
    np.save(tmp_path / "w.npy", np.ones(3))
    assert "--weights" in fails(*ENSEMBLE, "--weights", "w.npy", "--deviations")


def test_formats(prcli):
    tsv = prcli(*ENSEMBLE)
    lines = prcli(*ENSEMBLE, "--format", "jsonl").text.splitlines()
    assert [json.loads(line)["member_3"] for line in lines] == members(tsv)[:, 3].tolist()
    text = prcli(*ENSEMBLE, "--format", "table").text
    assert text.splitlines()[0].split() == tsv.table[0]


def test_configuration_file(prcli):
    Path("run.toml").write_text(
        '[ensemble]\nn-members = 4\nseed = 3\nexpr = ["E[0]", "E[1]"]\nmembers = true\n'
        '[loss]\npredicted = "height"\nforce-delta = 0.1\n'
    )
    outcome = prcli("ensemble", "c.h5", "s.h5", "--config", "run.toml")
    assert outcome.code == 0, outcome.err
    assert outcome.column("value") == ["0.0", "1.0"]
    assert outcome.table[0][-1] == "member_3"


@pytest.mark.parametrize("argument", ["f.xyz", "-"])
def test_structures_that_carry_features_and_names(prcli, argument):
    counts = counts_of(3, 5)
    comments = [
        f"Properties=species:S:1:pos:R:3 energy_predicted={e} config_type={c}"
        for e, c in ((-1.0, "a"), (-2.0, "b"), (-4.0, "b"))
    ]
    frames = frames_of(counts, comments=comments, atoms=atoms_for(counts, 3, 5))
    write_frames(Path("f.xyz"), frames)
    outcome = prcli(
        "ensemble",
        "c.h5",
        argument,
        *("--feature-key", "feats", "--name-key", "config_type"),
        *("--expr", "mean(E['b']) - E['a']"),
        stdin=b"".join(frames),
    )
    assert outcome.code == 0, outcome.err
    assert outcome.column("value") == ["-2.0"]


def test_calibration_leads_here(prcli):
    g = np.random.default_rng(3)
    columns = {"energy": ENERGIES, "energy_predicted": ENERGIES + 0.1 * g.normal(size=6)}
    write_store(Path("valid.h5"), 6, seed=9, columns=columns)
    assert prcli("calibrate", "h.h5", "valid.h5", "-o", "fitted.h5").code == 0
    outcome = prcli("ensemble", "fitted.h5", "s.h5", "-n", "2")
    assert outcome.code == 0, outcome.err
    assert (numbers(outcome, "sigma_eV") > 0.0).all()
