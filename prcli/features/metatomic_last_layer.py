"""The last linear layers of exported models: their weights, and the columns of their biases.

An energy is linear in the parameters θ of the last layers: E(θ) = E(0) + Σ_k θ_k ∂E/∂θ_k. What a
weight is multiplied by, the model gives as an output. What a bias is multiplied by, it does not:
1 for each atom, or, in PET, the sum of the cutoff function over the neighbours, Σ f_cut. But a
bias so large that nothing else is left in the energy shows it, at the full precision of the
model, whatever its architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.errors import FeatureError
from prcli.features.energy_check import EnergyCheck
from prcli.features.metatomic_model import MetatomicModel, Systems
from prcli.records import Block

if TYPE_CHECKING:
    from ase import Atoms

#: The large bias: energies divided by it vanish, and it fits into float32 with room.
_LARGE = 2.0**80

#: Relative difference up to which two columns are the same one.
_EQUAL = 1e-4


@dataclass(frozen=True, eq=False)
class Parameter:
    """Weights or bias of a last layer; `tensor` is that of the model."""

    name: str
    tensor: Any

    def values(self) -> np.ndarray:
        """Copy them, flat and in double precision."""
        return np.asarray(self.tensor.detach().cpu().double().numpy()).ravel()


class LastLayer:
    """The last linear layers of a model, side by side.

    Parameters
    ----------
    model : MetatomicModel
        One with last-layer features.

    Attributes
    ----------
    weights : list of Parameter
        In the order of the features.
    groups : list of list of Parameter
        Biases that are multiplied by something else than a constant, those of equal columns
        together. Constant ones belong to an intercept.
    scale : float
        What the model multiplies the result by.

    Raises
    ------
    FeatureError
        If the model cannot be probed.
    """

    def __init__(self, model: MetatomicModel) -> None:
        self._model = model
        parameters = dict(model.module.named_parameters())
        names = parameter_names(model)
        self.weights = [Parameter(name, parameters[name]) for name in names]
        biases = [f"{name.removesuffix('weight')}bias" for name in names]
        self.biases = [Parameter(name, parameters[name]) for name in biases if name in parameters]
        systems = model.systems(probes(model))
        self.scale = self._find_scale(systems)
        self.groups = self._find_groups(systems)

    @property
    def n_columns(self) -> int:
        """D: columns of weights, and one for each group of biases."""
        return sum(len(each.values()) for each in self.weights) + len(self.groups)

    def blocks(self) -> tuple[Block, ...]:
        """Name the columns: by what the names of the parameters differ in."""
        names = short_names([each.name for each in self.weights])
        blocks = [
            Block(name, len(each.values())) for name, each in zip(names, self.weights, strict=True)
        ]
        many = len(self.groups) > 1
        blocks += [Block(f"bias_{i + 1}" if many else "bias", 1) for i in range(len(self.groups))]
        return tuple(blocks)

    def group_names(self) -> list[str]:
        """Name the biases that have columns."""
        return [bias.name for group in self.groups for bias in group]

    def features(self, systems: Systems, traced: bool = False) -> Any:
        """Compute the columns of weights and of groups of biases; an (n, D) tensor."""
        import torch

        assert self._model.last_layer is not None
        if not self.groups:
            return self._model.run(systems, [self._model.last_layer], traced)[0]
        columns: list[Any] = []
        for group in self.groups:
            # The first run gives the features as well.
            names = [] if columns else [self._model.last_layer]
            rows, column = self._probe(systems, group, names, traced)
            # n equal columns make the same products of rows as one times √n.
            columns += [*rows, column / (self.scale * len(group) ** 0.5)]
        return torch.cat(columns, dim=1)

    def _probe(
        self, systems: Systems, biases: Sequence[Parameter], names: Sequence[str], traced: bool
    ) -> tuple[list[Any], Any]:
        """Run with some large biases; other outputs, and the energy in units of the large bias."""
        assert self._model.energy is not None
        with self.replaced({bias.name: _LARGE for bias in biases}):
            *rows, energies = self._model.run(systems, [*names, self._model.energy], traced)
        return rows, energies / _LARGE

    def _find_scale(self, systems: Systems) -> float:
        """Find what the model multiplies by: weights f_j/|f_j|² give 1 for atom j."""
        assert self._model.last_layer is not None
        assert self._model.energy is not None
        rows = _as_array(self._model.run(systems, [self._model.last_layer])[0])
        if rows.shape[1] != sum(len(each.values()) for each in self.weights):
            raise FeatureError(
                "the model has another number of last-layer features than of weights",
                where=self._model.last_layer,
                expected=str(sum(len(each.values()) for each in self.weights)),
                got=str(rows.shape[1]),
            )
        longest = int(np.argmax(np.einsum("ij,ij->i", rows, rows)))
        row = rows[longest]
        if not row.any():
            raise FeatureError(
                "last-layer features of the model vanish", where=self._model.last_layer
            )
        weights = np.split(
            row / (row @ row) * _LARGE, np.cumsum([len(each.values()) for each in self.weights])
        )
        values: dict[str, Any] = {bias.name: 0.0 for bias in self.biases}
        values |= {each.name: part for each, part in zip(self.weights, weights, strict=False)}
        with self.replaced(values):
            energies = _as_array(self._model.run(systems, [self._model.energy])[0])
        return float(energies[longest, 0] / _LARGE)

    def _find_groups(self, systems: Systems) -> list[list[Parameter]]:
        """Sort out biases of constant columns, and group those of equal ones."""
        groups: list[tuple[np.ndarray, list[Parameter]]] = []
        for bias in self.biases:
            column = _as_array(self._probe(systems, [bias], [], False)[1])[:, 0]
            if _is_equal(column, column[:1]):
                continue
            for known, members in groups:
                if _is_equal(column, known):
                    members.append(bias)
                    break
            else:
                groups.append((column, [bias]))
        return [members for _, members in groups]

    def energy_check(self, systems: Systems, features: Any) -> EnergyCheck:
        """Compare the energies of atoms with those that features and parameters give.

        Parameters
        ----------
        systems : Systems
        features : (n, D) tensor
            Those of `features`.
        """
        assert self._model.energy is not None
        rows = _as_array(features)
        expected = _as_array(self._model.run(systems, [self._model.energy])[0])[:, 0]
        with self.replaced({each.name: 0.0 for each in [*self.weights, *self.biases]}):
            offsets = _as_array(self._model.run(systems, [self._model.energy])[0])[:, 0]
        grouped = self.group_names()
        constants = [bias for bias in self.biases if bias.name not in grouped]
        constant = float(sum(bias.values().sum() for bias in constants))
        theta = np.concatenate(
            [each.values() for each in self.weights]
            + [sum(bias.values() for bias in group) / len(group) ** 0.5 for group in self.groups]
        )
        magnitudes = np.abs(rows) @ np.abs(theta) + abs(constant)
        return EnergyCheck(
            "atom",
            expected=expected,
            learned=self.scale * (rows @ theta + constant),
            magnitudes=abs(self.scale) * magnitudes,
            offsets=offsets,
        )

    @contextmanager
    def replaced(self, values: dict[str, Any]) -> Iterator[None]:
        """Let parameters have other values within the block."""
        import torch

        chosen = [each for each in [*self.weights, *self.biases] if each.name in values]
        before = [each.tensor.detach().clone() for each in chosen]
        for each in chosen:
            new = torch.as_tensor(values[each.name], dtype=torch.float64).to(each.tensor)
            # Past autograd, which would otherwise refuse to differentiate what was computed
            # with them; derivatives by positions need them only in what the large bias hides.
            each.tensor.data.copy_(new.expand(each.tensor.numel()).view_as(each.tensor))
        try:
            yield
        finally:
            for each, old in zip(chosen, before, strict=True):
                each.tensor.data.copy_(old)


def parameter_names(model: MetatomicModel) -> list[str]:
    """Name the weights of the last layers in the order of the features; none if not known.

    metatrain keeps their names in the model, and models wrapped in another one in that.
    """
    for prefix, owner in (("", model.module), ("model.", getattr(model.module, "model", None))):
        known = getattr(owner, "last_layer_parameter_names", None)
        if known is not None and model.energy in known:
            return [prefix + str(name) for name in known[model.energy]]
    return []


def probes(model: MetatomicModel) -> list[Atoms]:
    """Make a pair and a triangle of atoms, well within the cutoff."""
    from ase import Atoms

    side = 0.4 * model.cutoff if model.cutoff else 1.0
    corners = side * np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.75**0.5, 0.0]])
    number = model.species[0]
    return [Atoms([number] * n_atoms, corners[:n_atoms]) for n_atoms in (2, 3)]


def short_names(names: Sequence[str]) -> list[str]:
    """Shorten names of parameters to the parts that they differ in.

    ``a.node_last_layers.energy.0.weight`` and ``a.edge_last_layers.energy.0.weight`` become
    ``node`` and ``edge``.
    """
    parts = [name.split(".") for name in names]
    if len(names) == 1 or len({len(each) for each in parts}) > 1:
        return ["last_layer"] if len(names) == 1 else list(names)
    differing = [i for i, column in enumerate(zip(*parts, strict=True)) if len(set(column)) > 1]
    return [".".join(each[i].removesuffix("_last_layers") for i in differing) for each in parts]


def _is_equal(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=_EQUAL, atol=_EQUAL * float(np.max(np.abs(one)))))


def _as_array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
