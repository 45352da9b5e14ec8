"""PyTorch and the packages on top of it: loading them, their messages, devices and threads."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from prcli.errors import InputFileError, RequestError

logger = logging.getLogger(__name__)


def load_package(name: str, extra: str) -> Any:
    """Import a package that stands on PyTorch, and hold PyTorch to our number of threads.

    Parameters
    ----------
    name : str
        Module to import.
    extra : str
        Extra of prcli that installs it.

    Raises
    ------
    RequestError
        If it is not installed.
    """
    n_threads = _granted_threads()
    with foreign_messages():
        try:
            package = importlib.import_module(name)
            torch = importlib.import_module("torch")
        except ImportError as error:
            raise RequestError(
                f"package {name!r}, which runs the model, cannot be imported",
                got=str(error),
                remedy=f'pip install "prcli[{extra}]"',
            ) from error
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    return package


def _granted_threads() -> int | None:
    """Threads that linear algebra is held to, which PyTorch does not know of."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return min(pools) if pools else None


@contextmanager
def foreign_messages() -> Iterator[None]:
    """Move what packages print or warn of within the block to our log, at its finest level."""
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            yield
        finally:
            said = [f"{each.category.__name__}: {each.message}" for each in caught]
            for line in dict.fromkeys(printed.getvalue().splitlines() + said):
                logger.debug("%s", line)


def as_device(name: str) -> Any:
    """Find a device of PyTorch.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda``, ``cuda:1``, ...

    Returns
    -------
    torch.device

    Raises
    ------
    RequestError
        If there is no such device here.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(
            "device is not known", where="--device", expected="cpu, cuda or cuda:N", got=name
        ) from error
    n_devices = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type == "cuda" and (device.index or 0) >= n_devices:
        raise RequestError(
            "device is not there",
            where="--device",
            expected=f"cuda:0 to cuda:{n_devices - 1}" if n_devices else "cpu: there is no GPU",
            got=name,
        )
    return device


def digest_file(path: str) -> str:
    """Digest a model file, so that features of another one are told from its own.

    Raises
    ------
    InputFileError
        If it cannot be read.
    """
    if not Path(path).is_file():
        raise InputFileError("model file is missing", where=path)
    try:
        with open(path, "rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputFileError(
            "model file cannot be read", where=path, got=error.strerror or str(error)
        ) from error
