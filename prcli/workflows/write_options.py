"""In which forms a selection is written for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from prcli.data.annotation import format_value
from prcli.data.frame_edits import check_name
from prcli.errors import RequestError

WriteFormat: TypeAlias = Literal["mace", "metatrain", "indices"]
MaceRole: TypeAlias = Literal["replay", "finetune"]

#: What MACE calls references by default.
MACE_KEYS = {"energy": "REF_energy", "forces": "REF_forces", "stress": "REF_stress"}

#: Names in a frame that mean something else, to MACE or to all readers.
_TAKEN = frozenset("Lattice Properties pbc species Z pos config_type config_weight head".split())


@dataclass(frozen=True)
class WriteOptions:
    """Files beside the selection itself.

    Attributes
    ----------
    formats : tuple of {"mace", "metatrain", "indices"}
    mace_role : {"replay", "finetune"}
        Whether the picks are replay data, or what a model is fine-tuned or trained on.
    mace_keys : dict
        Names of energy, forces and stress in the file for MACE.
    mace_weight : float, optional
        ``config_weight`` of every pick; by default what a frame says.
    mace_head : str, optional
        ``head`` of every pick; by default what a frame says.
    energy, forces, stress : str
        What references are called in the frames.
    """

    formats: tuple[WriteFormat, ...] = ()
    mace_role: MaceRole = "replay"
    mace_keys: tuple[tuple[str, str], ...] = tuple(MACE_KEYS.items())
    mace_weight: float | None = None
    mace_head: str | None = None
    energy: str = "energy"
    forces: str = "forces"
    stress: str = "stress"

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
        FormatError
            If a name cannot be written into a frame.
        """
        unknown = [name for name in self.formats if name not in get_args(WriteFormat)]
        if unknown:
            raise RequestError(
                "--write does not know a format",
                expected="one of " + ", ".join(get_args(WriteFormat)),
                got=", ".join(unknown),
            )
        strange = [name for name, _ in self.mace_keys if name not in MACE_KEYS]
        if strange:
            raise RequestError(
                "--mace-keys names something that has no key",
                expected="energy=NAME, forces=NAME or stress=NAME",
                got=", ".join(strange),
            )
        self._check_keys()
        if self.mace_head is not None:
            if not self.mace_head.strip():
                raise RequestError("--mace-head must not be empty", got=repr(self.mace_head))
            format_value(self.mace_head)
        weight = self.mace_weight
        if weight is not None and not (np.isfinite(weight) and weight >= 0.0):
            raise RequestError(
                "--mace-weight must be a finite number that is not negative", got=str(weight)
            )

    def _check_keys(self) -> None:
        """Refuse names under which a quantity would not be found, or another one would."""
        for _, key in self.mace_keys:
            check_name(key, "--mace-keys")
        names = [self.mace_key(quantity) for quantity in MACE_KEYS]
        wrong = [name for name in names if name in _TAKEN or names.count(name) > 1]
        if wrong:
            raise RequestError(
                "--mace-keys gives a quantity a name that is taken",
                expected="a name of its own for each of energy, forces and stress",
                got=wrong[0],
            )

    def mace_key(self, quantity: str) -> str:
        """Name a quantity as the file for MACE does."""
        return (MACE_KEYS | dict(self.mace_keys))[quantity]
