"""What rows carry inside, so that only the data could change it: robust factors and shears."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from prcli.data.hessian_record import ROW_KINDS, HessianRecord
from prcli.errors import MismatchError, RequestError
from prcli.records import Loss, RowKind
from prcli.workflows.loss_options import LossOptions

#: Options that say how rows are weighed as they are read.
WEIGHT_KEYS = ("weight_key", "energy_weight_key", "force_weight_key", "stress_weight_key")


def loss_for_data(given: LossOptions | None, records: Sequence[HessianRecord]) -> LossOptions:
    """Loss of the rows that are to be read: what the options say, else the files, else squared."""
    if given is not None or not records:
        return given or LossOptions()
    loss = common_loss(records)
    return LossOptions(
        loss=loss.name,
        energy_delta=loss.energy_delta,
        force_delta=loss.force_delta,
        stress_delta=loss.stress_delta,
        stress_components=loss.stress_components,
    )


def relevant_loss(loss: Loss, kinds: Collection[RowKind]) -> Loss:
    """Forget what a loss says about kinds of row that there are not."""
    return Loss(
        name=loss.name,
        energy_delta=loss.energy_delta if "energy" in kinds else None,
        force_delta=loss.force_delta if "force" in kinds else None,
        stress_delta=loss.stress_delta if "stress" in kinds else None,
        stress_components=loss.stress_components if "stress" in kinds else 6,
    )


def common_loss(records: Sequence[HessianRecord]) -> Loss:
    """Loss of the sum of several Hessians; each knows only of the kinds of row that it has.

    Raises
    ------
    MismatchError
        If two differ in what rows of the same kind carry inside.
    """
    merged = records[0].loss
    settled: dict[str, object] = {}
    for record in records:
        for name, value in _stated(record):
            if settled.setdefault(name, value) != value:
                raise MismatchError(
                    f"Hessian files differ in {name}",
                    expected=str(settled[name]),
                    got=str(value),
                    remedy="build them again with the same loss; an option cannot change what is "
                    "inside their rows",
                )
    fields = {name: value for name, value in settled.items() if name != "loss"}
    return replace(merged, **fields)  # type: ignore[arg-type]


def loss_choices(
    record: HessianRecord, given: LossOptions | None
) -> Iterator[tuple[str, object, object]]:
    """Give what options and a finished Hessian say about the loss: option, given, stored."""
    if given is not None:
        for name, stored in _stated(record):
            yield name.replace("_", "-"), getattr(given, name), stored


def refuse_keys(given: LossOptions | None) -> None:
    """Refuse to weigh the rows of finished Hessians anew.

    Raises
    ------
    RequestError
    """
    named = [name for name in WEIGHT_KEYS if given is not None and getattr(given, name) is not None]
    if named:
        raise RequestError(
            "rows of a finished Hessian cannot be weighed anew",
            where=", ".join("--" + name.replace("_", "-") for name in named),
            expected="feature sets",
            got="Hessian files only",
            remedy="leave the option out, or build the Hessian again",
        )


def _stated(record: HessianRecord) -> Iterator[tuple[str, object]]:
    """Name what the rows of a Hessian carry inside, as options call it."""
    yield "loss", record.loss.name
    for kind in ROW_KINDS:
        if record.n_rows.get(kind):
            yield f"{kind}_delta", getattr(record.loss, f"{kind}_delta")
    if record.n_rows.get("stress"):
        yield "stress_components", record.loss.stress_components
