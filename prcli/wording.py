"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Say how many there are of something: "1 row", "2 rows"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Say how long something took: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def rate(per_second: float) -> str:
    """Say how fast something goes: "1.2M/s", "350/s", "0.5/s", "20 s each"."""
    if per_second <= 0.0:
        return ""
    if per_second < 0.1:
        return f"{duration(1.0 / per_second)} each"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= 0.9995 * size:
            return f"{per_second / size:.3g}{letter}/s"
    return f"{per_second:.3g}/s"
