from __future__ import annotations

import numpy as np
import pytest

from prcli.data.feature_table import FeatureTable
from prcli.data.features import Features
from prcli.errors import FeatureError
from prcli.records import Block


def test_structures_alone() -> None:
    table: FeatureTable = Features([[1, 2, 3], [4, 5, 6]])
    assert (table.n_structures, table.n_features) == (2, 3)
    assert table.n_atoms.tolist() == [1, 1]
    assert table.n_atoms.dtype == np.int64
    assert table.dtype == np.float64
    assert table.structures is not None
    assert table.structures.read(1, 2).tolist() == [[4.0, 5.0, 6.0]]
    assert table.atoms is None
    assert table.column_names == ()
    assert table.digests is not None
    assert table.digests.shape == (2,)


def test_atoms_alone() -> None:
    table = Features(atoms=np.ones((3, 2), np.float32), n_atoms=[1, 2], species=[1, 6, 8])
    assert table.n_structures == 2
    assert table.dtype == np.float32
    assert table.species is not None
    assert table.species.dtype == np.uint8
    assert table.structures is None


def test_double_precision_wins() -> None:
    assert Features(np.ones((1, 1)), np.ones((1, 1), np.float32), [1]).dtype == np.float64


def test_columns_are_floats_or_strings() -> None:
    table = Features(np.ones((2, 1)), columns={"weight": [1, 2], "group": ["a", "b"]})
    assert table.column_names == ("group", "weight")
    assert table.column("weight").dtype == np.float64
    assert table.column("group").tolist() == ["a", "b"]


def test_absent_column_lists_those_that_are_there() -> None:
    table = Features(np.ones((1, 1)), columns={"a": [1], "b": [2]})
    with pytest.raises(FeatureError, match="column 'c' is absent[\\s\\S]*one of a, b"):
        table.column("c")


def test_nan_in_a_structure_is_placed() -> None:
    rows = np.zeros((4, 3))
    rows[2, 1] = np.nan
    with pytest.raises(FeatureError, match="train, structure 2, column 1[\\s\\S]*got: +nan"):
        Features(rows, label="train")


def test_infinity_in_an_atom_is_placed() -> None:
    rows = np.zeros((6, 2))
    rows[4, 0] = np.inf
    rows[5, 0] = np.nan
    with pytest.raises(FeatureError, match="atom 1 of structure 2, column 0[\\s\\S]*got: +inf"):
        Features(atoms=rows, n_atoms=[1, 2, 3])


def test_finite_values_whose_sum_overflows_are_fine() -> None:
    assert Features(np.full((2, 2), 1e308)).n_structures == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "there are no features"),
        ({"n_atoms": [1]}, "there are no features"),
        ({"structures": np.empty((0, 3))}, "there are no structures"),
        ({"structures": np.ones(3)}, "do not fit the structures"),
        ({"structures": np.ones((3, 0))}, "do not fit the structures"),
        ({"structures": 1.0}, "there are no structures"),
        ({"structures": np.ones((2, 2)), "n_atoms": [1]}, r"shape \(1, D\)"),
        ({"structures": np.ones((2, 2), complex)}, "float32 or float64"),
        ({"structures": np.ones((2, 2), np.float16)}, "float32 or float64"),
        ({"atoms": np.ones((2, 2))}, "numbers of atoms are needed"),
        ({"atoms": np.ones((2, 2)), "n_atoms": [3]}, "do not fit the atoms"),
        ({"structures": np.ones((2, 2)), "n_atoms": [1, 0]}, "structure 1[\\s\\S]*got: +0"),
        ({"structures": np.ones((2, 2)), "n_atoms": [1.0, 2.0]}, "one integer per structure"),
        ({"structures": np.ones((2, 2)), "species": [1]}, "species do not fit"),
        ({"structures": np.ones((2, 2)), "species": [1, 300]}, "atomic number is out of range"),
        ({"structures": np.ones((2, 2)), "blocks": [Block("a", 3)]}, "add up to 2"),
        ({"structures": np.ones((1, 2)), "blocks": [Block("a", 1)] * 2}, "same name"),
        ({"structures": np.ones((1, 2)), "blocks": [Block("a,b", 2)]}, "block"),
        ({"structures": np.ones((1, 2)), "blocks": [Block(" a", 2)]}, "name of a block"),
        ({"structures": np.ones((1, 2)), "blocks": []}, "blocks cannot be understood"),
        ({"structures": np.ones((2, 2)), "convention": "average"}, "mean or sum"),
        ({"structures": np.ones((2, 2)), "columns": {"a": [1]}}, "column does not fit"),
        ({"structures": np.ones((2, 2)), "columns": {"n_atoms": [1, 1]}}, "name of a column"),
        ({"structures": np.ones((1, 2)), "columns": {"a": [None]}}, "numbers or strings"),
        ({"structures": np.ones((1, 2)), "columns": {"a": [2**53 + 1]}}, "too large"),
        (
            {"structures": np.ones((1, 2)), "atoms": np.ones((1, 3)), "n_atoms": [1]},
            "different numbers of features",
        ),
    ],
)
def test_misfits_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        Features(**arguments)  # type: ignore[arg-type]
