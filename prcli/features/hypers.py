"""Hyperparameters in featomic's own words, checked key by key.

featomic ignores keys that it does not know, so a misspelt one would change nothing silently.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from prcli.errors import FormatError


@dataclass(frozen=True)
class Number:
    """A number of at least `least`, or above it; an integer where `whole`."""

    least: float = -math.inf
    above: bool = False
    whole: bool = False

    def __str__(self) -> str:
        """Say what is expected."""
        kind = "an integer" if self.whole else "a number"
        if math.isinf(self.least):
            return kind
        return f"{kind} {'above' if self.above else 'of at least'} {self.least:g}"

    def accepts(self, value: object) -> bool:
        """Tell whether a value is such a number."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        number = float(value)
        return math.isfinite(number) and (
            number > self.least or (number == self.least and not self.above)
        )


@dataclass(frozen=True)
class Table:
    """Keys that must be there, and keys that may be."""

    required: Mapping[str, Spec] = field(default_factory=dict)
    optional: Mapping[str, Spec] = field(default_factory=dict)


@dataclass(frozen=True)
class Variants:
    """A table whose ``type`` tells its other keys."""

    tables: Mapping[str, Table]


@dataclass(frozen=True)
class ByInteger:
    """A table whose keys are integers."""

    spec: Spec


@dataclass(frozen=True)
class Points:
    """A list that is passed on as it is."""


Spec: TypeAlias = Number | Table | Variants | ByInteger | Points

_POSITIVE = Number(0, above=True)
_COUNT = Number(0, whole=True)

CUTOFF = Table(
    {
        "radius": _POSITIVE,
        "smoothing": Variants({"ShiftedCosine": Table({"width": _POSITIVE}), "Step": Table()}),
    }
)
_SCALING = Variants(
    {
        "Willatt2018": Table(
            {"exponent": _COUNT, "rate": Number(0), "scale": _POSITIVE},
        )
    }
)
_OF_DENSITIES: dict[str, Spec] = {"center_atom_weight": Number(), "scaling": _SCALING}
DENSITY = Variants(
    {
        "Gaussian": Table({"width": _POSITIVE}, _OF_DENSITIES),
        "DiracDelta": Table({}, _OF_DENSITIES),
    }
)
POWER_LAW = Variants(
    {
        "SmearedPowerLaw": Table(
            {"smearing": _POSITIVE, "exponent": Number(1, whole=True)},
            {"center_atom_weight": Number()},
        )
    }
)
_GTO = Table({"max_radial": _COUNT}, {"radius": _POSITIVE})
_RADIAL = Variants({"Gto": _GTO, "Tabulated": Table({"points": Points()})})
_OF_BASES: dict[str, Spec] = {"spline_accuracy": _POSITIVE}
_TENSOR_PRODUCT = Table({"max_angular": _COUNT, "radial": _RADIAL}, _OF_BASES)
BASIS = Variants(
    {
        "TensorProduct": _TENSOR_PRODUCT,
        "Explicit": Table({"by_angular": ByInteger(_RADIAL)}, _OF_BASES),
    }
)
#: What two expansions with the same angular channels can be made of.
TENSOR_PRODUCT = Variants({"TensorProduct": _TENSOR_PRODUCT})
GTO_PRODUCT = Variants(
    {
        "TensorProduct": Table(
            {
                "max_angular": _COUNT,
                "radial": Variants({"Gto": Table({"max_radial": _COUNT, "radius": _POSITIVE})}),
            },
            _OF_BASES,
        )
    }
)


def check_hypers(value: object, spec: Spec, where: str) -> Any:
    """Check hyperparameters against what is known of them.

    Parameters
    ----------
    value : object
        As read from TOML or given in Python.
    spec : Spec
        What it should be.
    where : str
        File, and the tables down to this value.

    Returns
    -------
    object
        A copy, tables as dict.

    Raises
    ------
    FormatError
        If a key is unknown (with the nearest known one) or missing, or a value is not as it
        should be.
    """
    match spec:
        case Number():
            if not spec.accepts(value):
                raise FormatError(
                    "value is not valid", where=where, expected=str(spec), got=repr(value)
                )
            return value
        case Points():
            if not isinstance(value, list):
                raise FormatError("value is not valid", where=where, expected="a list")
            return value
        case Table():
            return _check_table(_as_mapping(value, where), spec, where)
        case ByInteger():
            return _check_integers(_as_mapping(value, where), spec.spec, where)
        case Variants():
            return _check_variant(_as_mapping(value, where), spec, where)


def _check_table(content: Mapping[str, Any], table: Table, where: str) -> dict[str, Any]:
    specs = {**table.required, **table.optional}
    for key in content:
        if key not in specs:
            raise _unknown(f"key {key!r}", key, [*specs], where)
    for key in table.required:
        if key not in content:
            raise FormatError(f"key {key!r} is missing", where=where, expected=_listed([*specs]))
    return {key: check_hypers(each, specs[key], f"{where}, {key}") for key, each in content.items()}


def _check_variant(content: Mapping[str, Any], spec: Variants, where: str) -> dict[str, Any]:
    kinds = [*spec.tables]
    kind = content.get("type")
    if kind is None:
        raise FormatError(
            "key 'type' is missing", where=where, expected=f"type = one of {_listed(kinds)}"
        )
    if kind not in kinds:
        raise _unknown(f"type {kind!r}", str(kind), kinds, where)
    others = {key: value for key, value in content.items() if key != "type"}
    return {"type": kind, **_check_table(others, spec.tables[kind], where)}


def _check_integers(content: Mapping[str, Any], spec: Spec, where: str) -> dict[str, Any]:
    for key in content:
        if not str(key).isdecimal():
            raise FormatError(
                "key is not an angular momentum", where=where, expected="0, 1, 2, ...", got=key
            )
    return {
        str(int(key)): check_hypers(value, spec, f"{where}, {key}")
        for key, value in content.items()
    }


def _as_mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FormatError("a table is needed", where=where, got=repr(value)[:80])
    return value


def _unknown(what: str, word: str, known: list[str], where: str) -> FormatError:
    near = difflib.get_close_matches(word, known, n=1)
    return FormatError(
        f"{what} is not known",
        where=where,
        expected=_listed(known) if known else "no key but type",
        remedy=f"did you mean {near[0]!r}?" if near else None,
    )


def _listed(words: list[str]) -> str:
    return ", ".join(words)
