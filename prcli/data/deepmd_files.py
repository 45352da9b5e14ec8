"""Files of DeePMD-kit: a folder of ``dp eval-desc``, and an HDF5 file of ``dp embed``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from prcli.data.deepmd_systems import System, join_systems
from prcli.data.foreign import ForeignArray
from prcli.data.formats_npy import map_array, read_header
from prcli.data.hdf5_file import open_hdf5, reading
from prcli.elements import ATOMIC_NUMBERS
from prcli.errors import FeatureError, FormatError, RequestError

#: Arrays of a system in the file of ``dp embed``, and their axes.
EMBEDDINGS = {"descriptor": 3, "atomic_feature": 3, "structural_feature": 2}
_TYPES = "atom_types"
_TYPE_MAP = "type_map"


def is_embedding(path: Path) -> bool:
    """Tell whether a path is an HDF5 file."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def open_descriptors(path: Path, wanted: Sequence[str]) -> tuple[ForeignArray, tuple[System, ...]]:
    """Open what ``dp eval-desc`` wrote.

    Parameters
    ----------
    path : Path
        Its folder, or the file of one system.
    wanted : sequence of str
        Names of systems in the order of the structures; all by name if empty.

    Returns
    -------
    array : ForeignArray
        One row per atom.
    systems : tuple of System

    Raises
    ------
    FeatureError, FormatError, InputFileError
        If a file cannot be read, or is of other axes than (frames, atoms, features).
    RequestError
        If a system that is wanted is not there.
    """
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files:
        raise FeatureError(
            "folder holds no descriptors",
            where=str(path),
            expected="npy files, one for each system",
            remedy="name the folder that dp eval-desc wrote, desc unless -o named another",
        )
    paths = {file.stem: file for file in files}
    systems = tuple(_open_system(paths[name], name) for name in _choose(paths, wanted, path))
    return join_systems(systems, str(path), None, lambda: None), systems


def open_embedding(
    path: Path, name: str, wanted: Sequence[str]
) -> tuple[ForeignArray, tuple[System, ...]]:
    """Open what ``dp embed`` wrote.

    Parameters
    ----------
    path : Path
        HDF5 file.
    name : {"descriptor", "atomic_feature", "structural_feature"}
        Array of each system.
    wanted : sequence of str
        Names of systems in the order of the structures; all by name if empty.

    Returns
    -------
    array : ForeignArray
        One row per atom, or one per structure of "structural_feature".
    systems : tuple of System

    Raises
    ------
    FormatError
        If it is no such file.
    FeatureError
        If a system has other axes than it should.
    RequestError
        If the array or a system that is wanted is not there.
    """
    if name not in EMBEDDINGS:
        raise RequestError(
            f"dp embed writes no array {name!r}",
            where="--array",
            expected="one of " + ", ".join(EMBEDDINGS),
        )
    file = open_hdf5(path)
    try:
        with reading(path):
            groups = _find_groups(file, path)
            chosen = _choose(groups, wanted, path)
            systems = tuple(_open_group(groups[each], name, path) for each in chosen)
            numbers = _numbers(file.attrs.get(_TYPE_MAP))
        return join_systems(systems, f"{path}, {name}", numbers, file.close), systems
    except BaseException:
        file.close()
        raise


def _open_system(path: Path, name: str) -> System:
    """Map the array of one system."""
    with path.open("rb") as file:
        header = read_header(file, str(path))
    if header.dtype.hasobject or len(header.shape) != 3:
        raise FeatureError(
            "array is not one of descriptors",
            where=str(path),
            expected="shape (frames, atoms, features), as dp eval-desc writes it",
            got=f"shape {header.shape} of {header.dtype}",
        )
    values = map_array(path, header, 0, path.stat().st_size, str(path))
    return System(name, values, str(path))


def _choose(known: Iterable[str], wanted: Sequence[str], path: Path) -> list[str]:
    """Return the systems in the order asked for."""
    names = sorted(known)
    unknown = [name for name in wanted if name not in names]
    if unknown or len(set(wanted)) < len(wanted):
        raise RequestError(
            f"system {unknown[0]!r} is not there" if unknown else "a system is named twice",
            where=f"{path}, --system",
            expected="each of " + ", ".join(names) + ", at most once",
            got=", ".join(wanted),
        )
    return list(wanted) or names


def _find_groups(file: Any, path: Path) -> dict[str, Any]:
    """Find the groups of systems."""
    groups = {
        name: item for name, item in file.items() if isinstance(item, h5py.Group) and _TYPES in item
    }
    if not groups:
        raise FormatError(
            "file is not one of dp embed",
            where=str(path),
            expected=f"a group for each system, with {_TYPES} and {', '.join(EMBEDDINGS)}",
            got=", ".join(list(file)[:10]) or "an empty file",
            remedy="import other HDF5 files without --from",
        )
    return groups


def _open_group(group: Any, name: str, path: Path) -> System:
    """Check the array and the types of one system."""
    where = f"{path}, array {group.name}/{name}"
    types, values = group[_TYPES], group.get(name)
    shape = tuple(getattr(values, "shape", ()))
    places = 1 if EMBEDDINGS[name] == 2 else 2
    fits = len(shape) == EMBEDDINGS[name] and len(types.shape) == 2
    if not fits or shape[:places] != types.shape[:places]:
        raise FeatureError(
            "array of a system does not fit its atoms",
            where=where,
            expected=f"{EMBEDDINGS[name]} axes, the first of lengths {types.shape[:places]}",
            got=f"shape {shape}" if shape else "no such array",
        )
    return System(group.name.strip("/"), values, where, np.asarray(types[...]))


def _numbers(names: Any) -> NDArray[np.uint8] | None:
    """Find the atomic number of each type; None if one is not named after an element."""
    if names is None:
        return None
    symbols = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    if any(symbol not in ATOMIC_NUMBERS for symbol in symbols):
        return None
    return np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols], dtype=np.uint8)
