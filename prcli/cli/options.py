"""Options that several commands share: defined once, so that a word means one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prcli.cli.config import load_config

if TYPE_CHECKING:
    from prcli.data.shards import Shard

F = TypeVar("F", bound=Callable[..., Any])


class NumberOrWord(click.ParamType[str | float]):
    """A number, or one of some words."""

    name = "number"

    def __init__(self, *words: str) -> None:
        self.words = words

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the words."""
        return "[" + "|".join([*self.words, "NUMBER"]) + "]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | float:
        """Take a word as it is, anything else as a number."""
        if value in self.words:
            return str(value)
        try:
            return float(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is neither a number nor one of {', '.join(self.words)}.")


class ShardText(click.ParamType["Shard"]):
    """A share of a set, such as 3/8."""

    name = "i/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shard:
        """Read two numbers."""
        from prcli.data.shards import Shard, parse_shard
        from prcli.errors import RequestError

        if isinstance(value, Shard):
            return value
        try:
            return parse_shard(str(value))
        except RequestError:
            self.fail(f"{value!r} is not I/N, from 1/N to N/N.")


def compose(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Apply several option decorators, the first one on top."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def refuse_stdout(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Refuse ``-`` for an output that cannot be a stream, rather than make a file of that name."""
    if value == "-":
        raise click.BadParameter("an HDF5 file cannot go to standard output; name a file.")
    return value


def split_species(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Split symbols at commas and spaces."""
    return None if value is None else tuple(value.replace(",", " ").split())


config_opt = click.option(
    "--config",
    type=click.Path(dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=load_config,
    help="TOML file with a section per command; the command line wins.",
)
quiet_opt = click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
verbose_opt = click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
threads_opt = click.option(
    "--threads",
    type=int,
    help="Threads to use; default OMP_NUM_THREADS, else SLURM_CPUS_PER_TASK, else all "
    "processors that this process may use, divided by the ranks that share them.",
)
overwrite_opt = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
provenance_opt = click.option(
    "--provenance/--no-provenance",
    "with_provenance",
    default=True,
    help="Record version, command, time and inputs in the output.  [default: provenance]",
)
format_opt = click.option(
    "--format",
    "table_format",
    type=click.Choice(["table", "tsv", "csv", "jsonl"]),
    help="Format of the table on stdout; default table on a terminal, tsv in a pipe.",
)
common_options: Callable[[Any], Any] = compose(config_opt, quiet_opt, verbose_opt, threads_opt)

target_options: Callable[[Any], Any] = compose(
    click.option(
        "--target-per",
        type=click.Choice(["structure", "atom", "component"]),
        default="structure",
        show_default=True,
        help="What a target is; a component is what a named block of features contributes to a "
        "structure.",
    ),
    click.option(
        "--target-weight", metavar="COLUMN", help="Column or key with weights of targets."
    ),
)

shard_opt = click.option(
    "--shard",
    type=ShardText(),
    metavar="I/N",
    help="Only the I-th of N shares of the structures, I from 1: for the tasks of a job array.",
)

feature_key_opt = click.option(
    "--feature-key",
    metavar="KEY",
    help="In extxyz inputs: the per-atom column, or comment-line vector, that holds the features.",
)
convention_opt = click.option(
    "--convention",
    type=click.Choice(["mean", "sum", "per-atom"]),
    help="What a row of the features is; never guessed.",
)
column_opt = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="[NAME=]KEY",
    help="Store a key of the comment line as a column, to filter or weigh by; repeatable. "
    "energy=REF_energy renames. Volume and density are stored anyway.",
)
verify_opt = click.option(
    "--verify", is_flag=True, help="Hash stores again and compare with the digests they carry."
)
skip_invalid_opt = click.option(
    "--skip-invalid", is_flag=True, help="Leave structures with NaN or inf out, and list them."
)
featurizer_opt = click.option(
    "--featurizer",
    metavar="[soap|NAME|FILE.toml]",
    help="Compute the features of structure files, which then need none: soap with its default "
    "settings or those of the Hessian, another name that `prcli features compute --help` lists, "
    'or a file as for its --hypers with featurizer = "soap" above all tables '
    "(configs/soap.toml).",
)
gradients_opt = click.option(
    "--gradients",
    type=click.Choice(["force", "stress", "both"]),
    help="With --featurizer: compute the rows of forces, stresses or both as well, for sets that "
    "need any: training sets and pools, but not the targets of a selection.",
)
species_opt = click.option(
    "--species",
    metavar="C,H,...",
    callback=split_species,
    help="With --featurizer: elements that columns are made for; default those of the Hessian, "
    "else those that occur in any set of the command.",
)
per_species_opt = click.option(
    "--per-species/--no-per-species",
    default=None,
    help="With --featurizer: whether atoms of different elements fill different columns; by "
    "default as in the Hessian, else where there are several elements.",
)
distinct_opt = click.option(
    "--distinct/--no-distinct",
    default=None,
    help="With --featurizer: keep one of each two columns that are equal by symmetry, times the "
    "root of 2: fewer columns, the same rigidities. By default as in the Hessian, else no.",
)
keep_features_opt = click.option(
    "--keep-features",
    metavar="DIR",
    help="With --featurizer: keep what is computed as feature stores in DIR, named after the "
    "structure files.",
)
input_options: Callable[[Any], Any] = compose(
    feature_key_opt,
    convention_opt,
    verify_opt,
    skip_invalid_opt,
    featurizer_opt,
    gradients_opt,
    species_opt,
    per_species_opt,
    distinct_opt,
    keep_features_opt,
)

energy_opt = click.option(
    "--energy",
    type=click.Choice(["per-atom", "total"]),
    help="Rows of energies: per atom (default) or total.",
)
intercept_opt = click.option(
    "--intercept",
    type=click.Choice(["none", "atom", "species"]),
    help="Constant columns beside the features: none (default), one for every atom, or one "
    "per element.",
)
scale_opt = click.option(
    "--scale",
    type=NumberOrWord("atom-rms", "structure-rms", "none"),
    help="What all features are divided by; default atom-rms where the training set has "
    "features of atoms, else structure-rms.",
)
regularizer_opt = click.option(
    "--regularizer",
    type=NumberOrWord("auto"),
    help="The number added to the diagonal of the Hessian of the scaled features; default "
    "1e-5. auto: the smallest that keeps the factor well conditioned.",
)
duplicates_opt = click.option(
    "--allow-duplicates", is_flag=True, help="Accept training structures that occur twice."
)

energy_weight_opt = click.option(
    "--energy-weight", type=float, metavar="X", help="Weight of energies in the loss; default 1."
)
force_weight_opt = click.option(
    "--force-weight",
    type=float,
    metavar="X",
    help="Weight of forces in the loss; default 1 where the training set has any.",
)
stress_weight_opt = click.option(
    "--stress-weight",
    type=float,
    metavar="X",
    help="Weight of stresses in the loss; default 1 where the training set has any.",
)
reduction_opt = click.option(
    "--reduction",
    type=click.Choice(["sum", "mean"]),
    help="Whether energies, forces and stresses enter by their sum (default), or each by its "
    "mean as in MACE and metatrain.",
)
prior_opt = click.option(
    "--prior",
    metavar="[identity|FILE]",
    help="Prior of the scaled features: identity (default), or an npy, npz or HDF5 file with "
    "its diagonal or matrix. For a kernel matrix give --scale none.",
)
weight_options: Callable[[Any], Any] = compose(
    energy_weight_opt, force_weight_opt, stress_weight_opt, reduction_opt, prior_opt
)
number_options: Callable[[Any], Any] = compose(
    energy_opt, intercept_opt, scale_opt, regularizer_opt, weight_options, duplicates_opt
)
