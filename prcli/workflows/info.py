"""What any of our files is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svdvals

from prcli.data.checkpoint import read_checkpoint
from prcli.data.featurizer_settings import format_settings
from prcli.data.file_kind import file_kind
from prcli.data.formats import open_array
from prcli.data.gradients import GRADIENT_KINDS
from prcli.data.hessian_file import read_hessian, read_hessian_provenance
from prcli.data.hessian_record import HessianRecord
from prcli.data.publish import RESULT_MARKER
from prcli.data.store import FeatureStore, open_store
from prcli.data.store_schema import format_blocks
from prcli.data.structure_file import index_structures
from prcli.elements import SYMBOLS
from prcli.errors import FormatError, RankError
from prcli.numerics.condition import condition_of
from prcli.records import RowKind
from prcli.workflows.kind_weights import WEIGHT_NAMES
from prcli.workflows.model import effective_parameters, full_factor, scaled_data_factor, scales
from prcli.workflows.number_settings import loss_text
from prcli.workflows.prior import describe_prior


def describe(path: str) -> list[tuple[str, str]]:
    """Describe a file: kind, shapes, types, scale, blocks, provenance.

    Parameters
    ----------
    path : str

    Returns
    -------
    facts : list of (name, value)

    Raises
    ------
    FormatError
        If it is not a file that prcli knows.
    """
    kind = file_kind(path)
    if kind == "store":
        facts = _store(path)
    elif kind == "hessian":
        facts = _hessian(path)
    elif kind in ("extxyz", "structures"):
        facts = _structures(path)
    elif kind == "result":
        facts = _result(path)
    elif kind == "checkpoint":
        facts = _checkpoint(path)
    elif kind in ("npy", "npz", "mts", "hdf5"):
        facts = _array(path)
    else:
        raise FormatError(
            "file is of no kind that prcli knows",
            where=path,
            expected="a feature store, Hessian file, structure file, npy, npz, mts or HDF5 file",
            got=kind,
        )
    return [("kind", kind), ("bytes", str(os.path.getsize(path))), *facts]


def _store(path: str) -> list[tuple[str, str]]:
    with open_store(path) as store:
        facts = [
            ("convention", store.convention),
            ("n_structures", str(store.n_structures)),
            ("n_atoms", str(int(store.n_atoms.sum()))),
            ("n_features", str(store.n_features)),
        ]
        for name, rows in (("structures", store.structures), ("atoms", store.atoms)):
            text = "absent" if rows is None else f"{rows.shape[0]} x {rows.shape[1]} {rows.dtype}"
            facts.append((f"{name}/features", text))
        facts += _gradients(store)
        if store.species is not None:
            present = np.flatnonzero(np.bincount(store.species, minlength=256))
            facts.append(("elements", " ".join(SYMBOLS[int(z)] for z in present)))
        facts.append(("blocks", format_blocks(store.blocks) if store.blocks else "none"))
        if store.feature_kind is not None:
            facts.append(("feature_kind", store.feature_kind))
        facts += _featurizer(store.featurizer)
        facts.append(("columns", " ".join(store.column_names) or "none"))
        if store.source is not None:
            facts.append(("source", " ".join(store.source.typed)))
        facts.append(("content_digest", str(store.content_digest)))
        return facts + _provenance(store.provenance)


def _gradients(store: FeatureStore) -> list[tuple[str, str]]:
    table = store.gradients
    if table is None:
        return [("gradients/rows", "absent")]
    shape = f"{table.n_rows} x {table.rows.shape[1]} {table.rows.dtype}"
    facts = [("gradients/rows", shape + ", reduced" * table.reduced)]
    for kind in GRADIENT_KINDS:
        counts = table.counts(kind)
        if counts.any():
            text = f"{counts.sum()} of {np.count_nonzero(counts)} structures"
            facts.append((f"{kind} rows", text))
    return facts


def _hessian(path: str) -> list[tuple[str, str]]:
    record = read_hessian(path)
    facts = [
        ("n_structures", str(record.n_structures)),
        ("n_features", str(record.n_features)),
        ("rows", " ".join(f"{kind}:{n}" for kind, n in record.n_rows.items())),
        ("weights", " ".join(f"{kind}:{_weight(record, kind):g}" for kind in record.n_rows)),
        ("reduction", record.reduction),
        ("loss", loss_text(record)),
        ("structure_weights", ", ".join(record.weights) or "none"),
        ("energy", record.energy),
        ("intercept", _intercept_text(record.intercept.kind, record.intercept.species)),
        ("blocks", format_blocks(record.blocks) if record.blocks else "none"),
        *_featurizer(record.featurizer),
        ("scale", f"{record.scale_rule} = {record.scale!r}"),
        ("regularizer", repr(record.regularizer)),
        ("prior", describe_prior(record.prior)),
    ]
    facts += _spectrum(record)
    facts += [
        (name, repr(value))
        for name in ("alpha_energy", "alpha_force", "alpha_stress")
        if (value := getattr(record, name)) is not None
    ]
    return facts + _provenance(read_hessian_provenance(path))


def _checkpoint(path: str) -> list[tuple[str, str]]:
    found = read_checkpoint(path)
    if found is None:
        return []
    done = ("n_picks", f"{found.n_steps} of {found.request.get('n-to-select')}")
    settled = {name: value for name, value in found.request.items() if value not in (None, [], {})}
    return [done, *((name, str(value)) for name, value in settled.items())]


def _featurizer(settings: Mapping[str, object] | None) -> list[tuple[str, str]]:
    return [] if settings is None else [("featurizer", format_settings(settings))]


def _weight(record: HessianRecord, kind: RowKind) -> float:
    """Weight as it was chosen, before a reduction."""
    return float(getattr(record, WEIGHT_NAMES[kind]))


def _spectrum(record: HessianRecord) -> list[tuple[str, str]]:
    """Rank of the data, condition number of R, and the effective number of parameters."""
    rank = _rank(scaled_data_factor(record))
    try:
        factor = full_factor(record)
    except RankError:
        return [("rank_of_data", str(rank)), ("condition_number", "inf")]
    condition = condition_of(factor / scales(record))
    return [
        ("rank_of_data", str(rank)),
        (condition.name, f"{condition.number:.4g}"),
        ("effective_parameters", f"{effective_parameters(record, factor):.6g}"),
    ]


def _rank(factor: NDArray[np.float64]) -> int:
    """Count the directions that rows determine."""
    epsilon = float(np.finfo(np.float64).eps)
    # Fewer structures than features leave rows of rounding errors, which are below the tolerance
    # together, too.
    lengths = np.linalg.norm(factor, axis=1)
    singular = svdvals(factor[lengths > epsilon * lengths.max(initial=0.0)])
    tolerance = factor.shape[1] * epsilon * singular.max(initial=0.0)
    return int(np.count_nonzero(singular > tolerance))


def _intercept_text(kind: str, species: tuple[int, ...]) -> str:
    return " ".join([kind, *(SYMBOLS[z] for z in species)])


def _structures(path: str) -> list[tuple[str, str]]:
    index = index_structures(path)
    return [
        ("n_structures", str(len(index))),
        ("n_atoms", str(int(index.n_atoms.sum()))),
        ("smallest", str(int(index.n_atoms.min()))),
        ("largest", str(int(index.n_atoms.max()))),
        ("digest", index.stamp.digest),
    ]


def _result(path: str) -> list[tuple[str, str]]:
    with open(os.path.join(path, RESULT_MARKER), encoding="utf-8") as file:
        report = json.load(file)
    request, objective = report["request"], report["objective"]
    facts = [
        ("strategy", request["strategy"]),
        ("objective", request["objective"]),
        ("n_picks", str(len(report["picks"]))),
        ("objective_before", str(objective["before"])),
        ("objective_after", str(objective["after"])),
        ("stopped", report["stopped"]),
    ]
    return facts + _provenance(report.get("provenance"))


def _array(path: str) -> list[tuple[str, str]]:
    with open_array(path) as array:
        facts = [("shape", " x ".join(map(str, array.shape))), ("dtype", str(array.dtype))]
        return facts + [("note", note) for note in array.notes]


def _provenance(provenance: dict[str, object] | None) -> list[tuple[str, str]]:
    if provenance is None:
        return [("provenance", "none")]
    return [(name, str(provenance[name])) for name in ("version", "command", "time")]
