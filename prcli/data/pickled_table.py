"""Tables in pickles: data frames of pandas, lists of arrays, and dictionaries of such lists.

A data frame is read from what it was to be rebuilt from, without pandas and without its code, as
pandas 1.3 to 3 write it: blocks of columns of one type, the positions of these columns, and an
index of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prcli.data.plain_pickle import DeadObject, PlainUnpickler, load_plain
from prcli.data.streams import open_stream, read_errors
from prcli.errors import FormatError

#: Values by row; None where they are of a type that is not restored.
Column: TypeAlias = NDArray[Any] | Sequence[Any] | None


@dataclass(frozen=True, eq=False)
class PickledTable:
    """Columns of a table.

    Attributes
    ----------
    columns : dict of str to column
        By name; a list that stands alone has the name "".
    row_labels : (n_rows,) array, optional
        Labels of the rows, where they are numbers.
    """

    columns: dict[str, Column]
    row_labels: NDArray[Any] | None = None


def read_pickled_table(path: Path) -> PickledTable:
    """Read a pickle, plain or compressed.

    Raises
    ------
    FormatError
        If it holds no table.
    InputFileError
        If it is damaged.
    """
    where = str(path)
    with open_stream(path) as stream, read_errors(path):
        content = load_plain(PlainUnpickler(stream, keeps_dead=True), where)
    if isinstance(content, Mapping):
        return PickledTable({str(name): _plain(values) for name, values in content.items()})
    if isinstance(content, (list, tuple, np.ndarray)):
        return PickledTable({"": content})
    if isinstance(content, DeadObject):
        try:
            table = _frame(content) or _series(content)
        # Whatever a frame of another version is made of.
        except (AttributeError, LookupError, TypeError, ValueError):
            table = None
        if table is not None:
            return table
    got = content.origin if isinstance(content, DeadObject) else type(content).__name__
    raise FormatError(
        "pickle holds no table that is known",
        where=where,
        expected="a DataFrame of pandas 1.3 to 3, a list of arrays, or a dictionary of them",
        got=got,
        remedy="save the column of features with numpy.save, one row per structure or atom",
    )


def _frame(content: DeadObject) -> PickledTable | None:
    """Take a data frame apart; None if it is none."""
    manager = content.state.get("_mgr") if isinstance(content.state, Mapping) else None
    if not isinstance(manager, DeadObject) or len(manager.args) != 2:
        return None
    blocks, axes = manager.args
    if not _is_sequence(blocks) or not _is_sequence(axes) or len(axes) != 2:
        return None
    names = _labels(axes[0])
    if names is None:
        return None
    columns: dict[str, Column] = {str(name): None for name in names}
    for block in blocks:
        if not isinstance(block, DeadObject) or len(block.args) != 3:
            return None
        values, positions, _ = block.args
        if isinstance(values, np.ndarray) and values.ndim == 2:
            numbers = np.arange(len(names))[positions]
            for number, column in zip(numbers.tolist(), values, strict=True):
                columns[str(names[number])] = column
    return PickledTable(columns, _row_labels(axes[1]))


def _series(content: DeadObject) -> PickledTable | None:
    """Take a single column of a data frame apart; None if it is none."""
    state = content.state if isinstance(content.state, Mapping) else {}
    manager = state.get("_mgr")
    inside = manager.state if isinstance(manager, DeadObject) else None
    if not isinstance(inside, tuple) or len(inside) < 2:
        return None
    axes, values = inside[:2]
    if not (_is_sequence(axes) and _is_sequence(values) and len(values) == 1):
        return None
    column = values[0] if isinstance(values[0], np.ndarray) else None
    return PickledTable({str(state.get("_name")): column}, _row_labels(axes[0]))


def _labels(index: object) -> list[Any] | None:
    """Read the labels of an axis; None if they are of a type that is not restored."""
    if not isinstance(index, DeadObject) or len(index.args) != 2:
        return None
    content = index.args[1]
    if not isinstance(content, Mapping):
        return None
    if "start" in content:
        return list(range(content["start"], content["stop"], content["step"]))
    return _texts(content.get("data"))


def _row_labels(index: object) -> NDArray[Any] | None:
    """Read labels of rows if they are numbers."""
    labels = np.array(_labels(index) or [], dtype=object)
    numbers = labels[[isinstance(label, (int, np.integer)) for label in labels]]
    return labels if labels.size and numbers.size == labels.size else None


def _texts(values: object) -> list[Any] | None:
    """Find labels inside an array of whatever kind."""
    if isinstance(values, np.ndarray):
        return values.tolist() if values.ndim == 1 else None
    if isinstance(values, DeadObject):
        if values.origin == "pyarrow.lib._restore_array":
            return _arrow_texts(values.args[0])
        values = values.state
    if isinstance(values, Mapping):
        return _texts(values.get("_pa_array"))
    if isinstance(values, tuple):
        return next((found for each in values if (found := _texts(each)) is not None), None)
    return None


def _arrow_texts(content: Any) -> list[str] | None:
    """Read the texts of an Arrow array: where each begins, and all of them in one."""
    kind, n_texts, _, first, buffers, *_ = content
    widths = {"string": np.int32, "large_string": np.int64}
    name = kind.args[0] if isinstance(kind, DeadObject) and kind.args else None
    if name not in widths or len(buffers) != 3:
        return None
    starts, texts = (bytes(each.args[0]) for each in buffers[1:])
    offsets = np.frombuffer(starts, dtype=widths[name])[first : first + n_texts + 1].tolist()
    return [
        texts[start:stop].decode() for start, stop in zip(offsets[:-1], offsets[1:], strict=True)
    ]


def _plain(values: object) -> Column:
    """Keep what can be a column."""
    return values if isinstance(values, (list, tuple, np.ndarray)) else None


def _is_sequence(values: object) -> bool:
    return isinstance(values, (list, tuple))
