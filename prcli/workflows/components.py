"""Components of predictions: the named blocks of features, and what each belongs to."""

from __future__ import annotations

from typing import Literal, TypeAlias

from prcli.data.dataset import Dataset
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FeatureError
from prcli.records import columns_of

ComponentPer: TypeAlias = Literal["component", "atom-component"]

#: What components are components of.
WHOLES: dict[str, Literal["structure", "atom"]] = {
    "component": "structure",
    "atom-component": "atom",
}


def blocks_of(record: HessianRecord, per: str) -> dict[str, slice]:
    """Columns of each named block, where components are scored; those of intercepts are in none.

    Parameters
    ----------
    record : HessianRecord
    per : str
        What is scored; anything but components has none.
    """
    return columns_of(record.blocks or ()) if per in WHOLES else {}


def check_blocks_named(data: Dataset) -> None:
    """Refuse a set whose columns have no named blocks.

    Raises
    ------
    FeatureError
    """
    if data.blocks is None:
        raise FeatureError(
            "rigidities of components need named blocks of features",
            where=data.label,
            expected="the attribute blocks, such as nu1:48,nu2:273",
            got="no blocks",
            remedy="name them with --blocks of prcli features import, for the training set too",
        )
