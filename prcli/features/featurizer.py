"""What turns structures into features: its interface, and the featurizers that there are."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np

from prcli.errors import RequestError
from prcli.records import Block, RowKind

if TYPE_CHECKING:
    from ase import Atoms

#: Group of entry points under which installed packages offer featurizers of their own.
ENTRY_POINT_GROUP = "prcli.featurizers"

#: Name and factory of every featurizer that comes with prcli.
FEATURIZERS = {
    "soap": "prcli.features.soap:make_soap",
    "lode": "prcli.features.lode:make_lode",
    "mace": "prcli.features.mace:make_mace",
    "metatomic": "prcli.features.metatomic:make_metatomic",
}

#: Prefix of a featurizer that is any function of the user's: ``python:module:function``.
PYTHON_PREFIX = "python:"


@dataclass(frozen=True, eq=False)
class Description:
    """Features of some structures, atoms in order.

    Attributes
    ----------
    features : (n, D) array of float
        One row per atom.
    forces : (3 n, D) array of float, optional
        −∂(Σ_j f_j)/∂r_kα for each atom k and axis α of x, y, z; 1/angstrom.
    stress : (6 s, D) array of float, optional
        ½(∂/∂ε_ij + ∂/∂ε_ji) Σ_j f_j / V for each structure, in the order xx yy zz yz xz xy;
        1/angstrom³.
    """

    features: np.ndarray
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None


@dataclass(frozen=True)
class FeaturizerOptions:
    """What a featurizer is made with.

    Attributes
    ----------
    species : tuple of int
        Atomic numbers that occur, increasing. They fix the columns beforehand.
    hypers : mapping, optional
        Settings in the featurizer's own words; None stands for its defaults.
    per_species : bool, optional
        Whether atoms of different elements fill different columns; by default they do where
        there are several elements.
    distinct : bool
        Whether only one of each two columns that are equal by symmetry is kept, times √2.
    gradients : tuple of {"force", "stress"}
        Kinds of gradient rows that will be asked for.
    example : ase.Atoms, optional
        The first structure, for those that find their width by describing one.
    where : str
        What messages about `hypers` name.
    """

    species: tuple[int, ...]
    hypers: Mapping[str, Any] | None = None
    per_species: bool | None = None
    distinct: bool = False
    gradients: tuple[RowKind, ...] = ()
    example: Atoms | None = None
    where: str = "hypers"


class Featurizer(Protocol):
    """Something that describes the atoms of structures by rows of features.

    Columns mean the same for all structures, whichever are described together.

    Attributes
    ----------
    name : str
    n_features : int
        D.
    blocks : tuple of Block, optional
        Components, in column order.
    settings : mapping
        All that decides the numbers, with versions, as JSON knows it.
    """

    name: str
    n_features: int
    blocks: tuple[Block, ...] | None
    settings: Mapping[str, object]

    def check(self, structure: Atoms) -> None:
        """Refuse a structure that cannot be described.

        Before any long work it is asked about one structure of each periodicity, later about
        each structure.

        Raises
        ------
        FeatureError
            With what is wrong.
        """
        ...

    def n_bytes(self, structure: Atoms, gradients: Sequence[RowKind] = ()) -> int:
        """Estimate the memory that describing a structure takes."""
        ...

    def describe(
        self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
    ) -> Description:
        """Compute features, and the gradient rows that are asked for.

        Raises
        ------
        FeatureError
            If a structure cannot be described.
        """
        ...


Factory: TypeAlias = Callable[[FeaturizerOptions], Featurizer]


def featurizer_names() -> list[str]:
    """Name the featurizers that there are, ours first."""
    installed = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return [*FEATURIZERS, *sorted(installed - set(FEATURIZERS))]


def make_featurizer(name: str, options: FeaturizerOptions) -> Featurizer:
    """Make a featurizer by name.

    Parameters
    ----------
    name : str
        One of `featurizer_names`, or ``python:module:function``.
    options : FeaturizerOptions

    Returns
    -------
    featurizer : Featurizer

    Raises
    ------
    RequestError
        If the name is not known, a package is missing, or it cannot give such gradients.
    FormatError
        If the hyperparameters are not understood.
    """
    return find_factory(name)(options)


def find_factory(name: str) -> Factory:
    """Find what makes a featurizer; see `make_featurizer`.

    Raises
    ------
    RequestError
        If there is no such featurizer, with the nearest one.
    """
    if name.startswith(PYTHON_PREFIX):
        from prcli.features.python_function import factory_of

        return factory_of(name.removeprefix(PYTHON_PREFIX))
    if name in FEATURIZERS:
        module, attribute = FEATURIZERS[name].split(":")
        return cast(Factory, getattr(import_module(module), attribute))
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _load(point)
    known = featurizer_names()
    near = difflib.get_close_matches(name, known, n=1)
    raise RequestError(
        f"featurizer {name!r} is not known",
        expected=f"one of {', '.join(known)}, or {PYTHON_PREFIX}MODULE:FUNCTION",
        remedy=f"did you mean {near[0]!r}?" if near else None,
    )


def _load(point: EntryPoint) -> Factory:
    """Load what an installed package offers.

    Raises
    ------
    RequestError
        If it is not there, or what it needs is not.
    """
    try:
        return cast(Factory, point.load())
    except (ImportError, AttributeError) as error:
        package = point.dist.name if point.dist is not None else point.module
        raise RequestError(
            f"featurizer {point.name!r} of package {package} cannot be loaded",
            where=point.value,
            got=str(error),
            remedy=f"install what {package} needs, or another version of it",
        ) from error


def refuse_gradients(name: str, asked: Sequence[RowKind], given: Sequence[RowKind]) -> None:
    """Refuse kinds of gradient rows that a featurizer cannot compute.

    Raises
    ------
    RequestError
        With the kinds that it can.
    """
    missing = [kind for kind in asked if kind not in given]
    if missing:
        raise RequestError(
            f"{name} has no {' and '.join(missing)} rows",
            where="--gradients",
            expected=f"{' or '.join(given)} rows" if given else "no gradients",
            got=" and ".join(asked),
        )
