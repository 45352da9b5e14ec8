"""Rigidities relative to those of a reference set: how far a trajectory has left what is known."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.errors import RequestError
from prcli.numerics.moving_average import MovingAverage, finite_mean
from prcli.wording import counted
from prcli.workflows.inputs import DataArgument
from prcli.workflows.scores import ScorePer, Scores

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Word for the first frame of what is scored, in place of a data set.
FIRST = "first"

#: How relative rigidities are called.
_NAMES: dict[ScorePer, str] = {"structure": "relative_pr", "atom": "relative_lpr"}


@dataclass(frozen=True)
class RelativeOptions:
    """What rigidities are related to, and averaged over.

    Attributes
    ----------
    to : tuple of DataArgument
        A reference set, such as the test set of the model, or the word "first" for the first
        frame of what is scored.
    window : int, optional
        Frames of a moving average.
    threshold : float, optional
        Relative rigidity of structures below which a trajectory counts as out of bounds: that of
        a single frame, or with a window the moving average.
    """

    to: tuple[DataArgument, ...]
    window: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        RequestError
        """
        if self.window is not None and self.window < 1:
            raise RequestError("--window must be at least 1", got=str(self.window))
        if self.threshold is not None and not 0.0 < self.threshold < np.inf:
            raise RequestError(
                "--threshold must be a finite number above 0", got=str(self.threshold)
            )
        if self.to_first and len(self.to) > 1:
            raise RequestError(
                "the first frame and a set cannot both be the reference",
                where="--relative-to",
                remedy="a file of that name is ./first",
            )

    @property
    def to_first(self) -> bool:
        """Whether the reference is the first frame of what is scored."""
        return any(isinstance(each, str) and each == FIRST for each in self.to)

    def columns(self, per: ScorePer) -> tuple[str, ...]:
        """Names of the columns that relative rigidities add to a table."""
        names = (_NAMES[per], "relative_variance")
        averages = ("relative_pr_average", "relative_variance_average")
        return names if self.window is None else (*names, *averages)

    @property
    def watched(self) -> str:
        """What is compared with the threshold, in words."""
        if self.window is None:
            return _NAMES["structure"]
        return f"the average of {_NAMES['structure']} over {counted(self.window, 'frame')}"

    def say_below(self, index: int, source: str, frame: int) -> None:
        """Say where a trajectory fell below the threshold."""
        logger.warning(
            "%s fell below %.6g, first at index %d (%s, frame %d)",
            self.watched,
            self.threshold,
            index,
            source,
            frame,
        )

    def say_never_below(self) -> None:
        """Say that it never did."""
        if self.threshold is not None:
            logger.info("%s never fell below %.6g", self.watched, self.threshold)

    def check(self, per: ScorePer, n_structures: int | None = None) -> None:
        """Refuse what has no relative rigidity, or no average.

        Parameters
        ----------
        per : str
            What is scored.
        n_structures : int, optional
            Frames, where their number is known.

        Raises
        ------
        RequestError
        """
        if per not in _NAMES:
            raise RequestError(
                "only rigidities of structures and atoms are related to others",
                where=f"--relative-to, --per {per}",
                expected="--per structure or --per atom",
            )
        averaging = "--window" if self.window is not None else "--threshold"
        if per == "atom" and (self.window is not None or self.threshold is not None):
            raise RequestError(
                f"{averaging} is for rigidities of frames",
                where="--per atom",
                expected="--per structure",
            )
        if n_structures is not None and (self.window or 1) > n_structures:
            raise RequestError(
                "the window is longer than the trajectory",
                where=f"--window {self.window}",
                expected=f"at most {n_structures} frames",
            )


@dataclass(frozen=True, eq=False)
class Relative:
    """Rigidities relative to the mean of a reference.

    Attributes
    ----------
    name : str
        "relative_pr" or "relative_lpr".
    mean : float
        Mean rigidity of the reference.
    average, variance_average : ndarray of shape (M,) or None
        Moving averages of rigidity over mean and of mean over rigidity; nan in frames before the
        first full window.
    first_below : int or None
        First row below the threshold.
    """

    name: str
    mean: float
    average: FloatArray | None
    variance_average: FloatArray | None
    first_below: int | None

    def batch(
        self, rigidity: FloatArray, rows: NDArray[np.int64]
    ) -> Mapping[str, NDArray[np.generic]]:
        """Give the columns of some rows of these rigidities."""
        # A row of zeros has infinite rigidity and no variance.
        batch = {self.name: rigidity / self.mean, "relative_variance": self.mean / rigidity}
        if self.average is not None and self.variance_average is not None:
            batch["relative_pr_average"] = self.average[rows]
            batch["relative_variance_average"] = self.variance_average[rows]
        return batch


class Relation:
    """Relates rigidities to a reference as they come.

    Parameters
    ----------
    options : RelativeOptions
    mean : float
        Mean rigidity of the reference; see `mean_rigidity`.
    """

    def __init__(self, options: RelativeOptions, mean: float) -> None:
        self._mean = mean
        self._threshold = options.threshold
        self._averages = (
            None
            if options.window is None
            else (MovingAverage(options.window), MovingAverage(options.window))
        )

    def relate(self, scores: Scores) -> Relative:
        """Relate the next structures, or atoms."""
        relative = scores.rigidity / self._mean
        average = variance_average = None
        if self._averages is not None:
            average = self._averages[0].push(relative)
            variance_average = self._averages[1].push(
                np.where(np.isfinite(relative), self._mean / scores.rigidity, np.nan)
            )
        first_below = None
        if self._threshold is not None:
            below = (relative if average is None else average) < self._threshold
            first_below = int(np.argmax(below)) if below.any() else None
        return Relative(_NAMES[scores.per], self._mean, average, variance_average, first_below)


def mean_rigidity(reference: Scores, label: str) -> float:
    """Mean rigidity of a reference, rows of zeros left out.

    Raises
    ------
    RequestError
        If all are of zeros.
    """
    return _checked(finite_mean(reference.rigidity), label)


def mean_of_first(scores: Scores, label: str) -> float:
    """Mean rigidity of the first frame of a set.

    Raises
    ------
    RequestError
        If its rows are of zeros.
    """
    start, stop = scores.offsets[:2].tolist()
    return _checked(finite_mean(scores.rigidity[start:stop]), f"{label}, first frame")


def _checked(mean: float, label: str) -> float:
    if np.isnan(mean):
        raise RequestError(
            "the reference has no finite rigidity",
            where=f"--relative-to: {label}",
            expected="a row that is not zero",
        )
    return mean
