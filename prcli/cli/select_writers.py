"""``prcli select --write``: files for the programs that train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.options import compose

if TYPE_CHECKING:
    from prcli.workflows.write_options import WriteOptions

#: Options of the writers, for a command that selects.
writer_options: Callable[[Any], Any] = compose(
    click.option(
        "--write",
        "formats",
        multiple=True,
        type=click.Choice(["mace", "metatrain", "indices"]),
        help="With -o DIR: also write the picks as MACE reads them (mace_replay.xyz or "
        "mace_train.xyz, mace.yaml), as metatrain does (metatrain_indices_0.txt, metatrain.yaml), "
        "or as file and frame (indices.tsv); repeatable.",
    ),
    click.option(
        "--mace-role",
        type=click.Choice(["replay", "finetune"]),
        default="replay",
        show_default=True,
        help="What the picks are to MACE: its pt_train_file, or its train_file.",
    ),
    click.option(
        "--mace-keys",
        metavar="LIST",
        help="Names of references in that file, added where a frame lacks them, with the values "
        "of --reference, --force-reference and --stress-reference; default "
        "energy=REF_energy,forces=REF_forces,stress=REF_stress.",
    ),
    click.option(
        "--mace-weight",
        type=float,
        metavar="X",
        help="config_weight of every pick in that file; by default it stays as it is.",
    ),
    click.option(
        "--mace-head",
        metavar="NAME",
        help="head of every pick in that file; by default it stays as it is. MACE itself names "
        "the head by the file.",
    ),
)

_OF_MACE = ("mace_keys", "mace_weight", "mace_head")


def writer_choices(choices: Mapping[str, Any], output: str | None) -> WriteOptions | None:
    """Build the options of the writers; None if nothing is to be written."""
    formats = tuple(dict.fromkeys(choices["formats"]))
    given = [name for name in _OF_MACE if choices[name] is not None]
    if choices["mace_role"] != "replay":
        given.append("mace_role")
    if given and "mace" not in formats:
        option = "--" + given[0].replace("_", "-")
        raise click.UsageError(f"{option} means nothing without --write mace.")
    if not formats:
        return None
    if output is None or output == "-":
        raise click.UsageError("--write puts files into a result directory: give -o DIR.")
    from prcli.workflows.write_options import WriteOptions

    names = {"reference": "energy", "force_reference": "forces", "stress_reference": "stress"}
    references = {new: choices[old] for old, new in names.items() if choices[old] is not None}
    options = {name: choices[name] for name in given if name != "mace_keys"}
    if choices["mace_keys"] is not None:
        options["mace_keys"] = _pairs(choices["mace_keys"])
    return WriteOptions(formats, **options, **references)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Take energy=NAME,forces=NAME apart."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and key.strip() for name, _, key in pairs):
        raise click.BadParameter(
            f"{text!r} is no list such as energy=REF_energy,forces=REF_forces.",
            param_hint="--mace-keys",
        )
    return tuple((name.strip(), key.strip()) for name, _, key in pairs)
