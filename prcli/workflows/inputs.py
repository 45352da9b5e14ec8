"""What a user names, opened: stores as they are, other formats turned into stores first."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.conventions import RowConvention
from prcli.data.dataset import Dataset, Part
from prcli.data.digests import content_digest_of
from prcli.data.feature_table import FeatureTable
from prcli.data.features import Features
from prcli.data.file_kind import file_kind
from prcli.data.hessian_file import read_hessian
from prcli.data.hessian_record import HessianRecord
from prcli.data.provenance import file_digest, stamp_file
from prcli.data.slices import parse_slice, split_slice
from prcli.data.store import FeatureStore, open_store
from prcli.data.streams import spool
from prcli.errors import FeatureError, FormatError, MismatchError, RequestError
from prcli.records import FileStamp
from prcli.workflows.features_import import import_features
from prcli.workflows.finite import require_finite, without_invalid
from prcli.workflows.import_request import ImportRequest

#: A path with an optional slice, features in memory, or an array (S, D) of mean features.
DataArgument: TypeAlias = str | Path | Features | NDArray[np.floating]


@dataclass(frozen=True)
class InputOptions:
    """How structure files that carry features are read.

    Attributes
    ----------
    feature_key : str, optional
        Per-atom column, or vector of the comment line.
    convention : {"mean", "sum", "per-atom"}, optional
        What such a vector is.
    verify : bool
        Hash stores again and compare with the digests that they carry.
    skip_invalid : bool
        Leave structures out of which a feature is not finite, instead of refusing them.
    """

    feature_key: str | None = None
    convention: RowConvention | None = None
    verify: bool = False
    skip_invalid: bool = False


def open_input(
    arguments: Sequence[DataArgument], name: str, options: InputOptions | None = None
) -> Dataset:
    """Open a data set of one or more parts.

    Parameters
    ----------
    arguments : sequence of str, Path, Features or ndarray
        Stores or structure files with optional slices, or features in memory.
    name : str
        What the set is for, for messages.
    options : InputOptions, optional

    Returns
    -------
    data : Dataset
        To be closed, or used in a ``with`` block.

    Raises
    ------
    FormatError
        If a file holds no features.
    """
    options = options or InputOptions()
    check_stdin(arguments)
    opened: list[Part] = []
    parts: list[Part] = []
    stack = ExitStack()
    try:
        for argument in arguments:
            opened.append(_open_part(argument, name, options, stack))
            parts += _checked(opened[-1], options)
        return Dataset(parts, name, stack)
    except BaseException:
        for part in opened:
            if isinstance(part.table, FeatureStore):
                part.table.close()
        stack.close()
        raise


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
        if isinstance(table, FeatureStore) and os.path.exists(table.path):
            stamps.append(stamp_file(table.path, table.content_digest))
        elif table.source is not None:
            # A structure file whose features were read on the way.
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


def _open_part(argument: DataArgument, name: str, options: InputOptions, stack: ExitStack) -> Part:
    if isinstance(argument, np.ndarray):
        argument = Features(structures=argument, label=f"{name} array")
    if isinstance(argument, Features):
        return Part(argument, range(argument.n_structures))
    path, text = split_slice(os.fspath(argument))
    kind = "extxyz" if path == "-" else file_kind(path)
    if kind == "store":
        store = open_store(path)
        try:
            if options.verify:
                _verify(store)
            return Part(store, parse_slice(text, store.n_structures, os.fspath(argument)))
        except BaseException:
            store.close()
            raise
    if kind == "extxyz":
        table = _import_temporarily(os.fspath(argument), name, options, stack)
        return Part(table, range(table.n_structures))
    raise FormatError(
        f"the {name} set cannot be read",
        where=path,
        expected="a prcli feature store, or extxyz with features",
        got={"hessian": "a prcli Hessian file"}.get(kind, f"a file of kind {kind}"),
        remedy="turn features into a store with `prcli features import`"
        if kind in ("npy", "npz", "mts", "hdf5")
        else None,
    )


def _import_temporarily(
    argument: str, name: str, options: InputOptions, stack: ExitStack
) -> FeatureTable:
    """Parse the features of a structure file once, into a store that vanishes when closed.

    Standard input is kept on the stack, since its frames may be copied later.
    """
    if options.feature_key is None:
        raise FeatureError(
            f"the {name} set has structures but no features",
            where=argument,
            expected="the name of a per-atom column or comment-line vector that holds them",
            remedy="give --feature-key KEY, or a store made by `prcli features import`",
        )
    is_stdin = split_slice(argument)[0] == "-"
    spooled = stack.enter_context(spool(sys.stdin.buffer)) if is_stdin else None
    with tempfile.TemporaryDirectory(prefix="prcli-") as folder:
        request = ImportRequest(
            structures=argument,
            output=os.path.join(folder, "features.h5"),
            feature_key=options.feature_key,
            convention=options.convention,
            skip_invalid=options.skip_invalid,
        )
        import_features(request, spooled=spooled)
        store = open_store(request.output)
        # The open store keeps the file alive after its name is gone.
        store.label = argument
        return store


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
