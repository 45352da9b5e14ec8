"""What decided the numbers of a Hessian, in words: for provenance and for people."""

from __future__ import annotations

from collections.abc import Mapping

from prcli.data.hessian_record import ROW_KINDS, HessianRecord
from prcli.workflows.prior import describe_prior


def number_settings(record: HessianRecord) -> dict[str, object]:
    """Name everything beside the rows that decides rigidities.

    Parameters
    ----------
    record : HessianRecord

    Returns
    -------
    settings : dict
        Texts and numbers.
    """
    return {
        "energy": record.energy,
        "intercept": record.intercept.kind,
        "scale_rule": record.scale_rule,
        "scale": record.scale,
        "regularizer": record.regularizer,
        "energy_weight": record.energy_weight,
        "force_weight": record.force_weight,
        "stress_weight": record.stress_weight,
        "reduction": record.reduction,
        "prior": describe_prior(record.prior),
        "loss": loss_text(record),
        "weights": ", ".join(record.weights) or "none",
        **featurizer_setting(record.featurizer),
    }


def featurizer_setting(settings: Mapping[str, object] | None) -> dict[str, object]:
    """Name what computed the features, where that is known."""
    return {} if settings is None else {"featurizer": settings}


def loss_text(record: HessianRecord) -> str:
    """Say which loss the rows carry inside, with its widths and units."""
    units = {
        "energy": "eV/atom" if record.energy == "per-atom" else "eV",
        "force": "eV/Å",
        "stress": "eV/Å³",
    }
    parts: list[str] = [record.loss.name]
    for kind in ROW_KINDS:
        delta = getattr(record.loss, f"{kind}_delta")
        if delta is not None:
            parts.append(f"{kind}_delta {delta:g} {units[kind]}")
    if record.n_rows.get("stress"):
        parts.append(f"{record.loss.stress_components} components of the stress")
    return ", ".join(parts)
