"""What happened to structures that were converted, rather than copied."""

from __future__ import annotations


class ConversionNotes:
    """Counts structures, and lists what could not be kept as it was.

    Attributes
    ----------
    n_structures : int
        How many were converted.
    n_constrained : int
        How many had constraints, for which extxyz has no place.
    renamed : dict of (str, str) to None
        Keys and columns that have another name now: (old, new), in order of appearance.
    dropped : dict of str to None
        Those that no text holds.
    """

    def __init__(self) -> None:
        self.n_structures = 0
        self.n_constrained = 0
        self.renamed: dict[tuple[str, str], None] = {}
        self.dropped: dict[str, None] = {}

    def __str__(self) -> str:
        """Tell it in a sentence without subject."""
        parts = ["converted to extxyz through ASE, not copied byte for byte"]
        if self.n_constrained:
            parts.append(f"constraints of {self.n_constrained} left out")
        if self.renamed:
            names = ", ".join(f"{old!r} to {new!r}" for old, new in self.renamed)
            parts.append(f"renamed {names}")
        if self.dropped:
            parts.append("left out what text cannot hold: " + ", ".join(map(repr, self.dropped)))
        return "; ".join(parts)
