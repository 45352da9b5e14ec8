"""Whether features and last-layer weights give the energies of the model they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prcli.errors import FeatureError

#: Largest error allowed, relative to the sum of the magnitudes of the learned terms.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}

#: Roundings of the offsets, in units of the last place, that are allowed besides: energies of
#: isolated atoms can be a million times what is learned.
_ROUNDINGS = 7


@dataclass(frozen=True, eq=False)
class EnergyCheck:
    """Energies as a model gives them, and what makes them up.

    Attributes
    ----------
    of : {"atom", "structure"}
        What the entries belong to.
    expected : (n,) array of float
        Energies of the model, eV.
    learned : (n,) array of float
        Features times weights, biases included; eV.
    magnitudes : (n,) array of float
        Sums of the absolute values of the terms of `learned`, eV.
    offsets : (n,) array of float
        What the model adds to them, eV.
    n_summed : (n,) array of int, optional
        Atoms that the model sums energies of, one after another; by default one.
    """

    of: Literal["atom", "structure"]
    expected: np.ndarray
    learned: np.ndarray
    magnitudes: np.ndarray
    offsets: np.ndarray
    n_summed: np.ndarray | int = 1

    def require(self, precision: str, where: str) -> float:
        """Refuse features that do not give the energies of the model.

        Parameters
        ----------
        precision : {"float32", "float64"}
            Of the numbers that the model computed with.
        where : str
            The model.

        Returns
        -------
        float
            Largest difference, relative to the learned terms.

        Raises
        ------
        FeatureError
            If a difference is larger than rounding makes it.
        """
        tolerance = TOLERANCES[precision]
        obtained = self.learned + self.offsets
        differences = np.abs(self.expected - obtained)
        roundings = (_ROUNDINGS + self.n_summed) * np.finfo(precision).eps * np.abs(self.offsets)
        roundings += (self.n_summed - 1) * np.finfo(precision).eps * self.magnitudes
        is_right = differences <= tolerance * self.magnitudes + roundings
        if not is_right.all():
            worst = int(np.argmax(np.where(is_right, -1.0, differences)))
            raise FeatureError(
                "the features and last-layer weights do not give the energies of the model",
                where=f"{where}, {self.of} {worst} of the first structures",
                expected=f"{self.expected[worst]:.10g} eV, to {tolerance:g} of its terms",
                got=f"{obtained[worst]:.10g} eV",
                remedy="the model has other terms than its readouts, or gave NaN; "
                "its descriptors can be had with --feature-kind descriptor",
            )
        scale = np.maximum(self.magnitudes, np.finfo(np.float64).tiny)
        return float(np.max(differences / scale, initial=0.0))
