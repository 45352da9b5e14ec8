"""Force and stress rows of features that PyTorch can differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.features.featurizer import Description
from prcli.records import RowKind

if TYPE_CHECKING:
    from ase import Atoms

#: Rows and columns of the strain, in Voigt order xx yy zz yz xz xy.
_ROWS, _COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)


@dataclass(frozen=True, eq=False)
class Traced:
    """Features of a batch and what they can be differentiated by.

    Attributes
    ----------
    features : (n, D) tensor
    positions : list of tensors
        Together the (n, 3) positions, angstrom.
    strains : list of tensors
        Together the (s, 3, 3) strains of the structures; empty where none are asked for.
    """

    features: Any
    positions: list[Any]
    strains: list[Any]


def describe_traced(
    traced: Traced, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
) -> Description:
    """Differentiate features column by column, and put rows and features together.

    Atoms see only those of their own structure, so one pass back gives a column of all
    structures.

    Parameters
    ----------
    traced : Traced
    structures : sequence of ase.Atoms
        Those of the batch; their volumes are needed for stress rows.
    gradients : sequence of {"force", "stress"}

    Returns
    -------
    Description
        In the precision of the features.
    """
    values = traced.features.detach().cpu().numpy()
    if not gradients:
        return Description(values)
    (n_atoms, n_features), dtype = values.shape, values.dtype
    forces = np.zeros((n_atoms, 3, n_features), dtype) if "force" in gradients else None
    strains = np.zeros((len(structures), 3, 3, n_features), dtype)
    for column in range(n_features):
        of_positions, of_strains = _derivatives(traced, column, column + 1 < n_features)
        if forces is not None:
            forces[:, :, column] = -_as_array(of_positions, traced.positions)
        if "stress" in gradients:
            strains[..., column] = _as_array(of_strains, traced.strains).reshape(-1, 3, 3)
    stress = _stress_rows(strains, structures) if "stress" in gradients else None
    return Description(
        values, None if forces is None else forces.reshape(3 * n_atoms, n_features), stress
    )


def _derivatives(traced: Traced, column: int, again: bool) -> tuple[Sequence[Any], Sequence[Any]]:
    """Differentiate the sum of a column over all atoms."""
    import torch

    total = traced.features[:, column].sum()
    inputs = [*traced.positions, *traced.strains]
    if not total.requires_grad:
        # A column that no position reaches.
        return [None] * len(traced.positions), [None] * len(traced.strains)
    parts = torch.autograd.grad(total, inputs, retain_graph=again, allow_unused=True)
    return parts[: len(traced.positions)], parts[len(traced.positions) :]


def _as_array(derivatives: Sequence[Any], inputs: Sequence[Any]) -> np.ndarray:
    """Join derivatives; None stands for zeros."""
    parts = [
        np.zeros(tuple(tensor.shape)) if derivative is None else derivative.cpu().numpy()
        for derivative, tensor in zip(derivatives, inputs, strict=True)
    ]
    return np.concatenate(parts)


def _stress_rows(strains: np.ndarray, structures: Sequence[Atoms]) -> np.ndarray:
    """Make derivatives by nine strains six, and divide by the volumes."""
    symmetric = (strains + strains.swapaxes(1, 2)) / 2
    volumes = np.array([abs(structure.cell.volume) for structure in structures])
    rows = symmetric[:, _ROWS, _COLUMNS] / volumes[:, np.newaxis, np.newaxis].astype(strains.dtype)
    return np.asarray(rows).reshape(-1, strains.shape[-1])
