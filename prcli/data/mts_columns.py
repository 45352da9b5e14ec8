"""Which columns the blocks of an mts file fill.

Blocks whose keys differ in the type of the central atom hold the rows of different atoms. Where
their other keys and their properties agree they fill the same columns, as ``keys_to_samples`` of
metatensor would have it. Any other block has columns of its own, as with ``keys_to_properties``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prcli.data.mts_archive import KEYS, Labels, check_labels, map_member, same_labels, spell_key
from prcli.data.sample_order import first_name
from prcli.errors import FeatureError
from prcli.records import Block

#: Names that the key of the central atom's type may have, the newest first.
CENTRE_NAMES = ("center_type", "species_center")


@dataclass(frozen=True)
class BlockColumns:
    """Which columns the blocks of an mts file fill.

    Attributes
    ----------
    names : tuple of str
        Name of each block, after its key.
    columns : tuple of slice
        Columns of each block.
    groups : tuple of Block
        Names and widths of the columns, in order.
    centre_name : str, optional
        Key in which blocks that share columns differ; None where none share any.
    """

    names: tuple[str, ...]
    columns: tuple[slice, ...]
    groups: tuple[Block, ...]
    centre_name: str | None = None

    @property
    def n_columns(self) -> int:
        """Columns of all blocks together."""
        return sum(group.width for group in self.groups)

    def notes(self, *, same_rows: bool, per_atom: bool) -> Iterator[str]:
        """Say how rows of blocks became rows of one table."""
        if self.centre_name is not None and per_atom:
            yield f"blocks of each {self.centre_name} fill the same columns, in rows of their atoms"
        elif self.centre_name is not None:
            yield f"blocks of each {self.centre_name} are added up, column by column"
        if len(self.groups) > 1 and not same_rows:
            yield "blocks are columns side by side; what is absent from a block is zero"


def block_columns(archive: zipfile.ZipFile, path: Path) -> BlockColumns:
    """Decide which columns each block of an mts file fills.

    Parameters
    ----------
    archive : ZipFile
        The file.
    path : Path
        Its name.

    Raises
    ------
    FeatureError
        If there are no blocks.
    FormatError
        If keys or values cannot be understood.
    """
    keys = map_member(archive, path, KEYS)
    check_labels(keys, f"{path}, keys")
    if keys.size == 0:
        raise FeatureError("mts file holds no blocks", where=str(path))
    names = [spell_key(keys, i) for i in range(keys.size)]
    widths = [_width(archive, path, i) for i in range(keys.size)]
    centre = first_name(keys, CENTRE_NAMES)
    if centre is not None and np.unique(keys[centre]).size > 1:
        groups = _group(archive, path, keys, centre)
        if len(groups) < keys.size:
            return _shared(names, widths, groups, centre)
    return _side_by_side(names, widths)


def _width(archive: zipfile.ZipFile, path: Path, i: int) -> int:
    """Count the columns of a block; one without axes is refused when it is opened."""
    shape = map_member(archive, path, f"blocks/{i}/values.npy").shape
    return int(shape[-1]) if shape else 0


def _group(
    archive: zipfile.ZipFile, path: Path, keys: Labels, centre: str
) -> list[tuple[str, list[int]]]:
    """Find blocks that agree but for the central atom; give their name and positions."""
    others = [name for name in keys.dtype.names or () if name != centre]
    groups: list[tuple[str, Labels, list[int]]] = []
    for i in range(keys.size):
        rest = spell_key(keys, i, others)
        properties = map_member(archive, path, f"blocks/{i}/properties.npy")
        for name, known, members in groups:
            if name == rest and same_labels(properties, known):
                members.append(i)
                break
        else:
            groups.append((rest, properties, [i]))
    return [(name, members) for name, _, members in groups]


def _side_by_side(names: Sequence[str], widths: Sequence[int]) -> BlockColumns:
    """Give each block columns of its own."""
    ends = np.cumsum(widths).tolist()
    columns = tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))
    groups = tuple(Block(name, width) for name, width in zip(names, widths, strict=True))
    return BlockColumns(tuple(names), columns, groups)


def _shared(
    names: Sequence[str],
    widths: Sequence[int],
    groups: Sequence[tuple[str, list[int]]],
    centre: str,
) -> BlockColumns:
    """Give the members of each group the same columns."""
    rests = [rest for rest, _ in groups]
    columns = [slice(0)] * len(names)
    blocks, start = [], 0
    for rest, members in groups:
        first = members[0]
        # Without other keys, or with other properties, the name would not tell groups apart.
        name = rest if rest and rests.count(rest) == 1 else names[first]
        blocks.append(Block(name, widths[first]))
        for member in members:
            columns[member] = slice(start, start + widths[first])
        start += widths[first]
    return BlockColumns(tuple(names), tuple(columns), tuple(blocks), centre)
