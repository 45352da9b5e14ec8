"""The Hessian file: square roots of the Hessian by kind of row, and how to put them together."""

from __future__ import annotations

import json
import os
from typing import Any, cast, get_args

import h5py
import numpy as np

from prcli.data import hdf5_file, store_schema
from prcli.data.featurizer_settings import format_settings, parse_settings
from prcli.data.hessian_record import (
    ALPHAS,
    DELTAS,
    INTEGERS,
    NUMBERS,
    ROW_KINDS,
    TEXTS,
    HessianRecord,
    check_record,
    unknown_word,
)
from prcli.data.publish import publish_file
from prcli.errors import FormatError
from prcli.records import Intercept, InterceptKind, Loss, Provenance

__all__ = ["HessianRecord", "read_hessian", "read_hessian_provenance", "write_hessian"]

FORMAT = "prcli-hessian"
VERSION = 1


def write_hessian(
    path: str | os.PathLike[str],
    record: HessianRecord,
    provenance: Provenance | None = None,
    overwrite: bool = False,
) -> None:
    """Write a Hessian file, whole or not at all.

    Parameters
    ----------
    path : path-like
        Where it shall appear.
    record : HessianRecord
        What it shall hold.
    provenance : Provenance, optional
        Without it equal records give equal bytes.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FormatError
        If the record contradicts itself.
    OutputError
        If the file exists or cannot be written.
    """
    check_record(record, str(path))
    with (
        publish_file(path, overwrite) as temporary,
        hdf5_file.create_hdf5(temporary, path) as file,
        hdf5_file.writing(path),
    ):
        hdf5_file.write_header(file, FORMAT, VERSION, provenance)
        _write_attributes(file, record)
        group = file.create_group("R")
        for kind in ROW_KINDS:
            if kind in record.R:
                hdf5_file.write_array(group, kind, np.asarray(record.R[kind], dtype=np.float64))
                group[kind].attrs["n_rows"] = np.int64(record.n_rows[kind])
        hdf5_file.write_array(file, "digests", np.asarray(record.digests, dtype=np.uint64))
        if record.prior is not None:
            hdf5_file.write_array(file, "prior", np.asarray(record.prior, dtype=np.float64))


def read_hessian(path: str | os.PathLike[str]) -> HessianRecord:
    """Read a Hessian file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    HessianRecord
        Checked.

    Raises
    ------
    InputFileError
        If the file is missing, not readable, truncated or damaged.
    FormatError
        If it is not a Hessian file, of a newer version, or contradicts itself.
    """
    with hdf5_file.open_hdf5(path) as file, hdf5_file.reading(path):
        hdf5_file.check_header(file, path, FORMAT, VERSION)
        record = _read_record(file, str(path))
    check_record(record, str(path))
    return record


def read_hessian_provenance(path: str | os.PathLike[str]) -> dict[str, object] | None:
    """Read where a Hessian file came from; None if it does not say."""
    with hdf5_file.open_hdf5(path) as file, hdf5_file.reading(path):
        hdf5_file.check_header(file, path, FORMAT, VERSION)
        return hdf5_file.read_provenance(file, path)


def _write_attributes(file: Any, record: HessianRecord) -> None:
    """Store the scalars."""
    for name in INTEGERS:
        file.attrs[name] = np.int64(getattr(record, name))
    for name in NUMBERS:
        file.attrs[name] = np.float64(getattr(record, name))
    for name in TEXTS:
        file.attrs[name] = getattr(record, name)
    for name in ALPHAS:
        if getattr(record, name) is not None:
            file.attrs[name] = np.float64(getattr(record, name))
    file.attrs["intercept"] = record.intercept.kind
    if record.intercept.kind == "species":
        file.attrs["intercept_species"] = np.array(record.intercept.species, dtype=np.uint8)
    if record.blocks is not None:
        file.attrs[store_schema.BLOCKS] = store_schema.format_blocks(record.blocks)
    if record.featurizer is not None:
        file.attrs[store_schema.FEATURIZER] = format_settings(record.featurizer)
    _write_loss(file, record)


def _write_loss(file: Any, record: HessianRecord) -> None:
    """Store what the rows carry inside."""
    file.attrs["loss"] = record.loss.name
    file.attrs["stress_components"] = np.int64(record.loss.stress_components)
    for name in DELTAS:
        if getattr(record.loss, name) is not None:
            file.attrs[name] = np.float64(getattr(record.loss, name))
    if record.weights:
        file.attrs["weights"] = json.dumps(record.weights, ensure_ascii=False)


def _read_record(file: Any, path: str) -> HessianRecord:
    """Read everything, checking types only."""
    group = file.get("R")
    kinds = [kind for kind in ROW_KINDS if isinstance(group, h5py.Group) and kind in group]
    fields: dict[str, Any] = {name: _number(file, path, name) for name in NUMBERS}
    fields |= {name: int(_number(file, path, name)) for name in INTEGERS}
    fields |= {name: hdf5_file.text_attribute(file, path, name) for name in TEXTS}
    fields |= {name: hdf5_file.number_attribute(file, path, name) for name in ALPHAS}
    blocks = hdf5_file.text_attribute(file, path, store_schema.BLOCKS)
    featurizer = hdf5_file.text_attribute(file, path, store_schema.FEATURIZER)
    return HessianRecord(
        R={kind: _floats(file, path, f"R/{kind}") for kind in kinds},
        n_rows={kind: int(_number(group[kind], path, "n_rows")) for kind in kinds},
        digests=_digests(file, path),
        blocks=None if blocks is None else store_schema.parse_blocks(blocks),
        intercept=_intercept(file, path),
        prior=_floats(file, path, "prior") if "prior" in file else None,
        loss=_loss(file, path),
        weights=_weights(file, path),
        featurizer=parse_settings(featurizer, path),
        **fields,
    )


def _number(holder: Any, path: str, name: str) -> float:
    """Read a number that must be there."""
    value = hdf5_file.number_attribute(holder, path, name)
    if value is None:
        raise FormatError(f"attribute {name} is absent", where=path, expected="a number")
    return value


def _floats(file: Any, path: str, name: str) -> np.ndarray:
    """Read an array of floats as native float64."""
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise FormatError(f"{name} is not an array of float64", where=path)
    return np.ascontiguousarray(dataset[...], dtype=np.float64)


def _digests(file: Any, path: str) -> np.ndarray:
    """Read the digests of the training structures."""
    dataset = file.get("digests")
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "u" or dataset.ndim != 1:
        raise FormatError(
            "digests of the training structures are absent or misshaped",
            where=path,
            expected="a dataset digests of uint64",
        )
    return np.asarray(dataset[...]).astype(np.uint64)


def _intercept(file: Any, path: str) -> Intercept:
    """Read the constant columns."""
    kind = hdf5_file.text_attribute(file, path, "intercept")
    if kind not in get_args(InterceptKind):
        raise unknown_word("intercept", kind, get_args(InterceptKind), path)
    species = np.atleast_1d(file.attrs.get("intercept_species", np.empty(0, dtype=np.uint8)))
    numbers = tuple(int(number) for number in species) if kind == "species" else ()
    return Intercept(cast(InterceptKind, kind), numbers)


def _loss(file: Any, path: str) -> Loss:
    """Read what the rows carry inside; squared errors in files that do not say."""
    fields: dict[str, Any] = {name: hdf5_file.number_attribute(file, path, name) for name in DELTAS}
    if (name := hdf5_file.text_attribute(file, path, "loss")) is not None:
        fields["name"] = name
    components = hdf5_file.number_attribute(file, path, "stress_components")
    if components is not None:
        fields["stress_components"] = int(components) if components.is_integer() else components
    return Loss(**fields)


def _weights(file: Any, path: str) -> tuple[str, ...]:
    """Read the names of the columns that multiply the rows; none in files that do not say."""
    text = hdf5_file.text_attribute(file, path, "weights")
    try:
        names = [] if text is None else json.loads(text)
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError(
            "attribute weights cannot be understood",
            where=path,
            expected="a JSON list of column names",
            got=str(text)[:60],
        )
    return tuple(names)
