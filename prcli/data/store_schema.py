"""The feature store on disk: names, version, and the words for its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from prcli.errors import FormatError
from prcli.records import Block

FORMAT = "prcli-features"
VERSION = 1

CONVENTIONS = ("mean", "sum")

#: What the features of a network can be; those of other models have no such attribute.
FEATURE_KINDS = ("last-layer", "descriptor")

STRUCTURES = "structures"
ATOMS = "atoms"
GRADIENTS = "gradients"
SOURCE = "source"

#: Datasets of the groups above.
FEATURES = "features"
N_ATOMS = "n_atoms"
SPECIES = "species"
ROW_DIGEST = "row_digest"
ROWS = "rows"
KIND = "kind"
STRUCTURE = "structure"

#: Attribute of `GRADIENTS`: whether blocks taller than D were reduced to D rows.
REDUCED = "reduced"

#: Root attributes beside format, version and provenance.
CONVENTION = "convention"
BLOCKS = "blocks"
FEATURE_KIND = "feature_kind"
FEATURIZER = "featurizer"
CONTENT_DIGEST = "content_digest"

#: Datasets beside `FEATURES` and `N_ATOMS` whose meaning is fixed.
NUMERIC_COLUMNS = ("energy", "energy_predicted", "weight")


def format_blocks(blocks: Sequence[Block]) -> str:
    """Write blocks in the words of the command line: ``nu1:48,nu2:273``.

    Parameters
    ----------
    blocks : sequence of Block
        In column order; names must hold no comma.

    Returns
    -------
    str
        What `parse_blocks` reads.
    """
    return ",".join(f"{block.name}:{block.width}" for block in blocks)


def parse_blocks(text: str) -> tuple[Block, ...]:
    """Read ``nu1:48,nu2:273``.

    Parameters
    ----------
    text : str
        Names and widths in column order.

    Returns
    -------
    tuple of Block
        At least one.

    Raises
    ------
    FormatError
        If a part is not ``name:width``, a width is below 1 or a name comes twice.
    """
    blocks: list[Block] = []
    for part in text.split(","):
        name, _, width = part.rpartition(":")
        name, width = name.strip(), width.strip()
        if not name or not (width.isascii() and width.isdigit() and int(width) > 0):
            raise FormatError(
                "blocks cannot be understood",
                where=f"blocks {text!r}",
                expected="NAME:WIDTH,NAME:WIDTH,... with widths of 1 or more",
                got=repr(part),
            )
        blocks.append(Block(name, int(width)))
    if len({block.name for block in blocks}) < len(blocks):
        raise FormatError("two blocks have the same name", where=f"blocks {text!r}")
    return tuple(blocks)
