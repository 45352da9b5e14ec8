"""Pickles that other programs wrote, restored without running anything that they name.

A pickle names the functions that rebuild its objects, any at all. Here only those are called that
rebuild arrays, numbers and text; the rest is refused, or left as a dead object that keeps what it
was given.
"""

from __future__ import annotations

import importlib
import pickle
from typing import IO, Any, Self

import numpy as np

from prcli.errors import FormatError, InputFileError

#: What arrays and numbers are rebuilt with; numpy 2 renamed ``core``.
_HARMLESS = frozenset(
    (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        ("builtins", "bytearray"),
        ("builtins", "complex"),
        ("builtins", "slice"),
    )
)
_CORE = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"


class DeadObject:
    """What is left of an object whose class is not restored: what it was to be made of.

    Attributes
    ----------
    origin : str
        Module and name of the class, or of the function that would have made it.
    args : tuple
        Arguments for it.
    state : object
        State that it would have been given.
    """

    origin = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Keep the arguments."""
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Do nothing with the arguments."""

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        self.state = state

    def __call__(self, *args: object, **kwargs: object) -> DeadObject:
        """Make nothing of what was a function."""
        return DeadObject(*args)

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
    keeps_dead : bool
        Whether anything else becomes a `DeadObject`, or an error.
    """

    def __init__(self, stream: IO[bytes], *, keeps_dead: bool = False) -> None:
        super().__init__(stream)
        self._keeps_dead = keeps_dead

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, if that is harmless."""
        if (module, name) in _HARMLESS:
            package, _, rest = module.rpartition(".")
            if package in ("numpy.core", "numpy._core"):
                module = f"{_CORE}.{rest}"
            return getattr(importlib.import_module(module), name)
        if self._keeps_dead:
            return type(name, (DeadObject,), {"origin": f"{module}.{name}"})
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
