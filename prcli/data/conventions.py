"""What the rows and columns of imported features stand for: stated by the user, and checked."""

from __future__ import annotations

from typing import Literal, TypeAlias

from prcli.data.store_schema import parse_blocks as parse_block_text
from prcli.errors import FeatureError
from prcli.records import Block
from prcli.wording import counted

RowConvention: TypeAlias = Literal["mean", "sum", "per-atom"]


def check_convention(
    convention: RowConvention, n_rows: int, n_structures: int, n_atoms_total: int, where: str
) -> None:
    """Check that the number of rows fits what they are said to be.

    Parameters
    ----------
    convention : {"mean", "sum", "per-atom"}
        Rows are means or sums over the atoms of each structure, or belong to atoms.
    n_rows : int
        Rows of the features.
    n_structures, n_atoms_total : int
        Structures of the structures file, and atoms of all of them.
    where : str
        The feature file, for the message.

    Raises
    ------
    FeatureError
        If the numbers differ; the message names a convention that would fit, if one does.
    """
    per_atom = convention == "per-atom"
    if n_rows == (n_atoms_total if per_atom else n_structures):
        return
    raise FeatureError(
        f"number of feature rows does not fit --convention {convention}",
        where=where,
        expected="one row for each of the "
        + (counted(n_atoms_total, "atom") if per_atom else counted(n_structures, "structure")),
        got=counted(n_rows, "row"),
        remedy=_suggest(per_atom, n_rows, n_structures, n_atoms_total),
    )


def parse_blocks(text: str, n_features: int) -> tuple[Block, ...]:
    """Parse ``name:width,name:width``, the components in column order.

    Parameters
    ----------
    text : str
        Names and widths of 1 or more; a name may contain colons, but no comma.
    n_features : int
        Columns of the features, which the widths add up to.

    Raises
    ------
    FormatError
        If the text has another form, or a name is empty or there twice.
    FeatureError
        If the widths do not add up to `n_features`.
    """
    blocks = parse_block_text(text)
    total = sum(block.width for block in blocks)
    if total != n_features:
        raise FeatureError(
            "widths of the blocks do not add up to the number of features",
            where=f"--blocks {text}",
            expected=f"{n_features} columns",
            got=" + ".join(str(block.width) for block in blocks) + f" = {total}",
        )
    return blocks


def _suggest(per_atom: bool, n_rows: int, n_structures: int, n_atoms_total: int) -> str:
    """Say which convention the number of rows would fit."""
    if per_atom and n_rows == n_structures:
        return (
            f"there are {n_structures} structures, so --convention mean or --convention sum"
            " would fit: state the one that the other program used"
        )
    if not per_atom and n_rows == n_atoms_total:
        return f"there are {n_atoms_total} atoms in all, so --convention per-atom would fit"
    return (
        f"no convention fits {n_structures} structures with {n_atoms_total} atoms in all:"
        " check that the features were made from this structures file"
    )
