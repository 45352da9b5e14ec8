"""Rows so large, or so small, that numbers made of them leave the range of float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from prcli.errors import FeatureError

FloatArray = NDArray[np.float64]

#: Largest variance, and one over the smallest, that enters a search: there, products of two
#: of them are formed, and of a few numbers of order 1.
LARGEST_VARIANCE = 1e150

#: What is said of such rows, wherever they are.
EXPECTED = "features of the magnitude of those of the training set"
REMEDY = "check the units and the program that wrote them"


class CandidateOverflowError(FeatureError):
    """Features of a candidate are too large.

    Attributes
    ----------
    position : int
        Of the candidate in the pool.
    """

    position: int = -1


def refuse_candidate(position: int) -> NoReturn:
    """Refuse a candidate whose squared length is too large, by its position in the pool."""
    error = CandidateOverflowError(
        "features of a candidate are so large that their squares overflow",
        where=f"candidate {position} of the pool",
        expected=EXPECTED,
        remedy=REMEDY,
    )
    error.position = position
    raise error


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Let messages of a share of a pool, which begins at `first`, name positions in the pool."""
    try:
        yield
    except CandidateOverflowError as error:
        if first:
            refuse_candidate(first + error.position)
        raise


def check_targets(v: FloatArray, rows: FloatArray) -> None:
    """Refuse targets whose rigidity, or its square, is out of range.

    Parameters
    ----------
    v : ndarray of shape (T,)
        Inverse rigidities.
    rows : ndarray of shape (T, D)
        Rows of zeros are left alone.

    Raises
    ------
    FeatureError
    """
    large = np.flatnonzero(~(v <= LARGEST_VARIANCE))
    small = np.flatnonzero(v < 1.0 / LARGEST_VARIANCE)
    small = small[rows[small].any(axis=1)]
    for members, size in ((large, "large"), (small, "small")):
        if members.size:
            raise FeatureError(
                f"features of a target are so {size} that its rigidity is out of range",
                where=f"target {members[0]} of those with a row and a weight",
                expected=EXPECTED,
                got=f"PR {'below 1e-150' if size == 'large' else 'above 1e150'}",
                remedy=REMEDY,
            )
