"""A pool of single rows in the whitened coordinates of one moment, and the picks since then."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrsm

from prcli.numerics.overflow import LARGEST_VARIANCE, refuse_candidate
from prcli.numerics.passes import Project, lengths_of, project_rows
from prcli.numerics.pool_coordinates import Products, make_coordinates
from prcli.numerics.posterior import RowStep, TargetFrame
from prcli.numerics.rigidity import squared_norms, whiten, whiten_one
from prcli.numerics.row_source import RowSource
from prcli.numerics.square_root import balanced_condition
from prcli.records import Precision

FloatArray = NDArray[np.float64]

#: Called with the first candidate of a run and the run's whitened rows, shape (n, D).
Visit = Callable[[int, FloatArray], None]

_EPSILON = float(np.finfo(np.float64).eps)

#: A pick whose variance has shrunk by this factor since the pool was whitened has lost
#: half of its digits there.
WORN_SHARE = 1e-8


@dataclass(frozen=True, eq=False)
class Entry:
    """A pick in the frame of a pool.

    Attributes
    ----------
    q : float
        Its variance before it was made.
    direction : ndarray of shape (D,)
        w, with r_c = z_c · w for candidates as whitened.
    """

    q: float
    direction: FloatArray


class PoolFrame:
    """The pool in whitened coordinates of one moment, and the picks since then.

    Parameters
    ----------
    pool : RowSource
    targets : TargetFrame
        Of the posterior that picks go to.
    precision : {"float64", "float32", "none"}
        How the coordinates are kept; "none": the pool is read at every pick.
    project : callable
        The loop that multiplies rows in memory with a direction; see `passes`.

    Attributes
    ----------
    factor : ndarray of shape (D, D)
        What the pool was whitened with.
    chain : Chain
        Picks since then; that of the targets until these are whitened again.
    q_fresh, q : ndarray of shape (C,)
        Variances of the candidates, then and now.
    n_whitenings : int
    """

    def __init__(
        self,
        pool: RowSource,
        targets: TargetFrame,
        precision: Precision = "float64",
        project: Project = project_rows,
    ) -> None:
        self._pool = pool
        self._targets = targets
        self._coordinates = make_coordinates(pool, precision, project)
        self.q_fresh: FloatArray = np.empty(pool.n_rows)
        self.q: FloatArray = np.empty(pool.n_rows)
        self.n_whitenings = 0

    def whiten(self, visit: Visit | None = None) -> None:
        """Whiten targets and candidates with the present factor.

        Parameters
        ----------
        visit : callable, optional
            Sees the rows as they come, which may be the only time.

        Raises
        ------
        FeatureError
            If the square of a row is too large.
        """
        # The targets' whitening may be older; from here on the picks of both are the same.
        self._targets.refresh()
        self.factor = factor = self._targets.factor
        self.chain = self._targets.chain
        self._coordinates.start(factor)
        for start, rows in self._pool.blocks():
            z = whiten(rows, factor, overwrite=True)
            with np.errstate(over="ignore", invalid="ignore"):
                variances = squared_norms(z)
            if not (variances <= LARGEST_VARIANCE).all():
                refuse_candidate(start + int(np.argmin(variances <= LARGEST_VARIANCE)))
            self.q_fresh[start : start + len(z)] = variances
            self._coordinates.put(start, z, lengths_of(variances))
            if visit is not None:
                visit(start, z)
        self.q[:] = self.q_fresh
        self._wear = 0.0
        self._condition = balanced_condition(factor)
        self.n_whitenings += 1

    def enter(self, row: FloatArray, step: RowStep) -> Entry | None:
        """Bring a pick, a row of shape (D,) that the targets know already, into this frame.

        Returns
        -------
        entry : Entry or None
            None where the pick has lost too many digits for its direction to be trusted.
        """
        is_shared, q_fresh = step.chain is self.chain, step.q_fresh
        if not is_shared:
            before = whiten_one(row, self.factor)
            q_fresh = float(before @ before)
        if step.q < WORN_SHARE * q_fresh:
            return None
        if not is_shared:
            self.chain.append(self.chain.apply(before), step.q)
        self._wear += q_fresh / (1.0 + step.q)
        return Entry(step.q, self.chain.brought_back / math.sqrt(1.0 + step.q))

    def project(self, direction: FloatArray, out: FloatArray) -> None:
        """Fill `out` (C,) with the products r of all candidates with one direction."""
        for part, (products,) in self.products([direction[:, np.newaxis]]):
            out[part] = products[:, 0]

    def products(self, directions: Sequence[FloatArray], height: int | None = None) -> Products:
        """Yield (part, products) of at most `height` candidates with directions (D, m) each."""
        return self._coordinates.products(directions, height or max(1, self._pool.n_rows))

    def products_of(self, members: NDArray[np.intp], directions: FloatArray) -> FloatArray:
        """Products (n, m) of some candidates with directions (D, m)."""
        return self._coordinates.products_of(members, directions)

    @property
    def is_held(self) -> bool:
        """Whether coordinates are in memory, so that some cost no more than their share."""
        return self._coordinates.is_held

    def shrink(self, part: slice, r: FloatArray) -> None:
        """Apply q ← q − r² to some candidates."""
        q = self.q[part]
        q -= r * r
        np.maximum(q, 0.0, out=q)

    def limits(
        self, members: NDArray[np.intp] | slice = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest variances that some candidates can have."""
        error = self.noise * self.q_fresh[members]
        least = self.q[members] - error
        np.maximum(least, 0.0, out=least)
        error += self.q[members]
        return least, error

    def rows(self, members: NDArray[np.intp]) -> FloatArray | None:
        """Whitened rows of some candidates; None where no exact ones are kept."""
        return self._coordinates.rows(members)

    def present(self) -> FloatArray:
        """Directions, shape (D, T), whose products with the pool are the present covariances."""
        targets = self._targets
        directions: FloatArray = targets.chain.apply_transposed(targets.coordinates).T
        if targets.factor is not self.factor:
            directions = self.factor @ dtrsm(1.0, targets.factor, directions)
        return directions

    @property
    def noise(self) -> float:
        """Relative rounding error of an inner product of two rows as first whitened.

        The direction of a pick is as wrong as its coordinates were when they were long, which
        its own length does not tell any more; wear adds that up.
        """
        width = math.sqrt(self._pool.n_columns)
        wear = math.sqrt(self._wear)
        steps = 8.0 * width + 4.0 * len(self.chain) + 8.0 * wear
        amplified = self._coordinates.amplification * self._condition
        return _EPSILON * (steps + amplified) + self.storage_noise

    @property
    def storage_noise(self) -> float:
        """What of the noise comes from keeping coordinates in fewer digits.

        An error of r by ε √q_fresh at each of n picks, whose r² add up to q_fresh at most,
        makes 2 ε √n q_fresh in q by Cauchy and Schwarz, and less in a covariance.
        """
        return 2.0 * self._coordinates.rounding * math.sqrt(1.0 + len(self.chain))
