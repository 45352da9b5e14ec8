"""All that decides the picks of a selection, as a checkpoint records it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields

import numpy as np
from numpy.typing import NDArray

from prcli.data.dataset import Dataset
from prcli.data.digests import content_digest_of
from prcli.data.feature_table import FeatureTable
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import file_digest
from prcli.data.store import FeatureStore
from prcli.workflows.constraints import Constraints
from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.prior import PriorChoice, prior_files
from prcli.workflows.row_weights import RowWeights
from prcli.workflows.select_options import SelectOptions

#: Options of a Hessian that decide no number by themselves.
_SILENT = ("allow_duplicates", "prior", "loss")


def selection_identity(
    options: SelectOptions,
    hessian_options: HessianOptions,
    *,
    train: Sequence[Dataset],
    records: Sequence[HessianRecord],
    pool: Dataset,
    target: Dataset | None,
    allowed: NDArray[np.bool_] | None,
    target_weight: NDArray[np.float64] | None,
    weights: RowWeights | None,
    constraints: Constraints | None = None,
) -> dict[str, object]:
    """Name everything that decides which candidates are picked.

    Neither threads, memory nor the form of the output are in it. Training sets stand for the
    factors made of them, which differ in their last digits from one number of threads to another.

    Parameters
    ----------
    options : SelectOptions
    hessian_options : HessianOptions
    train : sequence of Dataset
        Training sets that are still to be summed.
    records : sequence of HessianRecord
        Finished Hessians.
    pool : Dataset
    target : Dataset or None
    allowed : ndarray of bool of shape (C,) or None
        Candidates that pass the filter.
    target_weight : ndarray of shape (S,) or None
    weights : RowWeights or None
        Of the rows of the candidates.
    constraints : Constraints, optional

    Returns
    -------
    identity : dict of str to object
        Numbers, texts and digests, by the names of the options.
    """
    identity: dict[str, object] = dict(asdict(options))
    for field in fields(hessian_options):
        if field.name not in _SILENT:
            identity[field.name] = getattr(hessian_options, field.name)
    if hessian_options.loss is not None:
        identity |= asdict(hessian_options.loss)
    of_candidates = {} if weights is None else weights.of_structures
    identity |= {
        "train": [data_digest(data) for data in train],
        "hessian": [record_digest(record) for record in records],
        "prior": _prior_digest(hessian_options.prior),
        "pool": data_digest(pool),
        "target": None if target is None else data_digest(target),
        "where": None if allowed is None else _digest([allowed]),
        "target_weight": None if target_weight is None else _digest([target_weight]),
        "weights of candidates": {
            kind: _digest([each]) for kind, each in of_candidates.items() if each is not None
        },
    }
    identity |= _constraint_identity(constraints or Constraints())
    return {name.replace("_", "-"): value for name, value in identity.items()}


def _constraint_identity(constraints: Constraints) -> dict[str, object]:
    """Name what constraints ask for, and what that means for the candidates."""
    own = constraints.options
    excluded = constraints.excluded
    return {
        "budget": own.budget,
        "cost": own.cost if constraints.costs is None else _digest([constraints.costs]),
        "quotas": [
            [group.name, group.least, group.most, _digest([group.members])]
            for group in constraints.groups
        ],
        "include": _digest([constraints.included]) if len(constraints.included) else None,
        "exclude": None if excluded is None else _digest([excluded]),
        "min_distance": own.min_distance,
        "duplicates_within": own.duplicates_within,
    }


def data_digest(data: Dataset) -> str:
    """Identify the structures of a set, in their order, without reading large stores."""
    parts = []
    for part in data.parts:
        run = part.positions
        parts.append([_table_digest(part.table), run.start, run.stop, run.step])
    return _digest([json.dumps(parts)])


def record_digest(record: HessianRecord) -> str:
    """Hash all that a Hessian holds."""
    pieces: list[str | NDArray[np.generic]] = []
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Mapping):
            for name, each in sorted(value.items()):
                pieces += [name, each if isinstance(each, np.ndarray) else repr(each)]
        else:
            pieces += [field.name, value if isinstance(value, np.ndarray) else repr(value)]
    return _digest(pieces)


def _table_digest(table: FeatureTable) -> str:
    """Digest of the content; of stores of other programs, that carry none, size and time."""
    if not isinstance(table, FeatureStore):
        return content_digest_of(table)
    if table.content_digest is not None:
        return table.content_digest
    status = os.stat(table.path)
    return f"{status.st_size} bytes, modified {status.st_mtime_ns} ns"


def _prior_digest(prior: PriorChoice | None) -> str | None:
    """Digest of a prior that is a file or an array; a word as it is."""
    if isinstance(prior, np.ndarray):
        return _digest([prior])
    files = prior_files(prior)
    return file_digest(files[0]) if files else None if prior is None else str(prior)


def _digest(pieces: Iterable[str | NDArray[np.generic]]) -> str:
    """Hash texts, and arrays with their types and shapes."""
    state = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        if isinstance(piece, np.ndarray):
            state.update(f"{piece.dtype.str} {piece.shape}".encode())
            state.update(np.ascontiguousarray(piece).data.cast("B") if piece.size else b"")
        else:
            state.update(piece.encode() + b"\0")
    return f"blake2b:{state.hexdigest()}"
