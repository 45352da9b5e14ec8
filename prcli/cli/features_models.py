"""``prcli features compute mace|metatomic``: structures and a trained model → feature store."""

from __future__ import annotations

from typing import Any

import click

from prcli.cli.features_compute import RUN_OPTIONS, output_opt, run_compute, structures_arg
from prcli.cli.options import compose

_HELP = """Describe the atoms of STRUCTURES by what a trained model makes of them.

MODEL is {model}. Loading it can run code: use files that you trust.

Last-layer features are what the last layer of the model multiplies by its weights, so that the
Hessian of its loss can be had; {last_layer}. That they and the weights give the energies of the
model is checked before any long work. Descriptors are {descriptors}.

\b
Examples:
  prcli features compute {name} {file} train.xyz -o train.h5
  prcli features compute {name} {file} pool.xyz -o pool.h5 --no-atoms --device cuda
"""

#: What the help says of each featurizer that runs a model.
MODEL_FEATURIZERS = {
    "mace": {
        "short": "Describe atoms by the last layer or the layers of a MACE model.",
        "model": "the file NAME.model that MACE wrote at the end of a training",
        "file": "run.model",
        "last_layer": "of MACE, the scalar inputs of all its readouts",
        "descriptors": "the invariant features of its layers",
    },
    "metatomic": {
        "short": "Describe atoms by a metatomic model, such as PET of metatrain.",
        "model": "a file exported for metatomic, as mtt export or upet write it",
        "file": "model.pt",
        "last_layer": "of metatrain's models, their output of that name, and a column for each "
        "bias that is not multiplied by a constant (in PET, by the sum of the cutoff function)",
        "descriptors": "its output 'feature'",
    },
}

_MODEL_OPTIONS = (
    click.option(
        "--feature-kind",
        type=click.Choice(["last-layer", "descriptor"]),
        help="What to take; by default last-layer features where the model has them.",
    ),
    click.option(
        "--head",
        metavar="NAME",
        help="Which of several heads (MACE) or outputs that are energies (metatomic).",
    ),
    click.option(
        "--device",
        metavar="cpu|cuda|cuda:N",
        default="cpu",
        show_default=True,
        help="Where PyTorch runs the model.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "float64"]),
        help="Precision that the model is run in; by default its own.",
    ),
)

_EXTENSIONS = click.option(
    "--extensions",
    metavar="FOLDER",
    help="Compiled operations that the model needs, as mtt export puts them beside it.",
)


def make_model_command(name: str) -> click.Command:
    """Make the command of a featurizer that runs a model."""
    options = [*_MODEL_OPTIONS, *([_EXTENSIONS] if name == "metatomic" else [])]

    @click.command(
        name,
        help=_HELP.format(name=name, **MODEL_FEATURIZERS[name]),
        short_help=MODEL_FEATURIZERS[name]["short"],
    )
    @click.argument("model", metavar="MODEL")
    @compose(structures_arg, output_opt, *options, *RUN_OPTIONS)
    def command(
        model: str,
        feature_kind: str | None,
        head: str | None,
        device: str,
        precision: str | None,
        extensions: str | None = None,
        **choices: Any,
    ) -> None:
        asked = {
            "model": model,
            "feature_kind": feature_kind,
            "head": head,
            "device": device,
            "precision": precision,
            "extensions": extensions,
        }
        hypers = {key: value for key, value in asked.items() if value is not None}
        run_compute(name, hypers=hypers, **choices)

    return command
