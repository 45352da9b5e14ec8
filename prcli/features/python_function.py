"""Any Python function as a featurizer: ``python:module:function``."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.errors import FeatureError, RequestError
from prcli.features.featurizer import (
    PYTHON_PREFIX,
    Description,
    Factory,
    FeaturizerOptions,
    refuse_gradients,
)
from prcli.records import Block, RowKind

if TYPE_CHECKING:
    from ase import Atoms


class PythonFunction:
    """A function of a list of ``ase.Atoms`` that gives one row of features per atom.

    Parameters
    ----------
    name : str
        ``module:function``.
    function : callable
        Called as ``function(structures, **hypers)``. Gives an array of shape (N, D) for the atoms
        of all structures, or a sequence of arrays of shape (n_i, D), one per structure. Columns
        must not depend on which structures are described together.
    options : FeaturizerOptions
        `example` tells D; `hypers` are handed to the function by name.

    Raises
    ------
    RequestError
        If gradients are asked for, or the function does not take such settings.
    FeatureError
        If the function does not give rows of features for the example.
    """

    def __init__(self, name: str, function: Callable[..., Any], options: FeaturizerOptions) -> None:
        self.name = f"{PYTHON_PREFIX}{name}"
        refuse_gradients(self.name, options.gradients, ())
        assert options.example is not None
        self._function = function
        self._hypers: Mapping[str, Any] = options.hypers or {}
        self.blocks: tuple[Block, ...] | None = None
        self._check_arguments(options.where)
        self.settings: Mapping[str, object] = {
            "hypers": dict(self._hypers),
            "source": source_digest(name.partition(":")[0]),
        }
        self.n_features: int = self.describe([options.example]).features.shape[1]

    def _check_arguments(self, where: str) -> None:
        """Refuse settings that the function does not take."""
        try:
            signature = inspect.signature(self._function)
        except ValueError:
            # Compiled functions may have none; then the call tells.
            return
        try:
            signature.bind([], **self._hypers)
        except TypeError as error:
            raise RequestError(
                f"{self.name} does not take these settings",
                where=where,
                expected=f"arguments of {signature}",
                got=str(error),
            ) from error

    def check(self, structure: Atoms) -> None:
        """Accept any structure."""

    def n_bytes(self, structure: Atoms, gradients: Sequence[RowKind] = ()) -> int:
        """Estimate the memory that describing a structure takes."""
        return 8 * 3 * len(structure) * self.n_features

    def describe(
        self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
    ) -> Description:
        """Call the function; see `Featurizer`."""
        result = self._function(list(structures), **self._hypers)
        counts = [len(structure) for structure in structures]
        rows = self._as_rows(result, counts)
        if rows.ndim != 2 or rows.shape[0] != sum(counts) or rows.dtype.kind not in "fiu":
            raise FeatureError(
                f"{self.name} did not give one row of numbers per atom",
                expected=f"shape ({sum(counts)}, D), or one array per structure",
                got=f"shape {rows.shape} of {rows.dtype}",
            )
        return Description(rows.astype(np.float64, copy=False))

    def _as_rows(self, result: Any, counts: list[int]) -> np.ndarray:
        """Join what the function gave, with one array per structure or one in all."""
        is_array = hasattr(result, "shape")
        if not is_array and not isinstance(result, Sequence):
            raise FeatureError(
                f"{self.name} did not give rows of features",
                expected="an array, or a list of one array per structure",
                got=type(result).__name__,
            )
        parts = [np.asarray(part) for part in ([result] if is_array else result)]
        if not is_array and [part.shape[:1] for part in parts] != [(n,) for n in counts]:
            raise FeatureError(
                f"{self.name} did not give one row per atom",
                expected="arrays of " + ", ".join(str(count) for count in counts[:8]) + " rows",
                got=", ".join(str(part.shape) for part in parts[:8]),
            )
        if len({part.shape[1:] for part in parts}) > 1:
            raise FeatureError(
                f"{self.name} did not give as many features for each structure",
                got=", ".join(str(part.shape) for part in parts[:8]),
            )
        return np.concatenate(parts)


def source_digest(module_name: str) -> str | None:
    """Digest the file of a module, so that rows of another version of it are told apart."""
    path = getattr(sys.modules.get(module_name), "__file__", None)
    if path is None or not str(path).endswith(".py"):
        return None
    return "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()


def factory_of(path: str) -> Factory:
    """Find a function and make featurizers of it.

    Parameters
    ----------
    path : str
        ``module:function``; the current folder is looked into as well.

    Raises
    ------
    RequestError
        If there is no such function.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise RequestError(
            "a Python function is named otherwise",
            expected=f"{PYTHON_PREFIX}MODULE:FUNCTION",
            got=f"{PYTHON_PREFIX}{path}",
        )
    if "" not in sys.path:
        # As `python -m` does, which a script does not.
        sys.path.insert(0, "")
    try:
        function = getattr(import_module(module_name), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise RequestError(
            "a Python function cannot be found", where=f"{PYTHON_PREFIX}{path}", got=str(error)
        ) from error
    return lambda options: PythonFunction(path, function, options)
