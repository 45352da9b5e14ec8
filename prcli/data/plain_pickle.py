"""Pickles that other programs wrote, restored without running anything that they name.

A pickle names the functions that rebuild its objects, any at all. Here only those are called that
rebuild arrays, numbers and text; the rest is refused, or left as a dead object that keeps what it
was given.
"""

from __future__ import annotations

import importlib
import pickle
from typing import IO, Any

import numpy as np

from prcli.errors import FormatError, InputFileError

#: What arrays and scalars of numpy are rebuilt with; numpy 2 renamed ``core``.
_NUMPY = frozenset(
    (module, name)
    for core in ("numpy.core", "numpy._core")
    for module, name in (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        (f"{core}.multiarray", "_reconstruct"),
        (f"{core}.multiarray", "scalar"),
        (f"{core}.numeric", "_frombuffer"),
        ("_codecs", "encode"),
    )
)


_CORE = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"


class DeadObject:
    """What is left of an object whose class is not restored: the state that it was given."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        self.state = state

    def append(self, item: object) -> None:
        """Drop an item of what was a list."""

    def extend(self, items: object) -> None:
        """Drop items of what was a list."""

    def add(self, item: object) -> None:
        """Drop an item of what was a set."""

    def __setitem__(self, key: object, value: object) -> None:
        """Drop an item of what was a mapping."""


class PlainUnpickler(pickle.Unpickler):
    """Restores arrays, numbers, text and containers of them.

    Parameters
    ----------
    stream : binary file
    allowed : set of (str, str)
        Modules and names that may be called besides those of numpy.
    keeps_dead : bool
        Whether anything else becomes a `DeadObject`, or an error.
    """

    def __init__(
        self,
        stream: IO[bytes],
        allowed: frozenset[tuple[str, str]] = frozenset(),
        *,
        keeps_dead: bool = False,
    ) -> None:
        super().__init__(stream)
        self._allowed = _NUMPY | allowed
        self._keeps_dead = keeps_dead

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, if that is harmless."""
        if (module, name) in self._allowed:
            package, _, rest = module.rpartition(".")
            if package in ("numpy.core", "numpy._core"):
                module = f"{_CORE}.{rest}"
            return getattr(importlib.import_module(module), name)
        if self._keeps_dead:
            return DeadObject
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not restored")


def load_plain(unpickler: PlainUnpickler, where: str) -> Any:
    """Restore a pickle.

    Parameters
    ----------
    unpickler : PlainUnpickler
        At the beginning of the pickle.
    where : str
        The file, for messages.

    Raises
    ------
    InputFileError
        If it is damaged, or holds other objects than may be restored.
    """
    try:
        return unpickler.load()
    # What a damaged pickle raises depends on where it is damaged.
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise InputFileError(
            "pickled objects cannot be read",
            where=where,
            expected="arrays, numbers, text, and lists and dictionaries of them",
            got=f"{type(error).__name__}: {error}",
            remedy="save the features as an array of numbers, one row per structure or atom",
        ) from error


def refuse_pickle(got: str, where: str) -> FormatError:
    """Say that pickles are read only if asked for."""
    return FormatError(
        "file holds pickled Python objects",
        where=where,
        expected="an array of numbers",
        got=got,
        remedy="use --allow-pickle if you trust where the file comes from: nothing but arrays,"
        " numbers and text is restored from it; or save the features as an array of numbers",
    )
