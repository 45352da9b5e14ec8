from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import (
    assert_same_hessian,
    atoms_for,
    counts_of,
    frames_of,
    gradients_of,
    split_frames,
    write_frames,
    write_store,
)

import prcli

PUBLIC = [
    "CalibrateOptions",
    "Calibration",
    "Comparison",
    "ComputeRequest",
    "ConstraintOptions",
    "Embedding",
    "Ensemble",
    "EnsembleOptions",
    "FeatureStore",
    "Features",
    "HessianOptions",
    "HessianRecord",
    "ImportRequest",
    "InputOptions",
    "LossOptions",
    "PrcliError",
    "PruneOptions",
    "Pruning",
    "Relative",
    "Scores",
    "Selection",
    "StoreWriter",
    "WriteOptions",
    "calibrate",
    "compare",
    "compute_features",
    "embed",
    "ensemble",
    "hessian",
    "import_features",
    "open_store",
    "prune",
    "read_hessian",
    "score",
    "select",
    "write_hessian",
]
SETS = {"train": (10, 1), "target": (4, 2), "pool": (9, 3)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (n_structures, seed) in SETS.items():
        write_store(Path(f"{name}.h5"), n_structures, seed=seed, xyz=Path(f"{name}.xyz"))
        counts = counts_of(n_structures, seed)
        frames = frames_of(counts, seed=seed, atoms=atoms_for(counts, 3, seed))
        write_frames(Path(f"{name}-features.xyz"), frames)
    return tmp_path


def in_memory(name: str) -> prcli.Features:
    n_structures, seed = SETS[name]
    counts = counts_of(n_structures, seed)
    return prcli.Features(atoms=atoms_for(counts, 3, seed), n_atoms=counts)


def means(name: str) -> np.ndarray:
    with prcli.open_store(f"{name}.h5") as store:
        return store.structures.read(0, store.n_structures).copy()


def test_public_names():
    assert prcli.__all__ == PUBLIC
    assert dir(prcli) == sorted([*PUBLIC, "__version__"])
    for name in PUBLIC:
        assert getattr(prcli, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        prcli.frobnicate  # noqa: B018


def test_import_is_lazy():
    code = (
        "import sys, prcli; print(sorted(m for m in sys.modules if m.startswith('prcli')), end=' ')"
    )
    code += "; print('numpy' in sys.modules, prcli.score.__name__)"
    root = Path(prcli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=root
    )
    assert done.stdout == "['prcli'] False score\n"


@pytest.mark.parametrize("energy", ["per-atom", "total"])
def test_files_and_memory_give_the_same_hessian(energy):
    expected = prcli.hessian("train.h5", energy=energy)
    for train in (in_memory("train"), Path("train.h5"), ["train.h5@:3", "train.h5@3:"]):
        found = prcli.hessian(train, energy=energy, allow_duplicates=True)
        np.testing.assert_allclose(
            np.abs(found.R["energy"]), np.abs(expected.R["energy"]), rtol=1e-9
        )
        assert found.scale == pytest.approx(expected.scale, rel=1e-12)
    key = prcli.InputOptions(feature_key="feats")
    found = prcli.hessian("train-features.xyz", energy=energy, inputs=key)
    assert_same_hessian(found, expected)


def test_array_is_the_means_of_the_structures():
    expected = prcli.hessian("train.h5", scale="structure-rms")
    found = prcli.hessian(means("train"))
    assert found.scale_rule == "structure-rms"
    assert found.scale == pytest.approx(expected.scale, rel=1e-12)
    np.testing.assert_allclose(np.abs(found.R["energy"]), np.abs(expected.R["energy"]), rtol=1e-9)


def test_hessian_files_mix_with_anything():
    part = prcli.hessian("train.h5@:4")
    prcli.write_hessian("part.h5", part, None)
    assert_same_hessian(prcli.hessian(["part.h5", "train.h5@4:"]), prcli.hessian("train.h5"))
    assert_same_hessian(prcli.hessian("part.h5"), part)
    assert_same_hessian(prcli.read_hessian("part.h5"), part)


@pytest.mark.parametrize("per", ["structure", "atom"])
def test_files_and_memory_give_the_same_scores(per):
    record = prcli.hessian("train.h5")
    prcli.write_hessian("h.h5", record, None)
    expected = prcli.score("h.h5", "pool.h5", per=per)
    for hessian in (record, Path("h.h5")):
        for data in (in_memory("pool"), ["pool.h5@:2", "pool.h5@2:"]):
            found = prcli.score(hessian, data, per=per)
            np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-9)
            np.testing.assert_array_equal(found.rank, expected.rank)
    if per == "structure":
        found = prcli.score(record, means("pool"))
        np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-9)


def test_numbers_override_those_of_the_file():
    record = prcli.hessian("train.h5")
    found = prcli.score(record, "pool.h5", regularizer=0.1, scale=2.0)
    other = prcli.hessian("train.h5", regularizer=0.1, scale=2.0)
    expected = prcli.score(other, "pool.h5")
    np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-12)


@pytest.mark.parametrize("objective", ["mean-pr", "log-det"])
def test_files_and_memory_give_the_same_selection(objective):
    expected = prcli.select("pool.h5", 5, train="train.h5", target="target.h5", objective=objective)
    record = prcli.hessian("train.h5")
    prcli.write_hessian("h.h5", record, None)
    ways = [
        {"train": in_memory("train")},
        {"hessian": record},
        {"hessian": "h.h5"},
        {"train": "h.h5"},
    ]
    for way in ways:
        found = prcli.select(
            in_memory("pool"), 5, target=in_memory("target"), objective=objective, **way
        )
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(
            [pick.objective for pick in found.picks],
            [pick.objective for pick in expected.picks],
            rtol=1e-9,
        )


def test_selection_writes_its_result():
    selection = prcli.select(
        ["pool.h5@5:", "pool.h5@:5"], 3, train="train.h5", target="target.h5", output="out"
    )
    order = [*range(5, 9), *range(5)]
    frames = split_frames(Path("pool.xyz").read_bytes())
    expected = b"".join(frames[order[i]] for i in selection.indices)
    assert Path("out/selected.xyz").read_bytes() == expected
    with pytest.raises(prcli.PrcliError, match="exists already"):
        prcli.select("pool.h5", 3, train="train.h5", target="target.h5", output="out")
    prcli.select("pool.h5", 1, train="train.h5", target="target.h5", output="out", overwrite=True)
    assert len(split_frames(Path("out/selected.xyz").read_bytes())) == 1


def test_training_set_comes_from_one_place():
    record = prcli.hessian("train.h5")
    for given in ({}, {"train": "train.h5", "hessian": record}):
        with pytest.raises(prcli.PrcliError, match="one place"):
            prcli.select("pool.h5", 1, target="target.h5", **given)


def test_ensemble_of_files_and_memory():
    record = replace(prcli.hessian("train.h5"), alpha_energy=0.1)
    prcli.write_hessian("c.h5", record, None)
    options = prcli.EnsembleOptions(n_members=4, weights=np.array([1.0, 2.0, -1.0]))
    expected = prcli.ensemble("c.h5", "pool.h5", options=options)
    found = prcli.ensemble(record, in_memory("pool"), options=options)
    assert isinstance(found, prcli.Ensemble)
    assert found.members.shape == (9, 4)
    np.testing.assert_allclose(found.members, expected.members, rtol=1e-9)
    np.testing.assert_allclose(found.predicted, expected.predicted, rtol=1e-9)
    with pytest.raises(prcli.PrcliError, match="energy_predicted"):
        prcli.ensemble(record, "pool.h5")


def test_filter_and_weights_from_columns_in_memory():
    n_structures, seed = SETS["pool"]
    counts = counts_of(n_structures, seed)
    pool = prcli.Features(
        atoms=atoms_for(counts, 3, seed), n_atoms=counts, columns={"kept": np.arange(9) % 2}
    )
    found = prcli.select(pool, 4, train="train.h5", target="target.h5", where="kept == 1")
    assert set(found.indices.tolist()) == {1, 3, 5, 7}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_arrays_are_checked(bad):
    rows = means("pool")
    rows[3, 1] = bad
    with pytest.raises(prcli.PrcliError, match="not finite") as caught:
        prcli.score(prcli.hessian("train.h5"), rows)
    assert "structure 3" in str(caught.value)


def test_import_and_open():
    request = prcli.ImportRequest("pool-features.xyz", "o.h5", feature_key="feats")
    summary = prcli.import_features(request)
    with prcli.open_store("o.h5") as store:
        assert isinstance(store, prcli.FeatureStore)
        assert store.n_structures == summary.n_structures == 9


def test_computed_features_are_those_of_the_function(monkeypatch):
    from ase import Atoms
    from ase.io import write

    text = "import numpy as np\n\n\ndef positions(frames):\n"
    text += "    return np.concatenate([atoms.positions for atoms in frames])\n"
    Path("own.py").write_text(text)
    monkeypatch.syspath_prepend(".")
    frames = [Atoms("H" * n, np.arange(3.0 * n).reshape(n, 3)) for n in (1, 3)]
    write("two.xyz", frames, format="extxyz")
    request = prcli.ComputeRequest("python:own:positions", "two.xyz", "o.h5")
    summary = prcli.compute_features(request)
    with prcli.open_store("o.h5") as store:
        assert store.n_structures == summary.n_structures == 2
        assert store.structures.read(0, 2).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_hessian_takes_weights_a_prior_and_a_loss():
    counts = counts_of(10, 1)
    table = prcli.Features(
        atoms=atoms_for(counts, 3, 1),
        n_atoms=counts,
        columns={"w": np.linspace(1.0, 2.0, 10)},
        **gradients_of(counts, 3, 1),
    )
    record = prcli.hessian(
        table,
        energy_weight=2.0,
        force_weight=3.0,
        stress_weight=0.0,
        reduction="mean",
        prior=np.ones(3),
        loss=prcli.LossOptions(weight_key="w", stress_components=9),
    )
    assert (record.energy_weight, record.force_weight, record.stress_weight) == (2.0, 3.0, 0.0)
    assert (record.reduction, record.weights) == ("mean", ("w",))
    assert record.loss.stress_components == 9
    np.testing.assert_array_equal(record.prior, np.ones(3))


def test_score_weighs_a_finished_hessian_anew():
    counts = counts_of(10, 1)
    table = prcli.Features(atoms=atoms_for(counts, 3, 1), n_atoms=counts, **gradients_of(counts))
    options = {"force_weight": 7.0, "stress_weight": 0.0, "prior": np.array([1.0, 2.0, 3.0])}
    found = prcli.score(prcli.hessian(table), "pool.h5", **options)
    expected = prcli.score(prcli.hessian(table, **options), "pool.h5")
    np.testing.assert_allclose(found.rigidity, expected.rigidity, rtol=1e-12)


def test_calibration_keeps_the_regularizer_if_told_to():
    rng = np.random.default_rng(4)
    record = prcli.hessian(rng.normal(size=(20, 3)), regularizer=1e-3)
    columns = {"energy": rng.normal(size=40), "energy_predicted": np.zeros(40)}
    valid = prcli.Features(rng.normal(size=(40, 3)), columns=columns)
    options = prcli.CalibrateOptions(keep_regularizer=True)
    calibrated = prcli.calibrate(record, valid, options=options).record
    assert calibrated.regularizer == record.regularizer
    rigidity = prcli.score(record, valid).rigidity
    expected = np.sqrt(np.mean(columns["energy"] ** 2 * rigidity))
    assert calibrated.alpha_energy == pytest.approx(expected, rel=1e-10)
    sigma = prcli.score(calibrated, valid).sigma
    np.testing.assert_allclose(sigma, expected / np.sqrt(rigidity), rtol=1e-10)
