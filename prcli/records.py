"""Small immutable records that pass between the floors of the house."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

Convention: TypeAlias = Literal["mean", "sum"]
EnergyKind: TypeAlias = Literal["per-atom", "total"]
InterceptKind: TypeAlias = Literal["none", "atom", "species"]
ScaleRule: TypeAlias = Literal["atom-rms", "structure-rms", "none"]
Reduction: TypeAlias = Literal["sum", "mean"]
RowKind: TypeAlias = Literal["energy", "force", "stress"]
#: Inputs of a model's last linear layer, or anything else that describes atoms.
FeatureKind: TypeAlias = Literal["last-layer", "descriptor"]
LossName: TypeAlias = Literal["squared", "huber", "log-cosh", "mace-universal"]
#: How numbers are held in memory; "none": they are read or computed anew whenever needed.
Precision: TypeAlias = Literal["float64", "float32", "none"]

#: Called with (done, total) in the unit that the caller announced; total may be unknown.
Progress: TypeAlias = Callable[[str, int, int | None], None]


def no_progress(task: str, done: int, total: int | None) -> None:
    """Say nothing about progress."""


Value = TypeVar("Value")


class Communicator(Protocol):
    """What ties the ranks of a parallel run together: processes that do the same on other data.

    All ranks call `gather_all` and `broadcast` in the same order. Each of the methods raises what
    another rank has raised, so that no rank waits for one that is gone.
    """

    @property
    def rank(self) -> int:
        """Number of this rank, from 0; rank 0 writes the output."""
        ...

    @property
    def size(self) -> int:
        """Number of ranks."""
        ...

    def gather_all(self, value: Value) -> list[Value]:
        """Give every rank the values of all, in the order of the ranks."""
        ...

    def broadcast(self, value: Value) -> Value:
        """Give every rank the value of rank 0; those of the others are dropped."""
        ...

    def send(self, value: object, to: int) -> None:
        """Send a value to one rank; returns once the one before is on its way."""
        ...

    def receive(self, source: int | None = None) -> Any:
        """Wait for the next value from a rank, or from any."""
        ...

    def has_message(self) -> bool:
        """Whether `receive` would not have to wait."""
        ...

    def check(self) -> None:
        """Raise what another rank has raised; to be called now and then in long work."""
        ...


@dataclass(frozen=True)
class SerialCommunicator:
    """The only rank of a run of one process."""

    rank: int = 0
    size: int = 1

    def gather_all(self, value: Value) -> list[Value]:
        """Give the value in a list."""
        return [value]

    def broadcast(self, value: Value) -> Value:
        """Give the value back."""
        return value

    def send(self, value: object, to: int) -> None:
        """Refuse: there is nobody else."""
        raise ValueError(f"there is no rank {to}")

    def receive(self, source: int | None = None) -> Any:
        """Refuse: nobody sends."""
        raise ValueError("there is no other rank")

    def has_message(self) -> bool:
        """Give false: nobody sends."""
        return False

    def check(self) -> None:
        """Raise nothing."""


#: What work is given that knows nothing of ranks.
ALONE = SerialCommunicator()


@dataclass(frozen=True)
class Block:
    """A named run of feature columns, one component of the model."""

    name: str
    width: int


@dataclass(frozen=True)
class FileStamp:
    """What identifies an input file.

    Attributes
    ----------
    path : str
        Absolute path.
    size : int
        Bytes.
    mtime_ns : int
        Time of last modification, nanoseconds since the epoch.
    digest : str
        ``algorithm:hexdigest`` of the content.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class Intercept:
    """Constant columns beside the features.

    Attributes
    ----------
    kind : {"none", "atom", "species"}
        No column, one column for every atom, or one column per element.
    species : tuple of int
        Atomic numbers in column order; empty unless `kind` is "species".
    """

    kind: InterceptKind = "none"
    species: tuple[int, ...] = ()

    @property
    def n_columns(self) -> int:
        """Number of columns that follow the features."""
        return {"none": 0, "atom": 1, "species": len(self.species)}[self.kind]


@dataclass(frozen=True)
class Loss:
    """The loss that a model was trained with, as its factors are inside the rows of a Hessian.

    What is inside cannot be changed afterwards without the data; the weights of the kinds can,
    and are kept elsewhere.

    Attributes
    ----------
    name : {"squared", "huber", "log-cosh", "mace-universal"}
        "mace-universal" is Huber's, with a width that falls where reference forces are large.
    energy_delta, force_delta, stress_delta : float, optional
        Width of a robust loss: eV/atom or eV as energy rows are, eV/Å, eV/Å³.
    stress_components : {6, 9}
        Components of the stress that the loss sums over: the six different ones, or all nine
        of the tensor, which counts each shear twice.
    """

    name: LossName = "squared"
    energy_delta: float | None = None
    force_delta: float | None = None
    stress_delta: float | None = None
    stress_components: Literal[6, 9] = 6


@dataclass(frozen=True)
class Holding:
    """What a greedy selection holds in memory; the picks are the same whatever it is.

    Attributes
    ----------
    pool : {"float64", "float32", "none"}
        The pool in whitened coordinates.
    covariances : {"float64", "float32", "none"}
        Those of candidates with targets, for objectives that need every one.
    """

    pool: Precision = "float64"
    covariances: Precision = "float64"


@dataclass(frozen=True)
class Provenance:
    """Where an output came from.

    Attributes
    ----------
    version : str
        Version of prcli.
    command : str
        Shell-quoted command line, or the Python call.
    time : str
        UTC, ISO 8601.
    inputs : tuple of FileStamp
        Files read.
    settings : tuple of (str, object)
        Seed, scale, loss, regularizer and whatever else decided the numbers.
    """

    version: str
    command: str
    time: str
    inputs: tuple[FileStamp, ...] = ()
    settings: tuple[tuple[str, object], ...] = ()


def columns_of(blocks: Sequence[Block]) -> dict[str, slice]:
    """Map the name of each block to its columns."""
    slices: dict[str, slice] = {}
    start = 0
    for block in blocks:
        slices[block.name] = slice(start, start + block.width)
        start += block.width
    return slices
