"""How far rigidities can be trusted, in words: condition number, and what the regularizer holds."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prcli.data.hessian_record import HessianRecord
from prcli.numerics.condition import Condition, condition_of
from prcli.numerics.rigidity import prior_shares, whiten
from prcli.records import Communicator
from prcli.workflows.model import scales, unscaled_prior_root

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: Share of 1/PR from which on the regularizer holds a prediction, more than the training rows do.
MOSTLY = 0.5

#: Rows that are looked at; of more, so many at equal distances stand for all.
MOST_ROWS = 10_000

#: Width of R up to which its condition number is exact, so that this costs less than R itself.
EXACT_UP_TO = 512

#: Decimal digits of a float64 number.
_DIGITS = 16


@dataclass(frozen=True)
class Health:
    """What rigidities rest on.

    Attributes
    ----------
    condition : Condition
        Condition number of R, for scaled features.
    n_rows : int
        Rows that were looked at, those of zeros left out.
    n_held : int
        Those of them that the regularizer holds more than the training rows do.
    """

    condition: Condition
    n_rows: int
    n_held: int

    @property
    def share_held(self) -> float:
        """Share of the rows that the regularizer holds; nan of none."""
        return self.n_held / self.n_rows if self.n_rows else float("nan")


class HealthCheck:
    """Looks at rows on their way to something else.

    Parameters
    ----------
    record : HessianRecord
    factor : ndarray of shape (D', D')
        R of the record, for rows of unscaled features.
    n_rows : int
        All that will come.
    start : int
        Number among them of the first that will come here.
    """

    def __init__(
        self, record: HessianRecord, factor: FloatArray, n_rows: int, start: int = 0
    ) -> None:
        self._factor = factor
        self._prior_root = unscaled_prior_root(record)
        self._regularizer = record.regularizer
        self._condition = condition_of(factor / scales(record), EXACT_UP_TO)
        self._step = max(1, -(-n_rows // MOST_ROWS))
        self._n_seen = start
        self._n_looked_at = 0
        self._n_held = 0

    def look(self, rows: FloatArray) -> None:
        """Take the next rows, shape (m, D'), which stay as they are."""
        self.look_at(rows[self.choose(len(rows))])

    def choose(self, n_rows: int) -> NDArray[np.intp]:
        """Say which of the next `n_rows` rows are to be looked at."""
        chosen = np.arange(-self._n_seen % self._step, n_rows, self._step)
        self._n_seen += n_rows
        return chosen

    def look_at(self, chosen: FloatArray) -> None:
        """Take those of the next rows that `choose` has named, shape (m, D')."""
        if not len(chosen):
            return
        whitened = whiten(chosen, self._factor)
        shares = prior_shares(whitened, self._factor, self._prior_root, self._regularizer)
        self._n_looked_at += int(np.count_nonzero(whitened.any(axis=1)))
        self._n_held += int(np.count_nonzero(shares > MOSTLY))

    def gather(self, communicator: Communicator) -> None:
        """Count what all ranks have found, each in rows of its own."""
        found = communicator.gather_all((self._n_looked_at, self._n_held))
        self._n_looked_at, self._n_held = (sum(each) for each in zip(*found, strict=True))

    def result(self) -> Health:
        """Give what was found."""
        return Health(self._condition, self._n_looked_at, self._n_held)


def say_health(health: Health, noun: str) -> None:
    """Put into words what rigidities of rows, such as "structures", rest on."""
    say_condition(health.condition)
    say_held(health.n_held, health.n_rows, noun)


def say_condition(condition: Condition) -> None:
    """Put a condition number into words."""
    number = condition.number
    logger.info(
        "condition number of R %s%.2g: rounding leaves at least %d digits of a rigidity",
        "about " if condition.is_estimate else "",
        number,
        digits_left(number),
    )


def digits_left(condition: float) -> int:
    """Decimal digits of a rigidity that rounding leaves at a condition number of R."""
    if not math.isfinite(condition):
        return 0
    return max(0, _DIGITS - math.ceil(math.log10(condition)))


def say_held(n_held: int, n_rows: int, noun: str) -> None:
    """Say how many predictions the regularizer holds, and not the training set.

    Parameters
    ----------
    n_held, n_rows : int
    noun : str
        What the rows are, such as "structures".
    """
    if not n_rows:
        return
    if not n_held:
        logger.info(
            "training rows determine all %d %s more than the regularizer does", n_rows, noun
        )
        return
    logger.info(
        "%d of %d %s (%.3g %%) are held in place by the regularizer more than by training rows: "
        "their rigidities change with it",
        n_held,
        n_rows,
        noun,
        100.0 * n_held / n_rows,
    )
