"""What is asked of a trained model: its file, what to take from it, and where to run it."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from prcli.elements import SYMBOLS
from prcli.errors import FeatureError, FormatError, RequestError
from prcli.features.featurizer import FeaturizerOptions
from prcli.records import FeatureKind

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

FEATURE_KINDS = ("last-layer", "descriptor")
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True)
class ModelOptions:
    """How features are taken from a model; the hyperparameters of featurizers that run one.

    Attributes
    ----------
    model : str
        Path of the model file.
    feature_kind : {"last-layer", "descriptor"}, optional
        What to take; by default last-layer features where the model has them, which is said.
    device : str
        Device of PyTorch that runs the model.
    precision : {"float32", "float64"}, optional
        Of the numbers that the model computes with; by default its own.
    head : str, optional
        Which one of several sets of last-layer weights; of metatomic models, the output that
        is the energy.
    extensions : str, optional
        Folder of the compiled operations that a metatomic model needs.
    """

    model: str
    feature_kind: FeatureKind | None = None
    device: str = "cpu"
    precision: str | None = None
    head: str | None = None
    extensions: str | None = None


_CHOICES = {"feature_kind": FEATURE_KINDS, "precision": PRECISIONS}


def read_model_options(name: str, options: FeaturizerOptions) -> ModelOptions:
    """Read the hyperparameters of a featurizer that runs a model.

    Parameters
    ----------
    name : str
        Of the featurizer, for messages.
    options : FeaturizerOptions

    Raises
    ------
    FormatError
        If a key or value is not known, or the model is not named.
    RequestError
        If other columns are asked for than the model's.
    """
    known = [field.name for field in fields(ModelOptions)]
    content = dict(options.hypers or {})
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise FormatError(
                f"key {key!r} is not known",
                where=options.where,
                expected=", ".join(known),
                remedy=f"did you mean {near[0]!r}?" if near else None,
            )
        expected = _CHOICES.get(key)
        if value is not None and (
            not isinstance(value, str) or (expected is not None and value not in expected)
        ):
            raise FormatError(
                f"value of {key!r} is not valid",
                where=options.where,
                expected=" or ".join(expected) if expected else "text",
                got=repr(value),
            )
    if not content.get("model"):
        raise FormatError(
            "no model file is named",
            where=f"{name}, {options.where}",
            expected="key 'model'",
            remedy=f'--featurizer takes a file with featurizer = "{name}" and model = "FILE"',
        )
    refuse_columns(name, options)
    return ModelOptions(**{key: value for key, value in content.items() if value is not None})


def refuse_columns(name: str, options: FeaturizerOptions) -> None:
    """Refuse what would change the columns, where they are the featurizer's own.

    Raises
    ------
    RequestError
        If it is asked for.
    """
    if options.per_species or options.distinct:
        raise RequestError(
            f"the columns of {name} are its own",
            got="per-species columns" if options.per_species else "distinct columns",
            remedy="leave the option out",
        )


def check_species(numbers: Sequence[int], known: Sequence[int], where: str | None = None) -> None:
    """Refuse elements that a model was not trained on.

    Raises
    ------
    FeatureError
        With the elements, and those that the model knows.
    """
    unknown = sorted({int(number) for number in numbers} - set(known))
    if unknown:
        raise FeatureError(
            "the model does not know all elements of the structures",
            where=where,
            expected=_symbols(known),
            got=_symbols(unknown),
            remedy="leave these structures out, or use another model",
        )


def _symbols(numbers: Sequence[int]) -> str:
    known = [SYMBOLS[number] if number < len(SYMBOLS) else str(number) for number in numbers]
    return ", ".join(known)


def check_structure(structure: Atoms, known: Sequence[int]) -> None:
    """Refuse a structure that a model cannot be run on.

    Raises
    ------
    FeatureError
        If it has no atoms or unknown elements, or its cell does not span its periodic
        directions. Whoever knows the frame adds it.
    """
    if not len(structure):
        raise FeatureError("structure has no atoms")
    check_species(np.unique(structure.numbers).tolist(), known)
    vectors = structure.cell.array[structure.pbc]
    if len(vectors) and np.linalg.matrix_rank(vectors) < len(vectors):
        raise FeatureError(
            "the cell does not span the periodic directions",
            expected=f"{len(vectors)} independent vectors",
            got=str(vectors.tolist()),
        )


def choose_kind(
    options: ModelOptions, has_last_layer: bool, reason: str | None = None
) -> FeatureKind:
    """Choose between last-layer features and descriptors; a choice for want of others is said.

    Parameters
    ----------
    options : ModelOptions
    has_last_layer : bool
        Whether the model has last-layer features.
    reason : str, optional
        Why it has none.

    Raises
    ------
    RequestError
        If last-layer features are asked for and there are none.
    """
    if options.feature_kind == "last-layer" and not has_last_layer:
        raise RequestError(
            "the model has no last-layer features",
            where=options.model,
            got=reason,
            remedy="take its descriptors with --feature-kind descriptor",
        )
    if options.feature_kind is not None:
        return options.feature_kind
    if has_last_layer:
        return "last-layer"
    logger.warning(
        "%s has no last-layer features (%s): descriptors are taken, whose Hessian is not that of "
        "the model's loss",
        options.model,
        reason,
    )
    return "descriptor"


def count_edges(structure: Atoms, cutoff: float) -> float:
    """Estimate how many neighbours an atom has, from the mean density."""
    n_atoms = len(structure)
    if not structure.pbc.all():
        return float(n_atoms)
    density = n_atoms / abs(float(structure.cell.volume))
    return density * 4.0 / 3.0 * math.pi * cutoff**3
