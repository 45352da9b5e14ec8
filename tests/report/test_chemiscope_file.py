from __future__ import annotations

import numpy as np

from prcli.report.chemiscope_file import ViewedStructure, chemiscope_dataset


def viewed(n_atoms=3, seed=0, **parts):
    g = np.random.default_rng(seed)
    given = {
        "symbols": ("C",) * n_atoms,
        "positions": g.normal(size=(n_atoms, 3)),
        "cell": np.diag([4.0, 5.0, 6.0]),
        "numbers": {"PR before": 0.5, "gain": 2.0},
        "texts": {"set": "pick"},
        "local": g.random(n_atoms) + 0.1,
    }
    return ViewedStructure(**given | parts)


def target(**parts):
    return viewed(2, 1, numbers={"PR before": np.inf}, texts={"set": "target"}, **parts)


def test_every_property_has_a_value_for_every_structure_or_atom():
    dataset = chemiscope_dataset("t", [viewed(), target()])
    lengths = {"structure": 2, "atom": 5}
    for each in dataset["properties"].values():
        assert len(each["values"]) == lengths[each["target"]]
    assert len(dataset["environments"]) == 5
    assert [s["size"] for s in dataset["structures"]] == [3, 2]


def test_what_is_not_known_is_nan():
    values = chemiscope_dataset("t", [viewed(), target()])["properties"]
    assert values["gain"]["values"][0] == 2.0
    assert np.isnan([values["gain"]["values"][1], values["PR before"]["values"][1]]).all()


def test_atoms_are_coloured_by_their_rigidity():
    structures = [viewed(alpha=0.3), target(alpha=0.3)]
    dataset = chemiscope_dataset("t", structures)
    local = np.concatenate([each.local for each in structures])
    properties = dataset["properties"]
    np.testing.assert_allclose(properties["LPR"]["values"], local, rtol=1e-5)
    sigma = properties["sigma of the atom"]
    np.testing.assert_allclose(sigma["values"], 0.3 / np.sqrt(local), rtol=1e-5)
    assert sigma["units"] == "eV"
    assert dataset["settings"]["structure"][0]["color"]["property"] == "LPR"


def test_without_features_of_atoms_there_is_no_local_rigidity():
    dataset = chemiscope_dataset("t", [viewed(), target(local=None)])
    assert "environments" not in dataset
    assert "LPR" not in dataset["properties"]
    assert "color" not in dataset["settings"]["structure"][0]


def test_cell_without_volume_is_left_out():
    flat = np.diag([4.0, 5.0, 0.0])
    structures = chemiscope_dataset("t", [viewed(), viewed(cell=flat), viewed(cell=None)])
    assert ["cell" in each for each in structures["structures"]] == [True, False, False]


def test_texts_that_are_too_many_to_tell_apart_are_left_out():
    many = [viewed(1, texts={"set": "pick", "name": str(i)}) for i in range(60)]
    properties = chemiscope_dataset("t", many)["properties"]
    assert "set" in properties
    assert "name" not in properties
