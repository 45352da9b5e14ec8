"""From the values of shared options to the records that workflows take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions


def hessian_options(choices: Mapping[str, Any]) -> HessianOptions:
    """Pick the options that decide the numbers."""
    names = ("energy", "intercept", "scale", "regularizer", "allow_duplicates")
    return HessianOptions(**{name: choices[name] for name in names if name in choices})


def input_choices(choices: Mapping[str, Any]) -> InputOptions:
    """Pick the options that say how inputs are read."""
    names = ("feature_key", "convention", "verify", "skip_invalid")
    return InputOptions(**{name: choices[name] for name in names})
