"""From the values of shared options to the records that workflows take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from prcli.workflows.hessian_options import HessianOptions
from prcli.workflows.inputs import InputOptions
from prcli.workflows.loss_options import LossOptions


def hessian_options(choices: Mapping[str, Any]) -> HessianOptions:
    """Pick the options that decide the numbers."""
    names = [field.name for field in fields(HessianOptions) if field.name != "loss"]
    given = {name: choices[name] for name in names if name in choices}
    # Commands that read no training set may call other things so.
    return HessianOptions(**given, loss=loss_choices(choices) if "loss" in choices else None)


def loss_choices(choices: Mapping[str, Any]) -> LossOptions | None:
    """Pick the options that say what is inside rows; None if there are none of them."""
    names = [field.name for field in fields(LossOptions)]
    given = {name: choices[name] for name in names if choices.get(name) is not None}
    if "stress_components" in given:
        given["stress_components"] = int(given["stress_components"])
    return LossOptions(**given) if given else None


def input_choices(choices: Mapping[str, Any]) -> InputOptions:
    """Pick the options that say how inputs are read."""
    names = [field.name for field in fields(InputOptions)]
    # Not every command replaces outputs, or records where they are from.
    return InputOptions(**{name: choices[name] for name in names if name in choices})
