"""The prior: where it comes from, and its root."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigh

from prcli.data.hessian_record import HessianRecord, check_prior
from prcli.data.prior_file import read_prior_file
from prcli.errors import FormatError, MismatchError
from prcli.workflows.rows import RowForm

logger = logging.getLogger(__name__)
FloatArray = NDArray[np.float64]

#: "identity", a file, or the diagonal or matrix itself.
PriorChoice: TypeAlias = str | Path | NDArray[np.floating]

IDENTITY = "identity"

#: Eigenvalues of a prior down to minus this share of the largest count as rounding.
INDEFINITE_SHARE = 1e-10

#: Roots of the priors that are alive, by the address of the array: each is computed, and its
#: rounding reported, once.
_roots: dict[int, FloatArray] = {}


def prior_files(choice: PriorChoice | None) -> list[str | Path]:
    """File that a choice of prior names, if it names one."""
    is_file = isinstance(choice, str | Path) and choice != IDENTITY
    return [choice] if is_file else []  # type: ignore[list-item]


def load_prior(choice: PriorChoice | None, form: RowForm) -> PriorChoice | None:
    """Read and check a prior before long work.

    Parameters
    ----------
    choice : "identity", path, ndarray of shape (n,) or (n, n), or None
        n is D, which leaves the intercept unregularized, or D'.
    form : RowForm
        Of the Hessian that it is for.

    Returns
    -------
    choice : "identity", ndarray of float64, or None
        None as given.

    Raises
    ------
    FormatError
        If it does not fit the features, or is not symmetric and positive semidefinite.
    """
    if choice is None or (isinstance(choice, str) and choice == IDENTITY):
        return choice
    where = f"--prior {os.fspath(choice)}" if isinstance(choice, str | Path) else "prior"
    if isinstance(choice, str | Path):
        prior = read_prior_file(choice)
    else:
        prior = np.array(choice, dtype=np.float64)
    check_prior(prior, form.n_features, form.n_columns, where)
    prior.setflags(write=False)
    root_of(prior, where)
    return prior


def settle_prior(given: PriorChoice | None, origins: Sequence[HessianRecord]) -> FloatArray | None:
    """Take the prior that the option says, else that of all files, else the identity.

    Parameters
    ----------
    given : "identity", ndarray or None
        As `load_prior` gives it.
    origins : sequence of HessianRecord

    Returns
    -------
    prior : ndarray or None
        None is the identity.

    Raises
    ------
    MismatchError
        If files differ and no option settles it.
    """
    if isinstance(given, np.ndarray):
        return np.asarray(given, dtype=np.float64)
    if given not in (None, IDENTITY):
        raise TypeError("a file must be loaded first")
    if given is not None or not origins:
        return None
    for other in origins[1:]:
        if not same_prior(other.prior, origins[0].prior):
            raise MismatchError(
                "Hessian files differ in their prior",
                expected=describe_prior(origins[0].prior),
                got=describe_prior(other.prior),
                remedy="say which with --prior identity or --prior FILE",
            )
    return origins[0].prior


def same_prior(one: FloatArray | None, other: FloatArray | None) -> bool:
    """Whether two priors are the same numbers."""
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one, other)


def describe_prior(prior: FloatArray | None) -> str:
    """Say in words what a prior is."""
    if prior is None:
        return IDENTITY
    shape = " x ".join(map(str, prior.shape))
    return f"{'diagonal' if prior.ndim == 1 else 'full'}, {shape}"


def root_of(prior: FloatArray, where: str | None = None) -> FloatArray:
    """F with FᵀF = P.

    What rounding has made negative is taken as zero, which is reported once for each prior.

    Parameters
    ----------
    prior : ndarray of shape (n,) or (n, n)
        Not to be changed afterwards.
    where : str, optional
        Its name for messages.

    Returns
    -------
    root : ndarray of shape (n,), or upper-triangular of shape (n, n)

    Raises
    ------
    FormatError
        If the prior is not positive semidefinite.
    """
    key = id(prior)
    if key not in _roots:
        root = _diagonal_root(prior, where) if prior.ndim == 1 else _root(prior, where)
        root.setflags(write=False)
        _roots[key] = root
        weakref.finalize(prior, _roots.pop, key, None)
    return _roots[key]


def _diagonal_root(prior: FloatArray, where: str | None) -> FloatArray:
    _check_semidefinite(prior, "entries", where)
    root: FloatArray = np.sqrt(np.maximum(prior, 0.0))
    return root


def _root(prior: FloatArray, where: str | None) -> FloatArray:
    """Root of a matrix: by Cholesky where it is definite, else by its eigenvalues."""
    try:
        # Keeps the digits of columns that are small beside others, which eigenvalues do not.
        return np.asarray(cholesky(prior, lower=False, check_finite=False))
    except LinAlgError:
        values, vectors = eigh(prior, check_finite=False)
    _check_semidefinite(values, "eigenvalues", where)
    tall = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T
    return np.asarray(np.linalg.qr(tall, mode="r"))


def _check_semidefinite(values: FloatArray, what: str, where: str | None) -> None:
    """Report negative values that rounding explains, refuse others."""
    lowest, largest = float(values.min()), max(0.0, float(values.max()))
    n_negative = int(np.count_nonzero(values < 0.0))
    if lowest < -INDEFINITE_SHARE * largest:
        raise FormatError(
            "the prior is not positive semidefinite",
            where=where,
            expected=f"{what} above {-INDEFINITE_SHARE:g} of the largest",
            got=f"{n_negative} below zero, the lowest {lowest:g}, the largest {largest:g}",
            remedy="compute it in float64",
        )
    if n_negative:
        logger.warning(
            "%d of %d %s of the prior are negative by rounding, down to %.2g (%.0e of the "
            "largest), and are taken as 0",
            n_negative,
            len(values),
            what,
            lowest,
            -lowest / largest,
        )
