"""``prcli embed``: small structures around single atoms of a large one."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from prcli.cli.console import emit_bytes, emit_table, session, summarize
from prcli.cli.options import (
    common_options,
    compose,
    distinct_opt,
    featurizer_opt,
    format_opt,
    gradients_opt,
    overwrite_opt,
    per_species_opt,
    regularizer_opt,
    scale_opt,
    species_opt,
    weight_options,
)
from prcli.wording import counted

if TYPE_CHECKING:
    from prcli.workflows.embedding import Embedding


def _split_names(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Split names at commas."""
    return None if value is None else tuple(filter(None, value.replace(" ", "").split(",")))


def _three_numbers(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int, int] | None:
    """Read three integers."""
    if value is None:
        return None
    words = value.replace("x", ",").split(",")
    try:
        first, second, third = map(int, words)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not like 3,3,4.") from error
    return first, second, third


_atom_options = compose(
    click.option(
        "--atom", "atoms", type=int, multiple=True, metavar="I", help="Atom, from 0; repeatable."
    ),
    click.option(
        "--lowest",
        type=int,
        metavar="K",
        help="The K atoms of lowest LPR that are not neighbours of one another.  [default: 1]",
    ),
    click.option(
        "--separation",
        type=float,
        metavar="A",
        help="How far these are apart at least; default the cutoff.",
    ),
    click.option(
        "--lpr",
        type=click.Path(dir_okay=False),
        metavar="TABLE",
        help="Table of `prcli score --per atom` (tsv) with the LPR of the atoms.",
    ),
    click.option(
        "--lpr-key", metavar="KEY", help="Column of STRUCTURE that has it; default prcli_lpr."
    ),
    click.option(
        "--hessian", metavar="FILE", help="Compute the LPR, and gains, with --featurizer."
    ),
)
_geometry_options = compose(
    click.option(
        "--strategy",
        "strategies",
        callback=_split_names,
        metavar="LIST",
        help="Of carve, periodic and high-symmetry; default all, the last with --crystal only.",
    ),
    click.option(
        "--crystal",
        metavar="[FILE|NAME]",
        help="Crystal to embed in: a structure file, an element such as C, or a name as ASE knows "
        "it, such as NaCl:rocksalt:5.64.",
    ),
    click.option(
        "--repeat",
        callback=_three_numbers,
        metavar="N,N,N",
        help="Repetitions of its cell; default the smallest supercell that suffices.",
    ),
    click.option(
        "--cutoff",
        type=float,
        metavar="A",
        help="Radius of an environment, at least what the model sees; default that of the "
        "featurizer.",
    ),
    click.option(
        "--buffer",
        type=float,
        default=0.0,
        show_default=True,
        metavar="A",
        help="Width of what is taken beyond it, and displaced.",
    ),
    click.option(
        "--contact",
        type=float,
        default=1.0,
        show_default=True,
        metavar="A",
        help="Least distance of atoms that are displaced.",
    ),
    click.option(
        "--sigma",
        type=float,
        default=0.2,
        show_default=True,
        metavar="A",
        help="Standard deviation of displacements.",
    ),
    click.option(
        "-n",
        "--n-draws",
        type=int,
        default=1,
        show_default=True,
        help="Random displacements of each structure.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of all draws."),
    click.option(
        "--max-tries",
        type=int,
        default=1000,
        show_default=True,
        help="Tries to keep the atoms of a draw apart.",
    ),
    click.option(
        "--max-atoms",
        type=int,
        default=2000,
        show_default=True,
        help="Atoms that a supercell of the crystal may have.",
    ),
)
_choice_options = compose(
    click.option(
        "--choose",
        "n_to_choose",
        type=int,
        metavar="N",
        help="Keep at most N of all structures, chosen greedily by their gains together.",
    ),
    click.option(
        "--stop-gain",
        type=float,
        metavar="SHARE",
        help="Stop before one that gains less than this share of the first.",
    ),
    click.option("--stop-pr", type=float, metavar="X", help="Stop once the lowest LPR is above X."),
)


@click.command()
@click.argument("structure", metavar="STRUCTURE")
@_atom_options
@_geometry_options
@_choice_options
@click.option(
    "--keep",
    multiple=True,
    metavar="KEY",
    help="Key of the comment line or column that small structures inherit, too; repeatable.",
)
@click.option("-o", "--output", metavar="FILE", help="extxyz file to write; default stdout.")
@click.option(
    "--table",
    metavar="FILE",
    help="File of the table; default stdout, or stderr where structures go to stdout.",
)
@scale_opt
@regularizer_opt
@weight_options
@featurizer_opt
@gradients_opt
@species_opt
@per_species_opt
@distinct_opt
@format_opt
@overwrite_opt
@common_options
def embed(
    output: str | None,
    table: str | None,
    table_format: str | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    threads: int | None,
    **choices: Any,
) -> None:
    """Make small structures that hold the least rigid environment of a large one.

    STRUCTURE is a structure file of one frame, or with a slice that leaves one. The atom is the
    one of lowest LPR (by --lpr, by a column prcli_lpr, or computed with --hessian and
    --featurizer) or --atom. Around it, atoms within the cutoff stay as they are; they become

    \b
      carve          a cluster of their own;
      periodic       a periodic cube, with the atoms in its corners displaced at random;
      high-symmetry  part of a supercell of --crystal, with atoms between displaced. The
                     crystal is written as well: add both.

    With --hessian and --featurizer structures are ranked by `gain`, LPR after over LPR before,
    minus 1, and the features of the atom are compared with those in STRUCTURE. Frames say where
    they are from (prcli_source, prcli_atom, prcli_strategy, ...), and which atoms are fixed
    (prcli_fixed, prcli_role). Energies, stresses and forces of STRUCTURE are not true of small
    structures and left out.

    \b
    Examples:
      prcli embed large.xyz --atom 17 --cutoff 4 -n 5 > small.xyz
      prcli score train.hessian large.h5 --per atom > lpr.tsv
      prcli embed large.xyz --lpr lpr.tsv --lowest 3 --cutoff 4 --crystal C -o small.xyz
      prcli embed large.xyz --hessian train.hessian --featurizer soap --crystal diamond.xyz \\
        -n 10 --choose 5 -o small.xyz > gains.tsv
    """
    from prcli.workflows.embed_frames import embedded_frames
    from prcli.workflows.embed_output import embedding_columns, embedding_table
    from prcli.workflows.embed_run import EmbedOutput, run_embedding

    output = None if output == "-" else output
    file_format: Any = "tsv" if table_format in (None, "table") else table_format
    with session(quiet=quiet, verbose=verbose, threads=threads) as progress:
        embedding = run_embedding(
            embed_request(choices), EmbedOutput(output, table, file_format, overwrite), progress
        )
        columns, content = embedding_columns(embedding), embedding_table(embedding)
        if output is None:
            emit_bytes(embedded_frames(embedding))
            if table is None and not quiet:
                from prcli.data.tables import write_table

                write_table(sys.stderr, file_format, columns, [content])
        elif table is None:
            emit_table(table_format, columns, [content])
        if not quiet and (output is not None or table is not None):
            # Not below a table on stderr, which somebody may keep.
            summarize(_summary(embedding, output))


def _summary(embedding: Embedding, output: str | None) -> str:
    """Say what was made, and what the best of it gains."""
    place = "" if output is None else f"{output}: "
    made = counted(len(embedding.small), "structure")
    centres = counted(len(embedding.centres), "atom")
    gains = [small.gain for small in embedding.small if small.gain is not None]
    best = f", which gain up to {max(gains):.3g} of the LPR" if gains else ""
    return f"{place}{made} for {centres} of {len(embedding.structure.atoms)}{best}"


def embed_request(choices: dict[str, Any]) -> Any:
    """Build the request from the values of the options."""
    from prcli.cli.requests import hessian_options, input_choices
    from prcli.workflows.embed_request import ChoiceOptions, EmbedRequest

    ours = ("hessian_options", "inputs", "choice")
    names = [field.name for field in fields(EmbedRequest) if field.name not in ours]
    return EmbedRequest(
        **{name: choices[name] for name in names},
        hessian_options=hessian_options(choices),
        inputs=input_choices(choices),
        choice=ChoiceOptions(**{f.name: choices[f.name] for f in fields(ChoiceOptions)}),
    )
