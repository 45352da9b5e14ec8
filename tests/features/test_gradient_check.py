from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from prcli.errors import FeatureError
from prcli.features.featurizer import Description
from prcli.features.gradient_check import check_gradients

STRUCTURE = Atoms(
    "C3",
    [[0.1, 0.2, 0.3], [1.0, 0.4, 2.0], [2.0, 1.5, 0.7]],
    cell=[[4.0, 0.1, 0.2], [0.3, 5.0, 0.1], [0.2, 0.4, 6.0]],
    pbc=True,
)
VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def features_of(structure, dtype=np.float64):
    """Two columns, smooth functions of the positions."""
    x, y, z = structure.positions.T
    return np.stack([x**2 + y * z, np.sin(x) + z], axis=1).astype(dtype)


def described(dtype=np.float64):
    """Their derivatives, by hand."""
    x, y, z = STRUCTURE.positions.T
    by_position = np.zeros((3, 3, 2))
    by_position[:, :, 0] = np.stack([2 * x, z, y], axis=1)
    by_position[:, 0, 1], by_position[:, 2, 1] = np.cos(x), 1.0
    by_strain = np.einsum("kic,kj->ijc", by_position, STRUCTURE.positions)
    symmetric = (by_strain + by_strain.swapaxes(0, 1)) / 2
    stress = np.stack([symmetric[i, j] for i, j in VOIGT]) / STRUCTURE.cell.volume
    return Description(
        features_of(STRUCTURE, dtype),
        -by_position.reshape(9, 2).astype(dtype),
        stress.astype(dtype),
    )


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_derivatives_pass(precision):
    check_gradients(
        lambda structure: features_of(structure, precision),
        STRUCTURE,
        described(precision),
        precision,
        "m",
    )


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("part", "rows"), [("forces", "force rows"), ("stress", "stress rows")])
@pytest.mark.parametrize("column", [0, 1])
def test_others_do_not(precision, part, rows, column):
    description = described(precision)
    getattr(description, part)[:, column] *= 1.3
    with pytest.raises(
        FeatureError, match=rf"not the derivatives(.*\n)+.*m, {rows}, column {column}"
    ):
        check_gradients(
            lambda structure: features_of(structure, precision),
            STRUCTURE,
            description,
            precision,
            "m",
        )


def test_shears_are_counted_twice():
    description = described()
    description.stress[3:] *= 2
    with pytest.raises(FeatureError, match="stress rows"):
        check_gradients(features_of, STRUCTURE, description, "float64", "m")


def test_what_is_not_finite_is_left_to_others():
    description = described()
    description.forces[0, 0] = np.nan
    check_gradients(features_of, STRUCTURE, description, "float64", "m")
