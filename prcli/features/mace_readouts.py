"""The last linear layers of MACE models: what goes into them, and their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The last linear layer of each readout that we know, by the class of the readout.
_LAST_LAYERS = {
    "LinearReadoutBlock": "linear",
    "NonLinearReadoutBlock": "linear_2",
    "NonLinearBiasReadoutBlock": "linear_2",
}


@dataclass(frozen=True, eq=False)
class Readout:
    """A last linear layer, as one head of the model uses it.

    Attributes
    ----------
    name : str
        The layer of the model whose features it reads.
    linear : torch.nn.Module
    columns : (d,) array of int
        Columns of its input that enter the energy: scalars, of this head.
    weights : (d,) array of float64
    bias : float
    """

    name: str
    linear: Any
    columns: np.ndarray
    weights: np.ndarray
    bias: float


def find_readouts(model: Any, head: int) -> list[Readout] | str:
    """Find the last linear layers of a model.

    Parameters
    ----------
    model : mace.modules.MACE
    head : int
        Position of the head among those of the model.

    Returns
    -------
    list of Readout or str
        Or why they cannot be found.
    """
    readouts: list[Readout] = []
    if hasattr(model, "embedding_readout"):
        return "it has a readout of embedded charges or spins"
    for index, block in enumerate(model.readouts):
        attribute = _LAST_LAYERS.get(type(block).__name__)
        if attribute is None:
            return f"readouts of the kind {type(block).__name__} are not known"
        layer = index if len(model.readouts) > 1 else int(model.num_interactions) - 1
        readouts.append(_as_readout(f"layer_{layer + 1}", block, getattr(block, attribute), head))
    return readouts


def _as_readout(name: str, block: Any, linear: Any, head: int) -> Readout:
    """Read the weights of a linear layer by applying it to unit vectors."""
    import torch

    columns = scalar_columns(linear.irreps_in)
    width = len(columns)
    n_heads = getattr(block, "num_heads", 1)
    if n_heads > 1:
        # Hidden features lie side by side, head by head; the others' are set to zero.
        width //= n_heads
        columns = columns[head * width : (head + 1) * width]
    units = torch.eye(irreps_dimension(linear.irreps_in), **_kind_of(linear))
    with torch.no_grad():
        constant = linear(torch.zeros_like(units[:1]))[0, head]
        weights = linear(units)[:, head] - constant
    selected = weights.double().cpu().numpy()[columns]
    return Readout(name, linear, columns, selected, float(constant))


def scalar_columns(irreps: Any) -> np.ndarray:
    """Columns of the invariant features among features of several symmetries."""
    from e3nn import o3

    layout = o3.Irreps(str(irreps))
    parts = [
        np.arange(part.start, part.stop)
        for part, (_, irrep) in zip(layout.slices(), layout, strict=True)
        if irrep.l == 0 and irrep.p == 1
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def irreps_dimension(irreps: Any) -> int:
    """Width of features of several symmetries."""
    from e3nn import o3

    return int(o3.Irreps(str(irreps)).dim)


def _kind_of(module: Any) -> dict[str, Any]:
    """Precision and device of a module's weights."""
    parameter = next(iter(module.parameters()))
    return {"dtype": parameter.dtype, "device": parameter.device}


@contextmanager
def tapped(modules: Sequence[Any], read: Callable[..., Any]) -> Iterator[list[Any]]:
    """Keep what modules read or give while they run within the block.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
    read : callable
        From inputs (a tuple) and output of a module to what is kept.

    Yields
    ------
    list
        One entry per module, None until it has run. Nothing stays in the modules afterwards.
    """
    kept: list[Any] = [None] * len(modules)

    def tap(index: int) -> Callable[[Any, tuple[Any, ...], Any], None]:
        def hook(_: Any, inputs: tuple[Any, ...], output: Any) -> None:
            kept[index] = read(inputs, output)

        return hook

    with ExitStack() as stack:
        for index, module in enumerate(modules):
            stack.callback(module.register_forward_hook(tap(index)).remove)
        yield kept
