"""A selection as metatrain reads it: files of indices, and the options that name them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prcli.data.key_copies import has_column, has_key
from prcli.workflows.write_options import WriteOptions

logger = logging.getLogger(__name__)

OPTIONS = "metatrain.yaml"

_HEAD = """\
# The training set that prcli chose, for the options.yaml of metatrain, which reads references of
# every frame of a file and trains on those of the indices. Paths are seen from where it runs.
training_set:
"""


def index_file(number: int) -> str:
    """Name the file of indices into one of the structure files."""
    return f"metatrain_indices_{number}.txt"


def write_metatrain(
    folder: Path,
    directory: str,
    paths: Sequence[str],
    source: NDArray[np.int64],
    frame: NDArray[np.int64],
    frames: Iterator[bytes],
    options: WriteOptions,
) -> None:
    """Write a file of indices for each structure file, and the options.

    Parameters
    ----------
    folder : Path
        Where files are written now.
    directory : str
        What the folder will be called.
    paths : sequence of str
        Structure files.
    source : ndarray of shape (n,)
        Which of them each pick is in.
    frame : ndarray of shape (n,)
        And which frame of it, from 0.
    frames : iterator of bytes
        The picks, to see which references they have.
    options : WriteOptions
    """
    lacks_energy, has_forces, has_stress = 0, True, True
    for content in frames:
        lacks_energy += not has_key(content, options.energy)
        has_forces &= has_column(content, options.forces)
        has_stress &= has_key(content, options.stress)
    if lacks_energy:
        logger.warning(
            "metatrain needs %s in every frame of a structure file, and %d picks have none: label "
            "them first",
            options.energy,
            lacks_energy,
        )
    text = _HEAD
    for number, which in enumerate(np.unique(source).tolist()):
        name = index_file(number)
        lines = "".join(f"{index}\n" for index in frame[source == which].tolist())
        (folder / name).write_text(lines, encoding="ascii")
        text += _data_set(paths[which], f"{directory.rstrip('/')}/{name}", options)
        text += f"        forces: {_gradient(options.forces) if has_forces else 'false'}\n"
        text += f"        stress: {_gradient(options.stress) if has_stress else 'false'}\n"
    (folder / OPTIONS).write_text(text, encoding="utf-8")


def _data_set(path: str, indices: str, options: WriteOptions) -> str:
    """Describe one structure file; JSON strings are YAML strings, too."""
    return (
        "  - systems:\n"
        f"      read_from: {json.dumps(path)}\n"
        "      length_unit: angstrom\n"
        f"    indices: {json.dumps(indices)}\n"
        "    targets:\n"
        "      energy:\n"
        f"        key: {json.dumps(options.energy)}\n"
        "        unit: eV\n"
    )


def _gradient(key: str) -> str:
    return "{key: " + json.dumps(key) + "}"
