"""A small neural potential on SOAP features: a network per atom, whose outputs are averaged.

Trained by PyTorch on energies per atom, one thread, seeded: the same numbers every time on the same
machine. Trained weights are kept as arrays of NumPy, which give last-layer features in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Structures as the potential sees them.

    Attributes
    ----------
    features : ndarray of shape (N, D)
        SOAP of all atoms, those of structure 0 first.
    n_atoms : ndarray of shape (S,)
    energy : ndarray of shape (S,)
        Total energies, eV.
    """

    features: FloatArray
    n_atoms: NDArray[np.int64]
    energy: FloatArray

    @property
    def starts(self) -> NDArray[np.int64]:
        """(S,) first atom of each structure."""
        return np.concatenate([[0], np.cumsum(self.n_atoms)[:-1]])

    def means(self, values: FloatArray) -> FloatArray:
        """Average values of atoms over each structure."""
        totals = np.add.reduceat(values, self.starts, axis=0)
        return (totals.T / self.n_atoms).T

    def subset(self, chosen: NDArray[np.intp]) -> Labelled:
        """Take some of the structures."""
        n_atoms = self.n_atoms[chosen]
        place = np.arange(n_atoms.sum()) - np.repeat(np.cumsum(n_atoms) - n_atoms, n_atoms)
        rows = np.repeat(self.starts[chosen], n_atoms) + place
        return Labelled(self.features[rows], n_atoms, self.energy[chosen])


@dataclass(frozen=True)
class Training:
    """How a potential is trained; all of them take the same number of steps.

    Attributes
    ----------
    width : int
        Of both hidden layers; the last-layer features are as many.
    n_steps : int
        Of Adam, at a rate that falls from `rate` to zero as a cosine.
    batch : int
        Structures that a step looks at.
    rate : float
    seed : int
        Of the first weights and of the order of structures.
    """

    width: int = 64
    n_steps: int = 10_000
    batch: int = 32
    rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Potential:
    """A network of some state of training.

    Attributes
    ----------
    centre, spread : ndarray of shape (D,)
        Of the SOAP features over the atoms of the training set.
    hidden : tuple of (ndarray of shape (H, D) or (H, H), ndarray of shape (H,))
        Weights and biases of the hidden layers.
    readout : ndarray of shape (H,)
        Weights of the last layer, eV.
    bias : float
        eV.
    """

    centre: FloatArray
    spread: FloatArray
    hidden: tuple[tuple[FloatArray, FloatArray], ...]
    readout: FloatArray
    bias: float

    def last_layer(self, features: FloatArray) -> FloatArray:
        """Last-layer features of atoms, shape (N, H), in which energies are linear."""
        from scipy.special import expit

        rows = (features - self.centre) / self.spread
        for weights, biases in self.hidden:
            rows = rows @ weights.T + biases
            rows = rows * expit(rows)
        return rows

    def local_energies(self, features: FloatArray) -> FloatArray:
        """Energies of atoms, eV, shape (N,)."""
        energies: FloatArray = self.last_layer(features) @ self.readout + self.bias
        return energies


def train(data: Labelled, training: Training, keep: Sequence[int]) -> list[Potential]:
    """Train a potential on energies per atom.

    Parameters
    ----------
    data : Labelled
    training : Training
    keep : sequence of int
        After how many steps the potential is kept; ascending, 0 is the one of the first weights.

    Returns
    -------
    potentials : list of Potential
        One for each number in `keep`.
    """
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(training.seed)
    inputs = _Inputs.of(data)
    features, weights, targets = map(torch.from_numpy, (inputs.rows, inputs.shares, inputs.targets))
    net = torch.nn.Sequential(
        torch.nn.Linear(features.shape[2], training.width),
        torch.nn.SiLU(),
        torch.nn.Linear(training.width, training.width),
        torch.nn.SiLU(),
        torch.nn.Linear(training.width, 1),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=training.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.n_steps)
    batches = _batches(len(targets), training)
    kept = []
    for step in range(training.n_steps + 1):
        if step in keep:
            arrays = [values.detach().numpy().astype(np.float64) for values in net.parameters()]
            kept.append(inputs.potential(arrays))
        if step == training.n_steps:
            break
        batch = next(batches)
        optimizer.zero_grad()
        predicted = (net(features[batch])[..., 0] * weights[batch]).sum(dim=1)
        ((predicted - targets[batch]) ** 2).mean().backward()
        optimizer.step()
        schedule.step()
    return kept


def _batches(n_structures: int, training: Training):
    """Yield positions of the structures of each step, epoch after epoch in random order."""
    import torch

    while True:
        yield from torch.randperm(n_structures).split(training.batch)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What the network is given: every structure padded to the atoms of the largest one.

    Attributes
    ----------
    rows : ndarray of shape (S, n, D)
        Features of atoms, centred and scaled.
    shares : ndarray of shape (S, n)
        What each atom counts in the mean; 0 for padding.
    targets : ndarray of shape (S,)
        Energies per atom, centred and scaled.
    """

    rows: NDArray[np.float32]
    shares: NDArray[np.float32]
    targets: NDArray[np.float32]
    centre: FloatArray
    spread: FloatArray
    offset: float
    unit: float

    @classmethod
    def of(cls, data: Labelled) -> _Inputs:
        centre, spread = data.features.mean(axis=0), data.features.std(axis=0)
        energies = data.energy / data.n_atoms
        offset, unit = float(energies.mean()), float(energies.std())
        present = np.arange(data.n_atoms.max()) < data.n_atoms[:, None]
        rows = np.zeros((*present.shape, len(centre)), dtype=np.float32)
        rows[present] = (data.features - centre) / spread
        shares = (present / data.n_atoms[:, None]).astype(np.float32)
        targets = ((energies - offset) / unit).astype(np.float32)
        return cls(rows, shares, targets, centre, spread, offset, unit)

    def potential(self, arrays: Sequence[FloatArray]) -> Potential:
        """Give the weights of the network, with energies in eV."""
        *hidden, weights, bias = arrays
        layers = tuple(zip(hidden[::2], hidden[1::2], strict=True))
        readout, shift = weights[0] * self.unit, float(bias[0]) * self.unit + self.offset
        return Potential(self.centre, self.spread, layers, readout, shift)
