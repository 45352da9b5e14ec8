"""Which featurizer a command uses: as an option says it, and as features at hand tell."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prcli.data.alike import block_text
from prcli.data.feature_table import FeatureTable
from prcli.data.featurizer_settings import (
    NAME,
    check_same_settings,
    named_settings,
    other_versions,
)
from prcli.data.hessian_record import HessianRecord
from prcli.errors import FormatError, MismatchError
from prcli.features.featurizer import Featurizer
from prcli.records import Block
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.compute_setup import read_settings
from prcli.workflows.input_options import InputOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class KnownColumns:
    """What is known of features that computed ones shall go with.

    Attributes
    ----------
    label : str
        What they belong to, for messages.
    n_features : int
        D.
    blocks : tuple of Block, or None
    settings : mapping, or None
        Of the featurizer; None if they are not known.
    """

    label: str
    n_features: int
    blocks: tuple[Block, ...] | None
    settings: Mapping[str, object] | None

    def check(self, featurizer: Featurizer) -> None:
        """Refuse a featurizer that gives other columns.

        Raises
        ------
        MismatchError
        """
        settings = named_settings(featurizer.name, featurizer.settings)
        check_same_settings(self.settings, settings, f"{self.label}, and --featurizer")
        for versions in other_versions(self.settings or {}, settings):
            logger.warning("%s and --featurizer differ in version: %s", self.label, versions)
        here = (self.n_features, self.blocks)
        there = (featurizer.n_features, featurizer.blocks)
        if here != there:
            raise MismatchError(
                "--featurizer gives other columns than there are",
                where=self.label,
                expected=_columns_text(*here),
                got=_columns_text(*there),
                remedy="use the settings and --species that these were computed with",
            )


def _columns_text(n_features: int, blocks: tuple[Block, ...] | None) -> str:
    return f"{n_features} features, {block_text(blocks)}"


def known_columns(
    records: Sequence[HessianRecord], tables: Sequence[FeatureTable]
) -> list[KnownColumns]:
    """Say what is known of the features of Hessians and tables."""
    known = [
        KnownColumns("the Hessian", record.n_features, record.blocks, record.featurizer)
        for record in records
    ]
    return known + [
        KnownColumns(table.label, table.n_features, table.blocks, table.featurizer)
        for table in tables
    ]


def chosen_featurizer(options: InputOptions, known: KnownColumns | None = None) -> ComputeRequest:
    """Say what to compute, for any structures.

    What an option leaves open is as in features that are known: elements, division of columns,
    and hyperparameters where the option is but a name.

    Parameters
    ----------
    options : InputOptions
        With a featurizer.
    known : KnownColumns, optional
        Of which the settings are known.

    Returns
    -------
    request : ComputeRequest
        With neither structures nor output. Where settings are in a file, `hypers` names it.

    Raises
    ------
    FormatError
        If a file or mapping of settings does not name the featurizer.
    """
    name, hypers = _name_and_hypers(options.featurizer)
    stored: Mapping[str, Any] = {}
    if known is not None and known.settings is not None and known.settings[NAME] == name:
        stored = known.settings
    if hypers is None:
        hypers = stored.get("hypers")
    species = options.species
    if species is None and "species" in stored:
        species = tuple(stored["species"])
    per_species = options.per_species
    if per_species is None:
        per_species = stored.get("per_species")
    distinct = options.distinct
    if distinct is None:
        distinct = bool(stored.get("distinct", False))
    return ComputeRequest(
        name,
        "",
        "",
        hypers=hypers,
        species=species,
        per_species=per_species,
        distinct=distinct,
        gradients=options.gradients,
        with_checkpoint=False,
        overwrite=options.overwrite,
    )


def _name_and_hypers(
    featurizer: str | Path | Mapping[str, Any] | None,
) -> tuple[str, str | Mapping[str, Any] | None]:
    """Tell the name from settings, which a file or mapping holds."""
    assert featurizer is not None
    hypers: str | Mapping[str, Any]
    if isinstance(featurizer, Mapping):
        name = featurizer.get(NAME)
        where, hypers = "featurizer", {k: v for k, v in featurizer.items() if k != NAME}
    elif os.fspath(featurizer).endswith(".toml"):
        where = os.fspath(featurizer)
        name, _ = read_settings(where)
        hypers = where
    else:
        return os.fspath(featurizer), None
    if not isinstance(name, str):
        raise FormatError(
            "the settings do not say of which featurizer they are",
            where=where,
            expected=f'{NAME} = "soap", or another name, above all tables',
        )
    return name, hypers
