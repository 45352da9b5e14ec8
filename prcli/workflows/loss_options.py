"""The loss that a model was trained with, as a user states it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from prcli.errors import RequestError
from prcli.records import Loss, LossName, RowKind

#: Kinds of row, each with options of its own.
_KINDS: tuple[RowKind, ...] = get_args(RowKind)


@dataclass(frozen=True)
class LossOptions:
    """The loss, and where its weights, references and predictions are found.

    Keys name a column of the feature store or a key of the comment line, where nothing else
    is said.

    Attributes
    ----------
    loss : {"squared", "huber", "log-cosh", "mace-universal"}
    energy_delta, force_delta, stress_delta : float, optional
        Width of a robust loss: eV/atom or eV as energy rows are, eV/Å, eV/Å³.
    stress_components : {6, 9}
        Components of the stress that the loss sums over.
    weight_key : str, optional
        Weight of a structure, for its rows of every kind.
    energy_weight_key, force_weight_key, stress_weight_key : str, optional
        Weight of a structure's rows of one kind, times the former.
    reference, predicted : str
        Total energies, eV.
    force_reference, force_predicted : str
        Columns of the atoms in the structure files, eV/Å.
    stress_reference, stress_predicted : str
        Keys of the comment line, eV/Å³: six numbers in Voigt order xx yy zz yz xz xy, or a
        tensor of nine, of which the symmetric part counts.
    """

    loss: LossName = "squared"
    energy_delta: float | None = None
    force_delta: float | None = None
    stress_delta: float | None = None
    stress_components: Literal[6, 9] = 6
    weight_key: str | None = None
    energy_weight_key: str | None = None
    force_weight_key: str | None = None
    stress_weight_key: str | None = None
    reference: str = "energy"
    predicted: str = "energy_predicted"
    force_reference: str = "forces"
    force_predicted: str = "forces_predicted"
    stress_reference: str = "stress"
    stress_predicted: str = "stress_predicted"

    def __post_init__(self) -> None:
        """Check the values, whatever door they came through.

        Raises
        ------
        RequestError
            If a value is out of its range, or has no meaning with this loss.
        """
        _check_choice("loss", self.loss, get_args(LossName))
        _check_choice("stress-components", self.stress_components, (6, 9))
        for kind in _KINDS:
            _check_delta(kind, self.delta(kind), self.loss)
        self._check_names()

    @property
    def is_robust(self) -> bool:
        """Whether rows count according to their residuals."""
        return self.loss != "squared"

    def delta(self, kind: RowKind) -> float | None:
        """Width of the loss for one kind of row."""
        return {
            "energy": self.energy_delta,
            "force": self.force_delta,
            "stress": self.stress_delta,
        }[kind]

    def weight_keys(self, kind: RowKind) -> tuple[str, ...]:
        """Keys whose values multiply the rows of one kind."""
        own = {
            "energy": self.energy_weight_key,
            "force": self.force_weight_key,
            "stress": self.stress_weight_key,
        }[kind]
        return tuple(key for key in (self.weight_key, own) if key is not None)

    def residual_keys(self, kind: RowKind) -> tuple[str, str]:
        """Where reference and prediction of one kind of row are found."""
        return {
            "energy": (self.reference, self.predicted),
            "force": (self.force_reference, self.force_predicted),
            "stress": (self.stress_reference, self.stress_predicted),
        }[kind]

    def require_delta(self, kind: RowKind) -> float:
        """Return the width of a robust loss for one kind of row.

        Raises
        ------
        RequestError
            If it was not given.
        """
        delta = self.delta(kind)
        if delta is None:
            raise RequestError(
                f"the loss {self.loss} needs a width for {kind} rows",
                expected=f"--{kind}-delta",
                got="none",
                remedy=f"give the one that the model was trained with, or --{kind}-weight 0",
            )
        return delta

    def _check_names(self) -> None:
        for kind in _KINDS:
            reference, predicted = self.residual_keys(kind)
            for name in (reference, predicted, *self.weight_keys(kind)):
                if not isinstance(name, str) or not name:
                    raise RequestError(
                        "a name of a column or key is not valid",
                        expected="a text that is not empty",
                        got=repr(name),
                    )
            if reference == predicted:
                prefix = "" if kind == "energy" else f"{kind}-"
                raise RequestError(
                    "reference and prediction are the same",
                    where=f"--{prefix}reference and --{prefix}predicted",
                    expected="two columns or keys",
                    got=repr(reference),
                )


def loss_of(options: LossOptions | None) -> Loss:
    """State the loss as a Hessian keeps it; None is squared errors."""
    options = options or LossOptions()
    return Loss(
        name=options.loss,
        energy_delta=options.energy_delta,
        force_delta=options.force_delta,
        stress_delta=options.stress_delta,
        stress_components=options.stress_components,
    )


def weight_names(options: LossOptions | None, kinds: Collection[RowKind]) -> tuple[str, ...]:
    """Name the keys whose values multiply rows, for the records of a Hessian.

    Parameters
    ----------
    options : LossOptions or None
    kinds : collection of {"energy", "force", "stress"}
        Kinds of row that there are.

    Returns
    -------
    names : tuple of str
        The key for every kind as it is, the others behind their kind:
        ``("config_weight", "force:config_forces_weight")``.
    """
    if options is None:
        return ()
    names = [] if options.weight_key is None else [options.weight_key]
    for kind in _KINDS:
        if kind in kinds:
            names += [f"{kind}:{key}" for key in _own_keys(options, kind)]
    return tuple(names)


def _own_keys(options: LossOptions, kind: RowKind) -> tuple[str, ...]:
    """Return the weight keys of a kind without the one for every kind."""
    return options.weight_keys(kind)[options.weight_key is not None :]


def _check_choice(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise RequestError(
            f"--{name} is not known",
            expected="one of " + ", ".join(map(str, known)),
            got=repr(value),
        )


def _check_delta(kind: RowKind, delta: float | None, loss: LossName) -> None:
    """Refuse a width that is not a positive number, or that nothing would use."""
    if delta is None:
        return
    option = f"--{kind}-delta"
    if loss == "squared":
        raise RequestError(
            "squared errors have no width",
            where=option,
            expected="a robust loss: huber, log-cosh or mace-universal",
            got="--loss squared",
            remedy=f"leave {option} out, or name the robust loss with --loss",
        )
    is_number = isinstance(delta, int | float) and not isinstance(delta, bool)
    if not (is_number and math.isfinite(delta) and delta > 0.0):
        raise RequestError(
            "a width of the loss is not valid",
            where=option,
            expected="a positive number",
            got=str(delta),
        )
