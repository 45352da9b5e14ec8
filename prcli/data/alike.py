"""Whether two feature tables can be columns of the same model."""

from __future__ import annotations

from prcli.data.feature_table import FeatureTable
from prcli.data.featurizer_settings import check_same_settings
from prcli.errors import MismatchError
from prcli.records import Block


def check_alike(first: FeatureTable, other: FeatureTable) -> None:
    """Refuse two tables that cannot be columns of the same model.

    Raises
    ------
    MismatchError
        If widths or blocks differ, or what computed the features, where that is known.
    """
    check_same_settings(first.featurizer, other.featurizer, f"{first.label} and {other.label}")
    if first.n_features != other.n_features:
        raise MismatchError(
            "feature sets differ in width",
            where=f"{first.label} and {other.label}",
            expected=f"{first.n_features} features, as in {first.label}",
            got=f"{other.n_features} features in {other.label}",
            remedy="compute both with the same descriptor or model",
        )
    if first.blocks != other.blocks:
        raise MismatchError(
            "feature sets differ in their blocks",
            where=f"{first.label} and {other.label}",
            expected=block_text(first.blocks),
            got=block_text(other.blocks),
        )


def block_text(blocks: tuple[Block, ...] | None) -> str:
    """Write blocks as names and widths."""
    if blocks is None:
        return "no blocks"
    return ",".join(f"{block.name}:{block.width}" for block in blocks)
