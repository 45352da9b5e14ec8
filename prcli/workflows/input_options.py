"""How data sets that a user names are read, and where features of bare structures come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.conventions import RowConvention
from prcli.data.features import Features
from prcli.errors import RequestError
from prcli.workflows.compute_request import GradientChoice

#: A path with an optional slice, features in memory, or an array (S, D) of mean features.
DataArgument: TypeAlias = str | Path | Features | NDArray[np.floating]

#: Options that say how a featurizer is used.
_OF_FEATURIZER = ("gradients", "species", "per_species", "distinct", "keep_features")


@dataclass(frozen=True)
class InputOptions:
    """How structure files are read that carry features, or that features are computed of.

    Attributes
    ----------
    feature_key : str, optional
        Per-atom column, or vector of the comment line.
    convention : {"mean", "sum", "per-atom"}, optional
        What such a vector is.
    verify : bool
        Hash stores again and compare with the digests that they carry.
    skip_invalid : bool
        Leave structures out of which a feature is not finite, instead of refusing them.
    featurizer : str, path or mapping, optional
        What computes features of structure files: a name such as ``soap``, a TOML file with the
        settings and the key ``featurizer``, or a mapping of the same content.
    gradients : {"force", "stress", "both"}, optional
        Gradient rows to compute as well, of sets that need any: of training sets and pools, but
        not of targets.
    species : tuple of str, optional
        Symbols of the elements that columns are made for; by default those of the Hessian or of
        stores that tell, else those of all sets of the command.
    per_species : bool, optional
        Whether atoms of different elements fill different columns; by default as the Hessian or
        stores tell, else where there are several elements.
    distinct : bool, optional
        Whether one of each two columns that are equal by symmetry is dropped; by default as the
        Hessian or stores tell, else not.
    keep_features : str or path, optional
        Folder where what is computed is kept as feature stores, named after the structure files.
    overwrite : bool
        Whether stores in that folder may be replaced.
    with_provenance : bool
        Whether these stores record time, command line and machine.
    """

    feature_key: str | None = None
    convention: RowConvention | None = None
    verify: bool = False
    skip_invalid: bool = False
    featurizer: str | Path | Mapping[str, Any] | None = None
    gradients: GradientChoice | None = None
    species: tuple[str, ...] | None = None
    per_species: bool | None = None
    distinct: bool | None = None
    keep_features: str | Path | None = None
    overwrite: bool = False
    with_provenance: bool = True

    def __post_init__(self) -> None:
        """Check that the options go together.

        Raises
        ------
        RequestError
        """
        if self.featurizer is None:
            self._require_featurizer()
        elif self.feature_key is not None or self.convention is not None:
            other = "--convention" if self.feature_key is None else "--feature-key"
            raise RequestError(
                "features must come from one place",
                where=f"--featurizer and {other}",
                expected="--featurizer where structure files carry no features, or --feature-key "
                "where they do",
                got="both",
            )

    def _require_featurizer(self) -> None:
        """Refuse options that say how a featurizer is used where there is none."""
        for name in _OF_FEATURIZER:
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise RequestError(
                    f"--{option} means nothing without --featurizer",
                    remedy=f"give --featurizer, or leave --{option} out",
                )


@dataclass(frozen=True, eq=False)
class InputSet:
    """A data set of a command.

    Attributes
    ----------
    name : str
        What it is for ("train", "pool", …), for messages.
    arguments : tuple of DataArgument
        Stores or structure files with optional slices, or features in memory.
    needs_atoms : bool
        Whether features of atoms are needed, where they are computed.
    needs_gradients : bool
        Whether gradient rows are, where they are asked for.
    per : {"structure", "atom", "force", "stress"}
        What the command needs a row for each of; gradients of that kind must be asked for.
    """

    name: str
    arguments: tuple[DataArgument, ...]
    needs_atoms: bool = True
    needs_gradients: bool = True
    per: str = "structure"
