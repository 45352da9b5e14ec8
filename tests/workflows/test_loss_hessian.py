"""The Hessian of a training set against second derivatives of the loss itself.

A small model linear in its weights (sums over pairs of Gaussians of their distance) predicts
energies, forces and stresses of clusters in a box. Rows are derivatives by complex steps, which
have no truncation error; the loss is written out from the model's predictions and differentiated
with respect to the weights: its gradient by complex steps, its Hessian by central differences
of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from builders import source_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features
from prcli.workflows.hessian import sum_hessian
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.loss_options import LossOptions
from prcli.workflows.model import data_factor

CENTRES = np.linspace(0.8, 2.6, 5)
D = len(CENTRES)
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
STEP = 1e-30
KINDS = ("energy", "force", "stress")


def features(positions: np.ndarray) -> np.ndarray:
    """Features of the atoms, (n, D), analytic in the positions."""
    apart = positions[:, np.newaxis] - positions[np.newaxis]
    n_atoms = len(positions)
    squares = (apart**2).sum(axis=-1) + np.eye(n_atoms)
    bells = np.exp(-4.0 * (np.sqrt(squares)[..., np.newaxis] - CENTRES) ** 2)
    return (bells * (1.0 - np.eye(n_atoms))[..., np.newaxis]).sum(axis=1)


def slope(function, shape: tuple[int, ...]) -> np.ndarray:
    """Derivatives at zero of a vector function of an array, one row per entry of the array."""
    rows = []
    for index in np.ndindex(shape):
        step = np.zeros(shape, dtype=complex)
        step[index] = 1j * STEP
        rows.append(function(step).imag / STEP)
    return np.array(rows)


@dataclass(frozen=True)
class Cluster:
    positions: np.ndarray
    volume: float
    weight: float

    def sums(self, shift, strain) -> np.ndarray:
        """Summed features of the displaced, strained cluster."""
        moved = (self.positions + shift) @ (np.eye(3) + strain).T
        return features(moved).sum(axis=0)

    def force_rows(self) -> np.ndarray:
        return -slope(lambda shift: self.sums(shift, np.zeros((3, 3))), self.positions.shape)

    def stress_tensor_rows(self) -> np.ndarray:
        """Rows of the nine components, (9, D), symmetric."""
        rows = slope(lambda strain: self.sums(0.0, strain), (3, 3)).reshape(3, 3, D)
        return (0.5 * (rows + rows.transpose(1, 0, 2)) / self.volume).reshape(9, D)

    def stress_rows(self) -> np.ndarray:
        return self.stress_tensor_rows().reshape(3, 3, D)[tuple(zip(*VOIGT, strict=True))]


def clusters(n_structures: int = 5) -> list[Cluster]:
    rng = np.random.default_rng(3)
    return [
        Cluster(
            rng.uniform(0.0, 1.6, (2 + i, 3)), volume=40.0 + 3.0 * i, weight=rng.uniform(0.2, 2.0)
        )
        for i in range(n_structures)
    ]


@dataclass(frozen=True)
class Reference:
    """Numbers that the model is trained on: total energy, forces (n, 3), stress (3, 3)."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray


def predictions(weights: np.ndarray, cluster: Cluster) -> Reference:
    return Reference(
        cluster.sums(0.0, np.zeros((3, 3))) @ weights,
        (cluster.force_rows() @ weights).reshape(-1, 3),
        (cluster.stress_tensor_rows() @ weights).reshape(3, 3),
    )


def references(weights: np.ndarray, systems: list[Cluster], spread: float) -> list[Reference]:
    """What the model predicts, with errors."""
    rng = np.random.default_rng(9)
    found = []
    for cluster in systems:
        exact = predictions(weights, cluster)
        error = rng.normal(size=(3, 3))
        found.append(
            Reference(
                exact.energy + spread * len(cluster.positions) * rng.normal(),
                exact.forces + spread * rng.normal(size=exact.forces.shape),
                exact.stress + 0.02 * spread * (error + error.T),
            )
        )
    return found


def penalty(name: str, residual: np.ndarray, delta: float | None) -> np.ndarray:
    """Loss of residuals, r² near zero; analytic but at the borders of Huber's."""
    if name == "squared":
        return residual**2
    if name == "log-cosh":
        return 2.0 * delta**2 * np.log(np.cosh(residual / delta))
    linear = delta * (2.0 * residual * np.sign(residual.real) - delta)
    return np.where(np.abs(residual.real) <= delta, residual**2, linear)


@dataclass(frozen=True)
class Training:
    """A training set and the loss on it."""

    systems: list[Cluster]
    wanted: list[Reference]
    weights: dict[str, float]
    deltas: dict[str, float | None]
    loss: str = "squared"
    components: int = 6
    mean: bool = False

    def total(self, w: np.ndarray) -> complex:
        """Loss of the model with weights `w`."""
        sums = dict.fromkeys(KINDS, 0.0)
        counts = dict.fromkeys(KINDS, 0)
        for cluster, wanted in zip(self.systems, self.wanted, strict=True):
            got = predictions(w, cluster)
            residuals = {
                "energy": np.array([(got.energy - wanted.energy) / len(cluster.positions)]),
                "force": (got.forces - wanted.forces).ravel(),
                "stress": self._chosen(got.stress - wanted.stress),
            }
            for kind, residual in residuals.items():
                values = penalty(self.loss, residual, self.deltas[kind])
                sums[kind] = sums[kind] + cluster.weight * values.sum()
                counts[kind] += len(residual)
        if self.mean:
            return sum(self.weights[kind] * sums[kind] / counts[kind] for kind in KINDS)
        return sum(self.weights[kind] * sums[kind] for kind in KINDS)

    def _chosen(self, tensor: np.ndarray) -> np.ndarray:
        if self.components == 9:
            return tensor.ravel()
        return tensor[tuple(zip(*VOIGT, strict=True))]

    def half_hessian(self, w: np.ndarray) -> np.ndarray:
        """Half the matrix of second derivatives with respect to the weights."""

        def gradient(at: np.ndarray) -> np.ndarray:
            return slope(lambda step: np.asarray(self.total(at + step)), (D,))

        h = 1e-5
        rows = [gradient(w + h * e) - gradient(w - h * e) for e in np.eye(D)]
        return 0.25 * np.array(rows) / h


def as_features(training: Training, w: np.ndarray, folder: Path) -> Features:
    """The rows, and a structures file with what was wanted and predicted."""
    lines, rows, kinds, owners = [], [], [], []
    for i, (cluster, wanted) in enumerate(zip(training.systems, training.wanted, strict=True)):
        got = predictions(w, cluster)
        lines += _frame(cluster, wanted, got)
        for code, mine in ((1, cluster.force_rows()), (2, cluster.stress_rows())):
            rows.append(mine)
            kinds += [code] * len(mine)
            owners += [i] * len(mine)
    path = folder / "train.xyz"
    path.write_text("\n".join(lines) + "\n")
    table = Features(
        atoms=np.concatenate([features(cluster.positions) for cluster in training.systems]),
        n_atoms=[len(cluster.positions) for cluster in training.systems],
        gradients=np.concatenate(rows),
        gradient_kind=np.array(kinds),
        gradient_structure=np.array(owners),
    )
    table.source = source_of(path)
    return table


def _frame(cluster: Cluster, wanted: Reference, got: Reference) -> list[str]:
    def text(values) -> str:
        return " ".join(repr(float(value)) for value in np.ravel(values))

    columns = "species:S:1:pos:R:3:forces:R:3:forces_predicted:R:3"
    comment = (
        f"Properties={columns} energy={text(wanted.energy)} energy_predicted={text(got.energy)} "
        f'stress="{text(wanted.stress)}" stress_predicted="{text(got.stress)}" '
        f"w={text(cluster.weight)}"
    )
    atoms = [
        "Ar " + text([*cluster.positions[k], *wanted.forces[k], *got.forces[k]])
        for k in range(len(cluster.positions))
    ]
    return [str(len(atoms)), comment, *atoms]


def found_hessian(training: Training, w: np.ndarray, folder: Path) -> np.ndarray:
    """RᵀR of the training set as prcli sums it."""
    data = Dataset([Part(as_features(training, w, folder), range(len(training.systems)))], "train")
    loss = LossOptions(
        loss=training.loss,
        stress_components=training.components,
        weight_key="w",
        **{f"{kind}_delta": training.deltas[kind] for kind in KINDS},
    )
    options = HessianOptions(
        reduction="mean" if training.mean else "sum",
        loss=loss,
        **{f"{kind}_weight": training.weights[kind] for kind in KINDS},
    )
    factor = data_factor(sum_hessian([data], [], options))
    return factor.T @ factor


WEIGHTS = {"energy": 2.0, "force": 0.3, "stress": 50.0}
DELTAS = {"energy": 0.3, "force": 0.25, "stress": 0.008}
NO_DELTAS = dict.fromkeys(KINDS)


@pytest.mark.parametrize("loss", ["squared", "huber", "log-cosh"])
@pytest.mark.parametrize("components", [6, 9])
@pytest.mark.parametrize("mean", [False, True])
def test_hessian_is_that_of_the_loss(tmp_path, loss, components, mean):
    w = np.random.default_rng(1).normal(size=D)
    systems = clusters()
    training = Training(
        systems,
        references(w, systems, 0.3),
        WEIGHTS,
        NO_DELTAS if loss == "squared" else DELTAS,
        loss,
        components,
        mean,
    )
    expected = training.half_hessian(w)
    if mean:
        # Means are related to the number of energies, so that ς² keeps its meaning.
        expected = expected * len(systems)
    # Central differences of step 1e-5 leave 1e-10 of third derivatives and of rounding.
    np.testing.assert_allclose(
        found_hessian(training, w, tmp_path), expected, atol=1e-8 * np.abs(expected).max()
    )


def test_robust_losses_differ_from_squared_errors_here(tmp_path):
    w = np.random.default_rng(1).normal(size=D)
    systems = clusters()
    wanted = references(w, systems, 0.3)
    squared = found_hessian(Training(systems, wanted, WEIGHTS, NO_DELTAS), w, tmp_path)
    for loss in ("huber", "log-cosh"):
        found = found_hessian(Training(systems, wanted, WEIGHTS, DELTAS, loss), w, tmp_path)
        assert np.linalg.norm(found - squared) > 0.05 * np.linalg.norm(squared)


def test_hubers_hessian_is_that_of_squared_errors_without_the_outliers(tmp_path):
    w = np.random.default_rng(1).normal(size=D)
    systems = clusters()
    training = Training(systems, references(w, systems, 0.3), WEIGHTS, DELTAS, "huber")
    expected, n_outside = np.zeros((D, D)), 0
    for cluster, wanted in zip(systems, training.wanted, strict=True):
        got = predictions(w, cluster)
        n_atoms = len(cluster.positions)
        energy_row = cluster.sums(0.0, np.zeros((3, 3))) / n_atoms
        for kind, rows, residuals in (
            ("energy", energy_row[np.newaxis], [(got.energy - wanted.energy) / n_atoms]),
            ("force", cluster.force_rows(), (got.forces - wanted.forces).ravel()),
            ("stress", cluster.stress_rows(), training._chosen(got.stress - wanted.stress)),
        ):
            inside = np.abs(residuals) <= DELTAS[kind]
            kept = rows[inside]
            expected += WEIGHTS[kind] * cluster.weight * kept.T @ kept
            n_outside += np.count_nonzero(~inside)
    assert n_outside > 10
    found = found_hessian(training, w, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())
