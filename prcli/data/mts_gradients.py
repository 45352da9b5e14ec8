"""Gradients in an mts file: of rows of the features, with labels that say of which.

Those of block i lie under ``blocks/i/gradients/NAME/``: ``values.npy`` of shape (samples,
components..., components of the block..., features), ``samples.npy`` with labels. The label
``sample`` is the row of the block; gradients with respect to positions name the atom that
moves, too. What is not there is zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prcli.data.formats_npz import open_archive
from prcli.data.gradient_labels import FeatureRows, GradientLabels, open_labels
from prcli.data.mts_archive import check_labels, map_member
from prcli.data.mts_columns import block_columns
from prcli.data.row_layout import RowLayout, check_real, float_type
from prcli.data.row_offsets import atom_offsets
from prcli.data.sample_order import SampleLabels
from prcli.errors import FeatureError, FormatError

#: Bytes of gradients that are read together.
_PART_BYTES = 16 << 20
#: Components of the gradients that can be read.
COMPONENTS = {"positions": (3,), "strain": (3, 3)}


class GradientPart(NamedTuple):
    """Some gradients of rows, which add up to those of structures.

    Attributes
    ----------
    columns : slice
        Features that they belong to.
    structure : (n,) array of int64
        Structure of the row.
    atom : (n,) array of int64, optional
        Atom of that structure that moves; None for strains.
    values : (n, n_components, n_columns) array of float32 or float64
    """

    columns: slice
    structure: NDArray[np.int64]
    atom: NDArray[np.int64] | None
    values: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class BlockGradients:
    """Gradients of one block, as they lie in the file.

    Attributes
    ----------
    values : (n, components..., n_columns) array
        Mapped.
    labels : GradientLabels
    columns : slice
        Features of the block among all.
    offsets : (S + 1,) array of int64
        Where the gradients of each structure begin.
    order : (n,) array of int64, optional
        Position in the file of each gradient, where they do not follow the structures.
    """

    values: NDArray[Any]
    labels: GradientLabels
    columns: slice
    offsets: NDArray[np.int64]
    order: NDArray[np.int64] | None

    def parts(self, start: int, stop: int) -> Iterator[GradientPart]:
        """Read the gradients of structures `start` to `stop`, some at a time."""
        layout = RowLayout(self.values.shape)
        shape = layout.height, self.values.shape[-1]
        height = max(1, _PART_BYTES // (shape[0] * shape[1] * self.values.dtype.itemsize))
        end = int(self.offsets[stop])
        for first in range(int(self.offsets[start]), end, height):
            wanted: slice | NDArray[np.int64] = slice(first, min(first + height, end))
            if self.order is not None:
                wanted = self.order[wanted]
            structure, atom = self.labels.read(wanted)
            values = np.asarray(self.values[wanted], dtype=float_type(self.values.dtype))
            yield GradientPart(self.columns, structure, atom, values.reshape(-1, *shape))


@dataclass(frozen=True)
class MtsGradients:
    """All gradients of one name in an mts file.

    Attributes
    ----------
    blocks : tuple of BlockGradients
    n_features : int
        Columns of all blocks together.
    where : str
        The file, and the gradients, for messages.
    """

    blocks: tuple[BlockGradients, ...]
    n_features: int
    where: str

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """Type that holds the numbers of all blocks."""
        return np.result_type(*(float_type(block.values.dtype) for block in self.blocks))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the file was read."""
        if any(block.order is not None for block in self.blocks):
            return ("gradients reordered by their labels",)
        return ()

    def parts(self, start: int, stop: int) -> Iterator[GradientPart]:
        """Read the gradients of structures `start` to `stop` in parts of bounded size."""
        for block in self.blocks:
            yield from block.parts(start, stop)


def open_gradients(path: Path, name: str, n_atoms: NDArray[np.int64]) -> MtsGradients:
    """Open the gradients of an mts file whose features `open_array` has opened and checked.

    All labels are read and checked here, gradients when they are asked for.

    Parameters
    ----------
    path : Path
        mts file with one row per structure or per atom.
    name : {"positions", "strain"}
        What the gradients are taken with respect to.
    n_atoms : (S,) array of int64
        Atoms of each structure.

    Returns
    -------
    MtsGradients

    Raises
    ------
    FormatError
        If the gradients have other axes or labels than they should.
    FeatureError
        If a block has none, or a label is of what is not there.
    """
    blocks: list[BlockGradients] = []
    offsets = atom_offsets(n_atoms)
    with open_archive(path) as archive:
        plan = block_columns(archive, path)
        for i, (key, columns) in enumerate(zip(plan.names, plan.columns, strict=True)):
            where = f"{path}, block {key}, gradients {name!r}"
            folder = f"blocks/{i}/gradients/{name}"
            if f"{folder}/values.npy" not in archive.NameToInfo:
                raise FeatureError("block has no such gradients", where=where)
            features, rows, values, samples = (
                map_member(archive, path, file_name)
                for file_name in (
                    f"blocks/{i}/values.npy",
                    f"blocks/{i}/samples.npy",
                    f"{folder}/values.npy",
                    f"{folder}/samples.npy",
                )
            )
            _check_values(values, samples, COMPONENTS[name], features.shape[-1], where)
            owners = FeatureRows(rows.size, offsets, SampleLabels.of(rows, where))
            labels = open_labels(samples, owners, name, where)
            blocks.append(_index(values, labels, columns))
    return MtsGradients(tuple(blocks), plan.n_columns, f"{path}, gradients {name!r}")


def _check_values(
    values: NDArray[Any],
    samples: NDArray[Any],
    components: Sequence[int],
    n_columns: int,
    where: str,
) -> None:
    """Refuse values that are not gradients of such features, one for each label."""
    check_real(values.dtype, where)
    check_labels(samples, f"{where}, samples")
    found = RowLayout(values.shape).component_lengths, values.shape[-1:]
    if values.shape[:1] == samples.shape and found == (tuple(components), (n_columns,)):
        return
    expected = ", ".join(map(str, (samples.size, *components, n_columns)))
    raise FormatError(
        "gradients do not have the axes that they should",
        where=where,
        expected=f"shape ({expected})",
        got=f"shape {values.shape}",
        remedy="write the features again, with metatensor",
    )


def _index(values: NDArray[Any], labels: GradientLabels, columns: slice) -> BlockGradients:
    """Find where the gradients of each structure lie."""
    counts, in_order = labels.count()
    order = None if in_order else labels.sorting_order()
    return BlockGradients(values, labels, columns, atom_offsets(counts), order)
