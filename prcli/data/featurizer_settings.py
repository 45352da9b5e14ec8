"""What computed features: the settings of a featurizer, as stores and Hessian files keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from prcli.data.checkpoint import plain_request
from prcli.errors import FormatError, MismatchError

#: Key of the featurizer's name, here and in files of settings.
NAME = "featurizer"

#: Versions of packages, which are told but do not keep features apart.
VERSIONS = ("featomic", "mace", "metatomic")

#: Longest text of a value in a message.
_LONGEST_TEXT = 60


def named_settings(name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Put name and settings of a featurizer together, as a file gives them back."""
    return plain_request({NAME: name, **settings})


def format_settings(settings: Mapping[str, object]) -> str:
    """Write settings as the one JSON string that HDF5 files carry as attribute."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def parse_settings(text: str | None, where: str) -> dict[str, object] | None:
    """Read settings; None where a file does not say what computed its features.

    Raises
    ------
    FormatError
        If they are no JSON object with the name of a featurizer.
    """
    if text is None:
        return None
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict) or not isinstance(settings.get(NAME), str):
        raise FormatError(
            f"attribute {NAME} cannot be understood",
            where=where,
            expected=f'a JSON object of settings with a name: {{"{NAME}": "soap", ...}}',
            got=text[:_LONGEST_TEXT],
        )
    return settings


def check_same_settings(
    first: Mapping[str, object] | None, other: Mapping[str, object] | None, where: str
) -> None:
    """Refuse features that were computed by other means, as far as that is known.

    Parameters
    ----------
    first, other : mapping, or None
        As `named_settings` gives them; None where it is not known what computed the features.
    where : str
        What they belong to, the other one last.

    Raises
    ------
    MismatchError
        Naming what differs.
    """
    if first is None or other is None:
        return
    here, there = dict(_flat(first)), dict(_flat(other))
    names = [name for name in dict.fromkeys((*here, *there)) if name not in VERSIONS]
    if here[NAME] != there[NAME]:
        # Settings of different featurizers have nothing in common.
        names = [NAME]
    differing = [name for name in names if here.get(name) != there.get(name)]
    if differing:
        raise MismatchError(
            "features were computed with different settings",
            where=where,
            expected=_text(here, differing),
            got=_text(there, differing),
            remedy="compute both with the same featurizer, settings and species",
        )


def other_versions(first: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Name packages of which versions differ: ``featomic 0.6.7 and 0.6.8``."""
    return [
        f"{name} {first[name]} and {other[name]}"
        for name in VERSIONS
        if name in first and name in other and first[name] != other[name]
    ]


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield values of nested tables by dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(values: Mapping[str, object], names: list[str]) -> str:
    """Write some values behind their names."""
    parts = []
    for name in names:
        text = json.dumps(values[name], ensure_ascii=False) if name in values else "none"
        parts.append(f"{name} {text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + '…'}")
    return ", ".join(parts)
