"""What is refused of a selection before any long work."""

from __future__ import annotations

from prcli.data.dataset import Dataset
from prcli.errors import RequestError
from prcli.numerics.objectives import OBJECTIVES
from prcli.workflows.select_options import SelectOptions
from prcli.workflows.targets import check_targets


def check_request(pool: Dataset, target: Dataset | None, options: SelectOptions) -> None:
    """Refuse what cannot be selected, before any long work.

    Raises
    ------
    RequestError
        If targets are needed and missing, or the pool holds too few candidates.
    FeatureError
        If targets are atoms and have no features, or components without named blocks.
    """
    needs_targets = OBJECTIVES[options.objective].needs_targets and options.strategy == "pr"
    if target is None and needs_targets:
        raise RequestError(
            f"the objective {options.objective} needs targets",
            where="--target",
            remedy="give --target, or use --objective log-det",
        )
    if target is not None:
        check_targets(target, options.target_per)
    check_enough(pool, pool.n_structures, options)


def check_enough(pool: Dataset, n_allowed: int, options: SelectOptions) -> None:
    """Refuse to pick more structures than may be picked.

    Raises
    ------
    RequestError
    """
    if (options.n_to_select or 1) > n_allowed:
        raise RequestError(
            "there are fewer candidates than structures to select",
            where=pool.label,
            expected=f"at least {options.n_to_select or 1} candidates",
            got=f"{n_allowed} candidates of {pool.n_structures} in the pool",
            remedy="ask for fewer, enlarge the pool, or loosen the filter",
        )
