"""Where the frames of an extxyz stream begin and end, found by its newlines alone."""

from __future__ import annotations

from array import array
from typing import NoReturn

import numpy as np

from prcli.errors import FormatError, InputFileError

_NEWLINE = 10
_MAX_COUNT_BYTES = 256
_MAX_VECTORS = 3


class FrameScanner:
    """Finds frames in a stream that arrives chunk by chunk.

    Only count lines, and the lines where one is due, are looked at. A frame is its count line,
    its comment line, one line per atom and up to three ``VEC`` lines.

    Parameters
    ----------
    name : str
        File that messages name.

    Attributes
    ----------
    offset : array of int64
        Byte where each frame begins.
    end : array of int64
        Byte after each frame, its newline included where it has one.
    n_atoms : array of int64
        Number of atoms of each frame.
    last_line : int
        Byte where the last line without newline begins; -1 where the last line has one.
    """

    def __init__(self, name: str) -> None:
        self.offset = array("q")
        self.end = array("q")
        self.n_atoms = array("q")
        self.last_line = -1
        self._name = name
        self._base = 0  # byte where the present chunk begins
        self._n_lines = 0  # lines that ended before the present chunk
        self._n_missing = 0  # lines that the open frame still needs; 0 between frames
        self._start = 0  # byte where the open frame begins
        self._count = 0  # atoms that the open frame announced
        self._n_vectors = 0  # VEC lines seen after the last frame
        self._blank_line = 0  # number of the first blank line after the last frame
        self._tail = b""  # line without newline yet, kept only where a count line is due
        self._line_start = 0  # byte where the line without newline begins

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes.

        Parameters
        ----------
        chunk : bytes-like
            Of any length; not kept.

        Raises
        ------
        FormatError
            If a line that should be a number of atoms is none.
        """
        newlines = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == _NEWLINE)
        n_lines, at, base = newlines.size, newlines.item, self._base
        i = 0
        while True:
            if self._n_missing > n_lines - i:
                self._n_missing -= n_lines - i
                i = n_lines
                break
            if self._n_missing:
                i += self._n_missing
                self._n_missing = 0
                self._close(base + at(i - 1) + 1)
            if i == n_lines:
                break
            line = self._tail + bytes(chunk[at(i - 1) + 1 if i else 0 : at(i)])
            start = base + at(i - 1) + 1 if i else self._line_start
            self._tail = b""
            i += 1
            self._begin(line, start, base + at(i - 1) + 1, self._n_lines + i)
        if n_lines:
            self._line_start = base + at(n_lines - 1) + 1
        if not self._n_missing:
            self._keep_tail(chunk[at(n_lines - 1) + 1 if n_lines else 0 :])
        self._n_lines += n_lines
        self._base += len(chunk)

    def finish(self) -> None:
        """Take in the end of the stream.

        Raises
        ------
        InputFileError
            If the last frame is cut short.
        FormatError
            If there is no frame, or the last line is no number of atoms.
        """
        size = self._base
        if self._line_start < size:
            self.last_line = self._line_start
            if not self._n_missing:
                self._begin(self._tail, self._line_start, size, self._n_lines + 1)
            elif self._n_missing == 1:
                self._n_missing = 0
                self._close(size)
            self._n_lines += 1
        if self._n_missing:
            self._raise_truncated()
        if not self.offset:
            raise FormatError(
                "file holds no structures",
                where=self._name,
                expected="at least one frame",
                got="an empty file" if size == 0 else "blank lines only",
            )

    def _close(self, end: int) -> None:
        """Note the frame that ends before byte `end`."""
        self.offset.append(self._start)
        self.end.append(end)
        self.n_atoms.append(self._count)
        self._n_vectors = 0

    def _begin(self, line: bytes, start: int, end: int, number: int) -> None:
        """Interpret a line where a count line is due: a count, a vector or nothing."""
        word = line.strip()
        if word.isdigit() and len(word) <= 18 and not self._blank_line:
            self._start = start
            self._count = int(word)
            self._n_missing = self._count + 1
        elif not word:
            self._blank_line = self._blank_line or number
        elif word.startswith(b"VEC") and self._can_extend():
            self.end[-1] = end
            self._n_vectors += 1
        else:
            self._raise_garbage(word, number)

    def _can_extend(self) -> bool:
        """Tell whether the last frame may have one more lattice vector."""
        return bool(self.offset) and not self._blank_line and self._n_vectors < _MAX_VECTORS

    def _keep_tail(self, rest: bytes | bytearray | memoryview) -> None:
        """Keep the beginning of a count line whose end is in the next chunk."""
        self._tail += bytes(rest[: _MAX_COUNT_BYTES + 1 - len(self._tail)])
        if len(self._tail) > _MAX_COUNT_BYTES:
            self._raise_garbage(self._tail.strip(), self._n_lines + 1)

    def _raise_garbage(self, word: bytes, number: int) -> NoReturn:
        """Say what stands where a number of atoms should."""
        if self._blank_line and self.offset:
            raise FormatError(
                "blank line between structures",
                where=f"{self._name}, line {self._blank_line}",
                expected="the number of atoms of the next structure, or the end of the file",
                got=f"a blank line, and more at line {number}",
                remedy="remove the blank line",
            )
        found = repr(word[:60].decode("utf-8", "replace")) + ("..." if len(word) > 60 else "")
        if not self.offset:
            raise FormatError(
                "not an extxyz file",
                where=f"{self._name}, line {self._blank_line or number}",
                expected="the number of atoms of the first structure, alone on the first line",
                got=f"a blank line, then {found}" if self._blank_line else found,
            )
        raise FormatError(
            "count line is not a number of atoms",
            where=f"{self._name}, line {number} (frame {len(self.offset)})",
            expected="the number of atoms of the next structure",
            got=found,
            remedy=f"check that frame {len(self.offset) - 1} has as many lines as it says",
        )

    def _raise_truncated(self) -> NoReturn:
        """Say how much of the last frame is missing."""
        n_expected = self._count + 2
        n_got = n_expected - self._n_missing
        raise InputFileError(
            "last structure is truncated",
            where=f"{self._name}, frame {len(self.offset)}",
            expected=f"{n_expected} lines ({self._count} atoms)",
            got=f"{n_got} line{'s' if n_got != 1 else ''}",
            remedy="copy the file again, or cut it after the last complete frame",
        )
