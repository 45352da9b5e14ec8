"""Validation sets with references and predictions, in columns or in a structure file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from builders import atoms_for, counts_of, gradients_of, source_of

from prcli.data.dataset import Dataset, Part
from prcli.data.features import Features


def text_of(values: Any) -> str:
    """Numbers as a comment line holds them."""
    return " ".join(repr(float(x)) for x in np.ravel(values))


class ValidationSet:
    """Features in memory whose structure file holds energies, forces and stresses.

    `residuals` are what predictions shall miss by: total energies (S,), forces (N, 3), stresses
    (S, 6); drawn at random where not given. `without` names keys or columns by structure that
    the file lacks; the other options go to `Features`.
    """

    def __init__(
        self,
        folder: Path,
        n_structures: int = 12,
        n_features: int = 4,
        seed: int = 7,
        *,
        residuals: dict[str, np.ndarray] | None = None,
        without: dict[str, Iterable[int]] | None = None,
        name: str = "valid.xyz",
        with_source: bool = True,
        **parts: Any,
    ) -> None:
        g = np.random.default_rng(seed)
        self.counts = counts_of(n_structures, seed)
        n_atoms = int(self.counts.sum())
        shapes = {"energy": (n_structures,), "forces": (n_atoms, 3), "stress": (n_structures, 6)}
        self.reference = {key: g.normal(size=shape) for key, shape in shapes.items()}
        drawn = {key: 0.1 * g.normal(size=shape) for key, shape in shapes.items()}
        self.residuals = drawn | (residuals or {})
        self._without = {key: set(which) for key, which in (without or {}).items()}
        gradients = gradients_of(self.counts, n_features, seed)
        parts = {"atoms": atoms_for(self.counts, n_features, seed)} | gradients | parts
        numbers = g.choice([1, 6], size=n_atoms)
        self.features = Features(
            n_atoms=self.counts, species=numbers, **({"label": "validation"} | parts)
        )
        self.path = folder / name
        symbols = np.where(numbers == 1, "H", "C")
        self.path.write_text("".join(self._frame(i, symbols) for i in range(n_structures)))
        if with_source:
            self.features.source = source_of(self.path)

    @property
    def predicted(self) -> dict[str, np.ndarray]:
        """References plus residuals."""
        return {key: values + self.residuals[key] for key, values in self.reference.items()}

    def columns(self) -> dict[str, np.ndarray]:
        """Energies as store columns."""
        return {"energy": self.reference["energy"], "energy_predicted": self.predicted["energy"]}

    def of_kind(self, kind: str, energy: str = "per-atom") -> np.ndarray:
        """Residuals of all rows of a kind, as floats make them."""
        key = {"energy": "energy", "force": "forces", "stress": "stress"}[kind]
        values = self.predicted[key] - self.reference[key]
        return values / self.counts if (kind, energy) == ("energy", "per-atom") else values.ravel()

    def data(self, *positions: range) -> Dataset:
        """Some structures, or all of them."""
        chosen = positions or (range(len(self.counts)),)
        return Dataset([Part(self.features, each) for each in chosen], "validation")

    def _has(self, key: str, index: int) -> bool:
        return index not in self._without.get(key, ())

    def _frame(self, index: int, symbols: np.ndarray) -> str:
        start = int(self.counts[:index].sum())
        atoms = range(start, start + int(self.counts[index]))
        values = {key: self.reference[key] for key in self.reference}
        values |= {f"{key}_predicted": array for key, array in self.predicted.items()}
        columns = [f for f in ("forces", "forces_predicted") if self._has(f, index)]
        pairs = ["Properties=species:S:1:pos:R:3" + "".join(f":{name}:R:3" for name in columns)]
        for key in ("energy", "energy_predicted", "stress", "stress_predicted"):
            if self._has(key, index):
                pairs.append(f'{key}="{text_of(values[key][index])}"')
        pairs.append(f"config_type={'ab'[index % 2]}")
        lines = [str(len(atoms)), " ".join(pairs)]
        for k in atoms:
            numbers = "".join(f" {text_of(values[name][k])}" for name in columns)
            lines.append(f"{symbols[k]} 0 0 {k}{numbers}")
        return "".join(f"{line}\n" for line in lines)
