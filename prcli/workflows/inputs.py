"""What a user names, opened: stores as they are, other formats turned into stores first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from prcli.data.dataset import Dataset, Part
from prcli.data.digests import content_digest_of
from prcli.data.features import Features
from prcli.data.file_kind import file_kind
from prcli.data.hessian_file import read_hessian
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import file_digest, stamp_file
from prcli.data.slices import parse_slice, split_slice
from prcli.data.store import FeatureStore, open_store
from prcli.data.streams import open_stream, read_errors
from prcli.errors import FormatError, MismatchError, RequestError
from prcli.records import FileStamp, Progress, no_progress
from prcli.workflows.carried_features import import_carried
from prcli.workflows.finite import require_finite, without_invalid
from prcli.workflows.input_features import BareStructures, InputFeatures
from prcli.workflows.input_options import DataArgument, InputOptions, InputSet

__all__ = [
    "DataArgument",
    "InputOptions",
    "InputSet",
    "check_stdin",
    "load_hessian",
    "open_input",
    "open_inputs",
    "paths_of",
    "split_hessians",
    "stamp_hessian",
    "stamps_of",
]


def open_input(
    arguments: Sequence[DataArgument],
    name: str,
    options: InputOptions | None = None,
    *,
    needs_atoms: bool = True,
    needs_gradients: bool = True,
    per: str = "structure",
    records: Sequence[HessianRecord] = (),
    reserved: Iterable[str | Path] = (),
    progress: Progress = no_progress,
) -> Dataset:
    """Open a data set of one or more parts, the only one of a command; see `open_inputs`.

    Parameters
    ----------
    arguments : sequence of str, Path, Features or ndarray
        Stores or structure files with optional slices, or features in memory.
    name : str
        What the set is for, for messages.
    options : InputOptions, optional
    needs_atoms, needs_gradients, per : optional
        See `InputSet`.
    records, reserved, progress : optional
        See `open_inputs`.

    Returns
    -------
    data : Dataset
        To be closed, or used in a ``with`` block.

    Raises
    ------
    FormatError
        If a file holds no features.
    """
    wanted = InputSet(name, tuple(arguments), needs_atoms, needs_gradients, per)
    opened = open_inputs([wanted], options, records=records, reserved=reserved, progress=progress)
    return opened[0]


def open_inputs(
    sets: Sequence[InputSet],
    options: InputOptions | None = None,
    *,
    records: Sequence[HessianRecord] = (),
    also: Iterable[DataArgument] = (),
    reserved: Iterable[str | Path] = (),
    progress: Progress = no_progress,
) -> list[Dataset]:
    """Open all data sets of a command, so that features computed on the way have equal columns.

    Parameters
    ----------
    sets : sequence of InputSet
    options : InputOptions, optional
    records : sequence of HessianRecord
        Hessians that the sets shall go with.
    also : iterable of DataArgument
        What the command will open later, whose elements get columns, too. Standard input cannot
        be looked at in passing.
    reserved : iterable of path
        Other files that the command reads or writes, which kept features must not replace.
    progress : callable

    Returns
    -------
    datasets : list of Dataset
        To be closed, or used in ``with`` blocks.

    Raises
    ------
    FormatError
        If a file holds no features.
    MismatchError
        If computed features would not go with those that are there.
    """
    options = options or InputOptions()
    arguments = [argument for wanted in sets for argument in wanted.arguments]
    check_stdin(arguments)
    with ExitStack() as stack:
        features = None
        if options.featurizer is not None:
            features = InputFeatures(options, [*reserved, *paths_of(arguments)], progress)
        resources = [stack.enter_context(ExitStack()) for _ in sets]
        begun = [
            [
                part
                for argument in wanted.arguments
                for part in _open_parts(argument, wanted, options, features, held, progress)
            ]
            for wanted, held in zip(sets, resources, strict=True)
        ]
        if features is not None:
            tables = [part.table for each in begun for part in each if isinstance(part, Part)]
            features.settle(records, tables, also)
        datasets = []
        for wanted, parts, held in zip(sets, begun, resources, strict=True):
            complete = [_completed(part, features, held) for part in parts]
            datasets.append(Dataset(complete, wanted.name, held))
        # From here on the sets hold what they need.
        stack.pop_all()
        return datasets


def paths_of(arguments: Iterable[DataArgument]) -> list[str]:
    """Files that data arguments name, without slices."""
    named = [a for a in arguments if not isinstance(a, (np.ndarray, Features))]
    return [split_slice(os.fspath(argument))[0] for argument in named]


def split_hessians(
    arguments: Sequence[DataArgument],
) -> tuple[list[DataArgument], list[str]]:
    """Tell finished Hessian files from data sets."""
    data: list[DataArgument] = []
    hessians: list[str] = []
    for argument in arguments:
        if not isinstance(argument, (np.ndarray, Features)):
            path, text = split_slice(os.fspath(argument))
            if path != "-" and text is None and file_kind(path) == "hessian":
                hessians.append(path)
                continue
        data.append(argument)
    return data, hessians


def check_stdin(arguments: Iterable[DataArgument]) -> None:
    """Refuse standard input that is named more than once in a command.

    Raises
    ------
    RequestError
    """
    n_times = paths_of(arguments).count("-")
    if n_times > 1:
        raise RequestError(
            "standard input can be read only once per command",
            where="-",
            expected="- once",
            got=f"{n_times} times",
            remedy="write it to a file first",
        )


def load_hessian(argument: str | Path | HessianRecord) -> HessianRecord:
    """Read a Hessian file, or take the record as it is."""
    return argument if isinstance(argument, HessianRecord) else read_hessian(argument)


def stamps_of(data: Dataset) -> list[FileStamp]:
    """Identify the files of a data set, without hashing large ones again."""
    stamps: list[FileStamp] = []
    for part in data.parts:
        table = part.table
        # A store of features that were computed on the way goes by the name of its structures.
        if (
            isinstance(table, FeatureStore)
            and table.label == str(table.path)
            and os.path.exists(table.path)
        ):
            stamps.append(stamp_file(table.path, table.content_digest))
        elif table.source is not None:
            # A structure file whose features were read or computed on the way.
            source = table.source
            for typed, stamp in zip(source.typed, source.files, strict=True):
                stamps.append(replace(stamp, path="-") if typed == "-" else stamp)
    return list(dict.fromkeys(stamps))


def stamp_hessian(path: str | Path) -> FileStamp:
    """Identify a Hessian file."""
    return stamp_file(path, file_digest(path))


def _checked(part: Part, options: InputOptions) -> list[Part]:
    """Look for values that are not finite, in tables that our own writer has not checked."""
    if options.skip_invalid:
        return without_invalid(part)
    if isinstance(part.table, FeatureStore) and part.table.content_digest is None:
        require_finite(part)
    return [part]


def _open_parts(
    argument: DataArgument,
    wanted: InputSet,
    options: InputOptions,
    features: InputFeatures | None,
    resources: ExitStack,
    progress: Progress,
) -> Sequence[Part | BareStructures]:
    """Open an argument; structures whose features are to be computed are only looked at."""
    if isinstance(argument, np.ndarray):
        argument = Features(structures=argument, label=f"{wanted.name} array")
    if isinstance(argument, Features):
        return _checked(Part(argument, range(argument.n_structures)), options)
    path, text = split_slice(os.fspath(argument))
    kind = "extxyz" if path == "-" else file_kind(path)
    if kind == "store":
        store = open_store(path)
        resources.callback(store.close)
        if options.verify:
            _verify(store)
        positions = parse_slice(text, store.n_structures, os.fspath(argument))
        return _checked(Part(store, positions), options)
    if kind in ("extxyz", "structures"):
        if features is not None:
            return [features.look_at(os.fspath(argument), wanted, resources)]
        table = import_carried(os.fspath(argument), wanted.name, options, resources, progress)
        return _checked(Part(table, range(table.n_structures)), options)
    raise FormatError(
        f"the {wanted.name} set cannot be read",
        where=path,
        expected="a prcli feature store, or extxyz with features",
        got=_in_words(kind, path),
        remedy="turn features into a store with `prcli features import`"
        if kind in ("npy", "npz", "mts", "hdf5")
        else None,
    )


def _in_words(kind: str, path: str) -> str:
    """Say what a file is that is no data set."""
    if kind != "unknown":
        return {"hessian": "a prcli Hessian file"}.get(kind, f"a file of kind {kind}")
    with open_stream(path) as stream, read_errors(path):
        line = stream.read(40).partition(b"\n")[0].rstrip(b"\r")
    return f"neither: a file that begins with {line.decode('utf-8', 'replace')!r}"


def _completed(
    part: Part | BareStructures, features: InputFeatures | None, resources: ExitStack
) -> Part:
    """Compute the features of structures that have none."""
    if isinstance(part, Part):
        return part
    assert features is not None
    table = features.describe(part)
    resources.callback(table.close)
    return Part(table, range(table.n_structures))


def _verify(store: FeatureStore) -> None:
    """Hash a store again and compare with the digest that it carries."""
    stored = store.content_digest
    if stored is None:
        return
    found = content_digest_of(store)
    if found != stored:
        raise MismatchError(
            "a store has changed since it was written",
            where=str(store.path),
            expected=f"content digest {stored}",
            got=found,
            remedy="import the features again",
        )
