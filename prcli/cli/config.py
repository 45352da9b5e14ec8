"""Options from a TOML file: a section per command, the command line wins."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prcli.errors import FormatError, InputFileError

#: Sections whose keys may be given to every command that knows them.
SHARED_SECTIONS = ("loss", "output")


def load_config(ctx: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Make the keys of a file the defaults of the command; a callback of ``--config``."""
    if path is None:
        return None
    content = _read(path)
    sections = ctx.command_path.split()[1:]
    shared = {
        key: value
        for name in SHARED_SECTIONS
        for key, value in _section(content, (name,), path).items()
        if _find(ctx.command, key) is not None
    }
    own = _section(content, tuple(sections), path)
    defaults: dict[str, Any] = {}
    for key, value in {**shared, **own}.items():
        found = _find(ctx.command, key)
        if found is None:
            raise _unknown(key, ctx.command, f"{path}, [{'.'.join(sections)}]")
        defaults[str(found.name)] = _as_default(found, value, f"{path}, {key}")
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _read(path: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(
            "the configuration cannot be read", where=path, got=error.strerror
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(
            "the configuration is not valid TOML", where=path, got=str(error)
        ) from error


def _section(content: Mapping[str, Any], names: tuple[str, ...], path: str) -> Mapping[str, Any]:
    """Return the options of a section; sections of other commands are left alone."""
    known = {*_COMMAND_SECTIONS, *SHARED_SECTIONS}
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise FormatError(
                f"section [{name}] is not known",
                where=path,
                expected="one of " + ", ".join(sorted(known)),
                remedy=f"did you mean [{near[0]}]?" if near else None,
            )
    section: Any = content
    for name in names:
        section = section.get(name, {})
        if not isinstance(section, Mapping):
            raise FormatError(f"{name} is not a section", where=path, got=repr(section))
    return dict(section)


_COMMAND_SECTIONS = (
    "features",
    "hessian",
    "score",
    "select",
    "calibrate",
    "ensemble",
    "evaluate",
    "prune",
    "embed",
    "compare",
    "report",
    "info",
)


def _find(command: click.Command, key: str) -> click.Parameter | None:
    """Find a parameter by the name of its long option, or of the argument."""
    option = "--" + key.replace("_", "-")
    for parameter in command.params:
        if option in parameter.opts or option in parameter.secondary_opts:
            return parameter
        if isinstance(parameter, click.Argument) and parameter.name == key.replace("-", "_"):
            return parameter
    return None


def _unknown(key: str, command: click.Command, where: str) -> FormatError:
    names = [
        option.removeprefix("--")
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") or isinstance(parameter, click.Argument)
    ]
    near = difflib.get_close_matches(key.replace("_", "-"), names, n=1)
    return FormatError(
        f"key {key!r} is not known",
        where=where,
        expected="the name of an option: " + ", ".join(sorted(names)),
        remedy=f"did you mean {near[0]!r}?" if near else None,
    )


def _as_default(parameter: click.Parameter, value: Any, where: str) -> Any:
    """Bring a value into the form that click takes."""
    many = parameter.multiple if isinstance(parameter, click.Option) else parameter.nargs == -1
    if many and not isinstance(value, list):
        return [value]
    if isinstance(value, (dict, list)) and not many:
        raise FormatError("a single value is needed", where=where, got=f"a {type(value).__name__}")
    return value
