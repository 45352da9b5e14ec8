"""What Python programs name as one data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from prcli.data.features import Features
from prcli.workflows.inputs import DataArgument

#: One data set: a path, features in memory, an array (S, D), or several of them.
DataSet: TypeAlias = DataArgument | Iterable[DataArgument]


def as_tuple(data: Any) -> tuple[DataArgument, ...]:
    """Take one argument for a set of one."""
    single = isinstance(data, (str, Path, Features, np.ndarray))
    return (data,) if single else tuple(data)
