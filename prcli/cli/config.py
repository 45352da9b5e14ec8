"""Options from a TOML file: a section per command, the command line wins."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
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
    _check_sections(content, path)
    names = ctx.command_path.split()[1:]
    defaults: dict[str, Any] = {}
    for section in SHARED_SECTIONS:
        for key, value in _section(content, (section,), path).items():
            if (found := _find(ctx.command, key)) is not None:
                defaults[str(found.name)] = _as_default(found, key, value, f"{path}, {key}")
            elif not _is_known_anywhere(ctx, key):
                raise _unknown(key, ctx.command, f"{path}, [{section}]")
    for key, value in _section(content, names, path).items():
        if (found := _find(ctx.command, key)) is None:
            raise _unknown(key, ctx.command, f"{path}, [{'.'.join(names)}]")
        defaults[str(found.name)] = _as_default(found, key, value, f"{path}, {key}")
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


def _check_sections(content: Mapping[str, Any], path: str) -> None:
    """Refuse sections that no command reads; those of other commands are left alone."""
    _check_known(content, {*_COMMAND_SECTIONS, *SHARED_SECTIONS}, "", path)
    for group, commands in _NESTED_SECTIONS.items():
        _check_known(_section(content, (group,), path), set(commands), f"{group}.", path)


def _check_known(section: Mapping[str, Any], known: set[str], prefix: str, path: str) -> None:
    for name in section:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise FormatError(
                f"section [{prefix}{name}] is not known",
                where=path,
                expected="one of " + ", ".join(sorted(f"{prefix}{each}" for each in known)),
                remedy=f"did you mean [{prefix}{near[0]}]?" if near else None,
            )


def _section(content: Mapping[str, Any], names: Sequence[str], path: str) -> Mapping[str, Any]:
    """Return what stands in a section, nothing if it is absent."""
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


#: Commands within a group of commands.
_NESTED_SECTIONS = {"features": ("compute", "import")}


def _find(command: click.Command, key: str) -> click.Parameter | None:
    """Find a parameter by the name of its long option, or of the argument."""
    option = _option(key)
    for parameter in command.params:
        if not parameter.expose_value:
            continue
        if option in parameter.opts or option in parameter.secondary_opts:
            return parameter
        if isinstance(parameter, click.Argument) and parameter.name == key.replace("-", "_"):
            return parameter
    return None


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _is_known_anywhere(ctx: click.Context, key: str) -> bool:
    """Whether any command has such an option; asked only of keys in shared sections."""
    commands = [ctx.find_root().command]
    while commands:
        command = commands.pop()
        if isinstance(command, click.Group):
            found = (command.get_command(ctx, name) for name in command.list_commands(ctx))
            commands += [member for member in found if member is not None]
        elif _find(command, key) is not None:
            return True
    return False


def _unknown(key: str, command: click.Command, where: str) -> FormatError:
    names = [
        option.removeprefix("--")
        for parameter in command.params
        if parameter.expose_value
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


def _as_default(parameter: click.Parameter, key: str, value: Any, where: str) -> Any:
    """Bring a value into the form that click takes."""
    many = parameter.multiple if isinstance(parameter, click.Option) else parameter.nargs == -1
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    if many and parameter.nargs > 1:
        return [_as_tuple(each, parameter.nargs, where) for each in value]
    if isinstance(value, Mapping) or (isinstance(value, list) and not many):
        kind = "section" if isinstance(value, Mapping) else "list"
        raise FormatError("a single value is needed", where=where, got=f"a {kind}")
    if is_flag:
        if not isinstance(value, bool):
            raise FormatError("true or false is needed", where=where, got=repr(value))
        return value != (_option(key) in parameter.secondary_opts)
    # As text, so that a value means what it would mean on the command line: 2.5 is no integer.
    if many:
        return [str(each) for each in (value if isinstance(value, list) else [value])]
    return str(value)


def _as_tuple(value: Any, length: int, where: str) -> tuple[str, ...]:
    """Bring one of several values that belong together into the form that click takes."""
    if not isinstance(value, list) or len(value) != length:
        raise FormatError(f"lists of {length} values are needed", where=where, got=repr(value))
    return tuple(str(each) for each in value)
