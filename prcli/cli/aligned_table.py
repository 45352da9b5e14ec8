"""Tables for eyes: numbers aligned at their points, as many rows as there are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

#: Rows that are aligned together: more than anybody sees at once.
_PAGE = 1000

#: Rows that may be written side by side, a line for each column.
_MOST_TURNED = 8

#: Rows of a table that may be cut into parts below each other: as many as are seen at once.
_MOST_STACKED = 40

_GAP = "  "

#: Columns of paths, which are told by their ends.
_PATHS = ("source", "file")
_SHORTEST_PATH = 16


def table_lines(
    columns: Sequence[str],
    batches: Iterable[Mapping[str, Any]],
    *,
    header: bool = True,
    width: int | None = None,
) -> Iterator[tuple[str, bool]]:
    """Align a table.

    Parameters
    ----------
    columns : sequence of str
    batches : iterable of mapping of str to array
    header : bool
        Whether the names of the columns come first.
    width : int, optional
        Of the terminal. Where the table is wider, names of columns take several lines and paths
        lose their beginnings; where that does not help, the columns of a few rows are written
        below each other, and those of more rows in parts. Numbers are never cut.

    Yields
    ------
    line : str
    is_header : bool
    """
    layout: _Layout | None = None
    for page in _pages(columns, batches):
        if layout is None:
            layout = _Layout(columns, page, header, width)
            if header and layout.is_too_wide:
                turned = _turned(columns, page)
                if turned and max(map(_length, turned)) <= (width or 0):
                    yield from ((line, False) for line in turned)
                    return
                stacked = _stacked(columns, page, width or 0)
                if stacked:
                    yield from stacked
                    return
            yield from ((line, True) for line in layout.head)
        yield from ((line, False) for line in layout.lines(page))


def terminal_columns() -> int:
    """Columns of the terminal behind stdout, or as many as anybody may want."""
    return shutil.get_terminal_size((10_000, 50)).columns


def _pages(
    columns: Sequence[str], batches: Iterable[Mapping[str, Any]]
) -> Iterator[list[list[Any]]]:
    """Cut batches into pages, each a list of values for every column; there is at least one."""
    page: list[list[Any]] = [[] for _ in columns]
    n_pages = 0
    for batch in batches:
        size = len(batch[columns[0]]) if columns else 0
        done = 0
        while done < size:
            stop = min(size, done + _PAGE - len(page[0]))
            for values, name in zip(page, columns, strict=True):
                piece = batch[name][done:stop]
                values += piece.tolist() if hasattr(piece, "tolist") else list(piece)
            done = stop
            if len(page[0]) == _PAGE:
                yield page
                page, n_pages = [[] for _ in columns], n_pages + 1
    if not n_pages or (page and page[0]):
        yield page


class _Layout:
    """Widths of columns, as the first rows want them; wider ones widen what follows.

    Attributes
    ----------
    head : list of str
        Lines of the names of the columns.
    is_too_wide : bool
        Whether the terminal has to wrap the lines.
    """

    def __init__(
        self, columns: Sequence[str], page: list[list[Any]], header: bool, width: int | None
    ) -> None:
        self._numeric = [_are_numbers(values) for values in page]
        self._limits: list[int | None] = [None] * len(columns)
        own = [max(map(_length, cells), default=0) for cells in self._cells(page)]
        names = [[name] if header else [] for name in columns]
        self._widths = _widths(names, own)
        if width is not None and self._total > width:
            names = self._narrowed(columns, names, own, width)
        self.is_too_wide = width is not None and self._total > width
        # The lowest line of each name stands right above its column.
        rows = zip_longest(*(reversed(name) for name in names), fillvalue="")
        self.head = [self._line(row) for row in rows][::-1]

    def _narrowed(
        self, columns: Sequence[str], names: list[list[str]], own: list[int], width: int
    ) -> list[list[str]]:
        """Break names and shorten paths if the table then fits; give the lines of the names."""
        before = self._widths
        broken = [
            _broken(name[0], space) if name else [] for name, space in zip(names, own, strict=True)
        ]
        self._widths = _widths(broken, own)
        for i, name in enumerate(columns):
            if name in _PATHS and self._total > width:
                limit = max(_SHORTEST_PATH, self._widths[i] - (self._total - width))
                self._limits[i] = limit
                self._widths[i] = min(self._widths[i], limit)
        if self._total <= width:
            return broken
        # Lines that the terminal wraps should be wrapped alike.
        self._widths, self._limits = before, [None] * len(columns)
        return names

    @property
    def _total(self) -> int:
        return sum(self._widths) + len(_GAP) * (len(self._widths) - 1)

    def lines(self, page: list[list[Any]]) -> Iterator[str]:
        """Yield the lines of some rows."""
        cells = self._cells(page)
        for i, each in enumerate(cells):
            self._widths[i] = max(self._widths[i], *map(_length, each), 0)
        for row in zip(*cells, strict=True):
            yield self._line(row)

    def _cells(self, page: list[list[Any]]) -> list[list[str]]:
        return [
            _aligned(values) if numeric else [_shortened(_text(v), limit) for v in values]
            for values, numeric, limit in zip(page, self._numeric, self._limits, strict=True)
        ]

    def _line(self, row: Iterable[str]) -> str:
        padded = []
        for text, width, numeric in zip(row, self._widths, self._numeric, strict=True):
            space = " " * (width - _length(text))
            padded.append(space + text if numeric else text + space)
        return _GAP.join(padded).rstrip()


def _widths(names: list[list[str]], own: list[int]) -> list[int]:
    return [max(space, *map(_length, name), 0) for name, space in zip(names, own, strict=True)]


def _are_numbers(values: list[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in known
    )


def _aligned(values: list[Any]) -> list[str]:
    """Write numbers one above the other, with their points in one place."""
    parts = []
    for value in values:
        text = _text(value)
        whole, point, digits = text.partition(".")
        if not point:
            # An exponent without a point, such as 1e-05.
            whole, point, digits = text.partition("e")
        parts.append((whole, point + digits))
    after = max((len(rest) for _, rest in parts), default=0)
    return [whole + rest.ljust(after) for whole, rest in parts]


def _text(value: Any) -> str:
    """Six digits are enough for eyes; the other formats keep all of them."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text.isprintable():
        return text
    # What would move the cursor or ring the bell is shown, not done.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shortened(text: str, limit: int | None) -> str:
    if limit is None or _length(text) <= limit:
        return text
    while _length(text) >= limit:
        text = text[1:]
    return "…" + text


def _turned(columns: Sequence[str], page: list[list[Any]]) -> list[str]:
    """Write one line for each column of a few rows; none where there are more."""
    n_rows = len(page[0]) if page else 0
    if not 0 < n_rows <= _MOST_TURNED:
        return []
    cells = [[_text(value) for value in values] for values in page]
    widths = [max(_length(each[i]) for each in cells) for i in range(n_rows)]
    space = max(map(_length, columns))
    return [
        _GAP.join(
            [
                name + " " * (space - _length(name)),
                *(" " * (w - _length(text)) + text for text, w in zip(each, widths, strict=True)),
            ]
        ).rstrip()
        for name, each in zip(columns, cells, strict=True)
    ]


def _stacked(columns: Sequence[str], page: list[list[Any]], width: int) -> list[tuple[str, bool]]:
    """Cut a table between columns into parts that fit, each with the first column; else none."""
    if not 0 < len(page[0]) <= _MOST_STACKED:
        return []

    def layout_of(part: list[int]) -> _Layout:
        return _Layout([columns[i] for i in part], [page[i] for i in part], True, width)

    parts = [[0]]
    for i in range(1, len(columns)):
        if layout_of([*parts[-1], i]).is_too_wide:
            parts.append([0])
        parts[-1].append(i)
    shown: list[tuple[str, bool]] = []
    for part in parts:
        layout = layout_of(part)
        if layout.is_too_wide:
            return []
        shown += [("", False)] if shown else []
        shown += [(line, True) for line in layout.head]
        shown += [(line, False) for line in layout.lines([page[i] for i in part])]
    return shown


def _broken(name: str, space: int) -> list[str]:
    """Break the name of a column at underscores, into lines as long as its cells or a word."""
    lines = [""]
    for word in re.findall(r"(?:[^_]{1,2}_)*[^_]+_?|_", name):
        if lines[-1] and len(lines[-1]) + len(word) > space:
            lines.append("")
        lines[-1] += word
    return lines


def _length(text: str) -> int:
    """Places of a terminal that a text takes; some letters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
