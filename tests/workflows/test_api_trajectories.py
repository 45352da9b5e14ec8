"""Relative rigidities and comparisons of models, from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import write_store

import prcli


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, n_structures, seed in (("train", 10, 1), ("test", 4, 2), ("md", 9, 3)):
        write_store(Path(f"{name}.h5"), n_structures, seed=seed, xyz=Path(f"{name}.xyz"))


def means(name: str) -> np.ndarray:
    with prcli.open_store(f"{name}.h5") as store:
        return store.structures.read(0, store.n_structures).copy()


def test_rigidities_are_related_to_the_mean_of_a_set():
    record = prcli.hessian("train.h5")
    plain = prcli.score(record, "md.h5")
    test = prcli.score(record, "test.h5").rigidity
    scores = prcli.score(record, "md.h5", relative_to="test.h5", window=3)
    np.testing.assert_array_equal(scores.rigidity, plain.rigidity)
    assert plain.relative is None
    assert plain.relative_rigidity is None
    assert scores.relative.mean == pytest.approx(test.mean(), rel=1e-12)
    expected = plain.rigidity / test.mean()
    np.testing.assert_allclose(scores.relative_rigidity, expected, rtol=1e-12)
    np.testing.assert_allclose(scores.relative_variance, 1.0 / expected, rtol=1e-12)
    averages = [np.nan, np.nan, *(expected[i : i + 3].mean() for i in range(7))]
    np.testing.assert_allclose(scores.relative.average, averages, rtol=1e-12)
    assert scores.relative.first_below is None


def test_first_frame_below_a_threshold():
    record = prcli.hessian("train.h5")
    first = prcli.score(record, "md.h5", relative_to="first").relative_rigidity
    limit = float(np.median(first))
    found = prcli.score(record, "md.h5", relative_to="first", threshold=limit).relative
    assert found.first_below == np.flatnonzero(first < limit)[0]


def test_references_may_be_in_memory_or_several():
    record = prcli.hessian("train.h5", scale="structure-rms")
    expected = prcli.score(record, means("md"), relative_to="test.h5").relative.mean
    for reference in (means("test"), ["test.h5@:1", "test.h5@1:"]):
        found = prcli.score(record, means("md"), relative_to=reference).relative.mean
        assert found == pytest.approx(expected, rel=1e-9)


def test_atoms_are_related_to_those_of_the_first_frame():
    record = prcli.hessian("train.h5")
    plain = prcli.score(record, "md.h5", per="atom")
    scores = prcli.score(record, "md.h5", per="atom", relative_to="first")
    of_first = plain.rigidity[: plain.offsets[1]].mean()
    np.testing.assert_allclose(scores.relative_rigidity, plain.rigidity / of_first, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 3}, "window is for relative rigidities"),
        ({"threshold": 0.5}, "threshold is for relative rigidities"),
        ({"relative_to": "test.h5", "window": 10}, "longer than the trajectory"),
        ({"relative_to": "test.h5", "per": "force"}, "only rigidities of structures and atoms"),
        ({"relative_to": "gone.h5"}, "cannot be read"),
    ],
)
def test_what_cannot_be_related_is_refused(options, words):
    with pytest.raises(prcli.PrcliError, match=words):
        prcli.score(prcli.hessian("train.h5"), "md.h5", **options)


@pytest.mark.parametrize("per", ["structure", "atom"])
def test_models_are_compared_in_memory_and_from_files(per):
    small, large = prcli.hessian("train.h5@:4"), prcli.hessian("train.h5")
    prcli.write_hessian("small.hessian", small, None)
    files = {"small": ("small.hessian", "md.h5"), "large": (large, ["md.h5@:2", "md.h5@2:"])}
    found = prcli.compare(files, per=per, curves="curves.tsv")
    own = {
        name: prcli.score(record, "md.h5", per=per).rigidity
        for name, record in (("small", small), ("large", large))
    }
    highest = np.argmax(own["large"])
    x, reference = (own[name] / own[name][highest] for name in ("small", "large"))
    expected = np.mean(np.abs(x - reference) / reference)
    assert found.differences == {"small": pytest.approx(expected, rel=1e-9), "large": 0.0}
    np.testing.assert_allclose(found.curve("small"), x[np.argsort(reference)], rtol=1e-9)
    assert len(Path("curves.tsv").read_text().splitlines()) == 1 + 2 * len(x)


def test_arrays_are_compared():
    rng = np.random.default_rng(0)
    train, data = rng.normal(size=(20, 4)), rng.normal(size=(6, 4))
    wide = np.hstack([data, data**2])
    models = {
        "narrow": (prcli.hessian(train), data),
        "wide": (prcli.hessian(np.hstack([train, train**2])), wide),
    }
    found = prcli.compare(models, per="structure", reference="narrow")
    assert found.differences["narrow"] == 0.0 < found.differences["wide"]


def test_one_model_is_not_compared():
    with pytest.raises(prcli.PrcliError, match="at least two models"):
        prcli.compare({"only": ("train.h5", "md.h5")})


def test_components_of_atoms_may_be_computed_on_the_way():
    pytest.importorskip("featomic")
    hypers = {
        "featurizer": "soap",
        "cutoff": {"radius": 3.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        "density": {"type": "Gaussian", "width": 0.4},
        "basis": {
            "type": "TensorProduct",
            "max_angular": 1,
            "radial": {"type": "Gto", "max_radial": 1},
        },
    }
    soap = prcli.InputOptions(featurizer=hypers)
    record = prcli.hessian("train.xyz", inputs=soap)
    scores = prcli.score(record, "md.xyz", per="atom-component", inputs=soap)
    n_atoms = len(prcli.score(record, "md.xyz", per="atom", inputs=soap).rigidity)
    assert len(scores.rigidity) == n_atoms * len(record.blocks)
