from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import write_store

from prcli.data.tables import read_table

MODELS = ("--model", "early.h", "early.h5", "--model", "late.h", "late.h5")


@pytest.fixture(autouse=True)
def models(workplace, prcli):
    """Two models with features of their own of the same structures."""
    for name, n_features, seed in (("early", 2, 5), ("late", 3, 5)):
        write_store(Path(f"{name}_train.h5"), 9, n_features, seed=8)
        write_store(Path(f"{name}.h5"), 5, n_features, seed, xyz=Path("test.xyz"))
        assert prcli("hessian", f"{name}_train.h5", "-o", f"{name}.h").code == 0


def rigidities(prcli, name: str, per: str = "atom") -> np.ndarray:
    outcome = prcli("score", f"{name}.h", f"{name}.h5", "--per", per, "--order", "file", "-q")
    return np.array(outcome.column("lpr" if per == "atom" else "pr"), float)


@pytest.mark.parametrize("per", ["atom", "structure"])
def test_differences_are_those_of_scores(prcli, per):
    outcome = prcli("compare", *MODELS, "--per", per)
    early, late = rigidities(prcli, "early", per), rigidities(prcli, "late", per)
    best = int(np.argmax(late))
    x, x_ref = early / early[best], late / late[best]
    assert outcome.column("model") == ["early", "late"]
    assert outcome.column("reference") == ["false", "true"]
    assert outcome.column("n_rows") == [str(len(late))] * 2
    found = np.array(outcome.column("mean_difference"), float)
    np.testing.assert_allclose(found, [np.mean(np.abs(x - x_ref) / x_ref), 0.0], rtol=1e-12)
    name = "lpr" if per == "atom" else "pr"
    np.testing.assert_allclose(float(outcome.column(f"{name}_mean")[0]), early.mean(), rtol=1e-12)


def test_reference_by_name(prcli):
    outcome = prcli("compare", "--model", "a=early.h", "early.h5", *MODELS[3:], "--reference", "a")
    assert outcome.column("model") == ["a", "late"]
    assert outcome.column("reference") == ["true", "false"]
    assert float(outcome.column("mean_difference")[0]) == 0.0
    assert float(outcome.column("mean_difference")[1]) > 0.0


def test_curves_follow_the_reference(prcli):
    assert prcli("compare", *MODELS, "--curves", "c.tsv").code == 0
    table = read_table("c.tsv")
    assert list(table) == ("model position index source frame atom species lpr normalized".split())
    late = rigidities(prcli, "late")
    n = len(late)
    assert table["model"] == ["early"] * n + ["late"] * n
    assert table["position"] == [str(i) for i in range(n)] * 2
    np.testing.assert_array_equal(np.array(table["lpr"][n:], float), np.sort(late))
    assert float(table["normalized"][-1]) == 1.0
    assert set(table["source"]) == {"test.xyz"}
    # The same atoms in the same order for both.
    assert table["atom"][:n] == table["atom"][n:]
    early = rigidities(prcli, "early")[np.argsort(late, kind="stable")]
    np.testing.assert_array_equal(np.array(table["lpr"][:n], float), early)


def test_plots(prcli):
    pytest.importorskip("matplotlib")
    assert prcli("compare", *MODELS, "--plots", "plots").code == 0
    assert sorted(path.name for path in Path("plots").iterdir()) == ["dynamics.png", "dynamics.svg"]


def test_models_in_a_configuration(prcli):
    Path("c.toml").write_text(
        '[compare]\nmodel = [["early.h", "early.h5"], ["b=late.h", "late.h5"]]\n'
    )
    assert prcli("compare", "--config", "c.toml").column("model") == ["early", "b"]
    Path("c.toml").write_text('[compare]\nmodel = ["early.h", "early.h5"]\n')
    assert "lists of 2 values" in prcli("compare", "--config", "c.toml").err


def test_rows_of_zeros_are_left_out(prcli):
    import h5py

    with h5py.File("early.h5", "r+") as file:
        file["atoms/features"][3] = 0.0
    outcome = prcli("compare", *MODELS)
    assert outcome.column("n_left_out") == ["1", "1"]
    assert "1 atom of infinite rigidity" in outcome.err


def test_other_structures_are_refused(prcli, fails):
    write_store(Path("other.h5"), 6, 3, seed=5)
    message = fails("compare", *MODELS[:3], "--model", "late.h", "other.h5")
    assert "same structures" in message
    write_store(Path("others.h5"), 5, 3, seed=6)
    message = fails("compare", *MODELS[:3], "--model", "late.h", "others.h5")
    assert "in the same order" in message
    assert "structure" in message


def test_other_elements_are_refused(fails):
    import h5py

    with h5py.File("late.h5", "r+") as file:
        file["atoms/species"][4] = 79
    assert "same element" in fails("compare", *MODELS)


def test_equal_structures_in_another_order_are_refused(prcli, fails):
    frame = b'2\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:f:R:3\n'
    frames = [
        frame + b"".join(b"C %d 0 %d %d 1 2\n" % (2 * j, i, j) for j in (0, 1)) for i in range(3)
    ]
    Path("f.xyz").write_bytes(b"".join(frames))
    for name, chosen in (("forth", "f.xyz"), ("back", "f.xyz@::-1")):
        made = prcli("features", "import", chosen, "--feature-key", "f", "-o", f"{name}.h5")
        assert made.code == 0, made.err
    same = ("--model", "a=late.h", "back.h5", "--model", "b=late.h", "back.h5")
    assert prcli("compare", *same).code == 0
    message = fails("compare", *same[:-1], "forth.h5")
    assert "structure 0" in message
    assert "frame 2" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (MODELS[:3], "at least two models"),
        ((*MODELS[:3], *MODELS[:3]), "same name"),
        ((*MODELS, "--reference", "none"), "one of early, late"),
        ((*MODELS[:5], "absent.h5"), "absent.h5"),
        ((*MODELS, "--curves", "early.h5"), "early.h5"),
        (
            ("--model", "a=early.h", "test.xyz", "--model", "b=late.h", "test.xyz")
            + ("--featurizer", "soap", "--keep-features", "kept"),
            "one model only",
        ),
        ((*MODELS[:5], "early.h5"), "features"),
    ],
)
def test_bad_requests(fails, arguments, words):
    assert words in fails("compare", *arguments)
