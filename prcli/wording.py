"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Say how many there are of something: "1 row", "2 rows"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
