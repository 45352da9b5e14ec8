"""What people know structures by: formula and ``config_type``, of a few of many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import species
from prcli.data.comment_line import comment_values
from prcli.data.comment_pairs import comment
from prcli.data.dataset import Dataset
from prcli.elements import SYMBOLS
from prcli.errors import PrcliError
from prcli.workflows.frames import Frames
from prcli.workflows.rows import species_counts
from prcli.workflows.structure_columns import formula_of

logger = logging.getLogger(__name__)

#: The key by which most data sets tell kinds of structures apart.
KIND_KEY = "config_type"

#: Structures of a set up to which a column of texts is read for a few of them.
_LARGEST_COLUMN = 1_000_000

_ELEMENTS = tuple(range(1, len(SYMBOLS)))


@dataclass(frozen=True, eq=False)
class Labels:
    """Formula and kind of some structures.

    Attributes
    ----------
    formula, kind : ndarray of object of shape (n,)
        Texts; None where nothing is known.
    """

    formula: NDArray[np.object_]
    kind: NDArray[np.object_]


def read_labels(
    data: Dataset, indices: NDArray[np.int64], open_frames: Callable[[], Frames]
) -> Labels:
    """Read formula and kind of some structures, from the store where it has them.

    Parameters
    ----------
    data : Dataset
    indices : ndarray of shape (n,)
        Ascending, so that files are read once from front to back.
    open_frames : callable
        Opens the structure files; what cannot be opened is only missing on a drawing.
    """
    formula = np.full(len(indices), None, dtype=object)
    kind = np.full(len(indices), None, dtype=object)
    # A column is read as a whole.
    has_kind = KIND_KEY in data.column_names and data.n_structures <= _LARGEST_COLUMN
    if has_kind:
        kind[:] = [_text(value) for value in data.column(KIND_KEY)[indices].tolist()]
    if data.has_species:
        formula[:] = [_stored_formula(data, int(index)) for index in indices]
    if not (has_kind and data.has_species):
        try:
            for i, content in enumerate(open_frames().read(indices)):
                own = frame_labels(content)
                formula[i] = formula[i] if data.has_species else own[0]
                kind[i] = kind[i] if has_kind else own[1]
        except PrcliError as error:
            logger.info("structures of the %s set have no names: %s", data.name, error.what)
    return Labels(formula, kind)


def frame_labels(content: bytes) -> tuple[str, str | None]:
    """Read formula and kind of a frame."""
    counts = np.bincount(species(content), minlength=len(SYMBOLS))
    return formula_of(counts[1:]), _text(comment_values(comment(content), [KIND_KEY]).get(KIND_KEY))


def _stored_formula(data: Dataset, index: int) -> str:
    part, position = data.locate(index)
    return formula_of(species_counts(part, range(position, position + 1), _ELEMENTS)[0])


def _text(value: object) -> str | None:
    """Write what a key holds; an absent one holds nothing."""
    return None if value is None or value != value else str(value)
