"""Square roots of several ranks merged into one, up a tree and down again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prcli.numerics.square_root import SquareRoot
from prcli.records import Communicator

FloatArray = NDArray[np.float64]


def merge_ranks(factor: FloatArray, communicator: Communicator) -> FloatArray:
    """Square root of the sum of RᵀR over all ranks.

    Pairs of ranks merge by QR of one factor on the other, then pairs of pairs: a rank receives
    log₂(size) factors at most. The order is that of the ranks, whoever comes first.

    Parameters
    ----------
    factor : ndarray of shape (D, D)
        Upper-triangular R of this rank; zeros if it has no rows.
    communicator : Communicator

    Returns
    -------
    factor : ndarray of shape (D, D), Fortran order
        The same on all ranks.
    """
    if communicator.size == 1:
        return factor
    rank, root = communicator.rank, SquareRoot.from_factor(factor)
    step = 1
    while step < communicator.size and not rank % step:
        if rank % (2 * step):
            communicator.send(root.factor, rank - step)
        elif rank + step < communicator.size:
            root.merge(communicator.receive(rank + step))
        step *= 2
    return communicator.broadcast(root.factor)
