"""Covariances between a pool and targets, and the scores that they give: kept, or made anew.

Kept ones cost memory, in either precision, and one product with the pool at each pick. Made anew
they cost a matrix product of the pool with all targets at each pick, block by block, and carry
no errors from one pick to the next.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.passes import BLOCK_ELEMENTS, Loops, Shares, lengths_of
from prcli.numerics.pool_coordinates import SINGLE
from prcli.numerics.pool_frame import PoolFrame
from prcli.numerics.posterior import TargetFrame
from prcli.records import Precision

FloatArray = NDArray[np.float64]


#: Covariances that are made anew at a time. Loops and the library's products take turns, and
#: each turn costs as much as a thread takes to wake up.
FRESH_ELEMENTS = 1 << 22


class Covariances(Protocol):
    """What scores candidates by their covariances with targets."""

    def start(self, v: FloatArray) -> None:
        """Begin with targets of variances v, shape (T,), that have just been whitened."""
        ...

    def visit(self, first: int, rows: FloatArray) -> None:
        """See candidates that have just been whitened, shape (n, D)."""
        ...

    def score(
        self,
        direction: FloatArray | None,
        k: FloatArray,
        v: FloatArray,
        weights: FloatArray,
        worth: FloatArray,
        out: FloatArray,
    ) -> None:
        """Apply the latest pick, if any, to variances, too, and fill `out` (4, C); see `passes`.

        Parameters
        ----------
        direction : ndarray of shape (D,) or None
            As from `PoolFrame.direction`.
        k : ndarray of shape (T,)
            Covariances of the pick with the targets, over √(1 + q).
        v, weights : ndarray of shape (T,)
        worth : ndarray of shape (C,)
        out : ndarray of shape (4, C)
        """
        ...

    @property
    def storage_noise(self) -> float:
        """Relative error of covariances from keeping them in fewer digits."""
        ...


class HeldCovariances:
    """All covariances in memory.

    Parameters
    ----------
    frame : PoolFrame
    targets : TargetFrame
    loops : Loops
    precision : {"float64", "float32"}
    """

    def __init__(
        self, frame: PoolFrame, targets: TargetFrame, loops: Loops, precision: Precision
    ) -> None:
        self._frame = frame
        self._targets = targets
        self._loops = loops
        shape = (len(frame.q), len(targets.v))
        is_double = precision == "float64"
        self._rounding = 0.0 if is_double else SINGLE
        self._shares: Shares = np.empty(shape) if is_double else np.empty(shape, dtype=np.float32)
        self._r: FloatArray = np.zeros(len(frame.q))

    def start(self, v: FloatArray) -> None:
        """Forget earlier picks."""
        self._v_fresh = v.copy()
        self._roots = lengths_of(v)
        self._units = self._targets.coordinates / self._roots[:, np.newaxis]

    def visit(self, first: int, rows: FloatArray) -> None:
        """Compute the covariances of some candidates."""
        height = max(1, BLOCK_ELEMENTS // max(1, self._shares.shape[1]))
        lengths = lengths_of(self._frame.q_fresh[first : first + len(rows)])
        for start in range(0, len(rows), height):
            part = slice(start, min(start + height, len(rows)))
            products = rows[part] @ self._units.T
            products /= lengths[part, np.newaxis]
            self._shares[first + part.start : first + part.stop] = products

    def score(
        self,
        direction: FloatArray | None,
        k: FloatArray,
        v: FloatArray,
        weights: FloatArray,
        worth: FloatArray,
        out: FloatArray,
    ) -> None:
        """Apply the latest pick and score every candidate in one pass."""
        frame, r = self._frame, self._r
        if direction is None:
            r[:] = 0.0
        else:
            frame.project(direction, r)
        shares, roots = self._shares, self._roots
        self._loops.score(
            r, shares, k / roots, frame.q, frame.q_fresh, v, self._v_fresh, weights, worth, out
        )

    @property
    def storage_noise(self) -> float:
        """Shares, none of which exceeds 1, are rounded at the start and at every pick."""
        return self._rounding * (1.0 + len(self._frame.chain))


class FreshCovariances:
    """Covariances that are made anew at every pick, some candidates at a time.

    Parameters
    ----------
    frame : PoolFrame
    loops : Loops
    """

    storage_noise = 0.0

    def __init__(self, frame: PoolFrame, loops: Loops) -> None:
        self._frame = frame
        self._loops = loops

    def start(self, v: FloatArray) -> None:
        """Need not know."""

    def visit(self, first: int, rows: FloatArray) -> None:
        """Need not see."""

    def score(
        self,
        direction: FloatArray | None,
        k: FloatArray,
        v: FloatArray,
        weights: FloatArray,
        worth: FloatArray,
        out: FloatArray,
    ) -> None:
        """Multiply the pool with all targets, and with the direction of the latest pick."""
        frame, n_targets = self._frame, len(v)
        directions = [frame.present()]
        if direction is not None:
            directions.append(direction[:, np.newaxis])
        ones, zeros = np.ones(n_targets), np.zeros(n_targets)
        height = max(1, FRESH_ELEMENTS // max(1, n_targets))
        for part, products in frame.products(directions, height):
            n = len(products[0])
            # These covariances know of the pick already; variances do not.
            r = np.zeros(n) if direction is None else np.ascontiguousarray(products[1][:, 0])
            scores = np.empty((4, n))
            self._loops.score(
                r,
                products[0],
                zeros,
                frame.q[part],
                np.ones(n),
                v,
                ones,
                weights,
                worth[part],
                scores,
            )
            out[:, part] = scores


def make_covariances(
    frame: PoolFrame, targets: TargetFrame, loops: Loops, precision: Precision
) -> Covariances:
    """Choose whether covariances are kept, and how."""
    if precision == "none":
        return FreshCovariances(frame, loops)
    return HeldCovariances(frame, targets, loops, precision)
