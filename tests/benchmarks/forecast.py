"""What a cluster would need: the cost model at a scale that nobody has measured here.

Operations take what they take on this machine. What moves through memory takes longer or
shorter as the bandwidth that a rank is assumed to have differs from the one measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cost_fit import CostModel
from cost_model import amounts, held_bytes, memory_bytes, messages, read_bytes
from growth import VARIABLES
from tsv_table import Row
from workloads import Size

#: Costs that memory bandwidth sets.
_MOVED = ("pick values", "pick covariances")

#: What is forecast: a pool and a hundred picks for a thousand targets.
SCALE = Size(C=10**8, T=1000, D=256, picks=100)
RANKS = 64


@dataclass(frozen=True)
class Cluster:
    """Assumptions on a cluster, in seconds and bytes.

    Attributes
    ----------
    memory : float
        Bytes that a rank reads from memory in a second while all others do.
    latency : float
        Seconds of a message.
    network : float
        Bytes that a message moves in a second.
    files : float
        Bytes that all ranks together read from the file system in a second.
    """

    memory: float = 4e9
    latency: float = 2e-6
    network: float = 1e10
    files: float = 5e9


@dataclass(frozen=True)
class Forecast:
    """Seconds of a command on a cluster, and the bytes that a rank holds."""

    command: str
    work: float
    communication: float
    reading: float
    held: float

    @property
    def total(self) -> float:
        """Seconds, if nothing overlaps."""
        return self.work + self.communication + self.reading


def forecast(
    model: CostModel, command: str, size: Size, ranks: int, cluster: Cluster, bandwidth: float
) -> Forecast:
    """Forecast a command.

    Parameters
    ----------
    model : CostModel
        Of one thread.
    command : str
    size : Size
        Of all ranks together.
    ranks : int
    cluster : Cluster
    bandwidth : float
        Bytes that one thread reads in a second where the model was fitted.
    """
    part = replace(size, C=-(-size.C // ranks))
    slower = bandwidth / cluster.memory
    work = sum(
        n * model.seconds[name] * (slower if name.startswith(_MOVED) else 1.0)
        for name, n in amounts(command, part).items()
    )
    # However fast the arithmetic is that was fitted, memory sets a floor.
    work = max(work, memory_bytes(command, part) / cluster.memory)
    sent = messages(command, size, ranks)
    return Forecast(
        command,
        work,
        sent.number * cluster.latency + sent.n_bytes / cluster.network,
        read_bytes(size) / cluster.files,
        held_bytes(command, size, ranks),
    )


def forecast_rows(model: CostModel, limits: Sequence[Row], cluster: Cluster) -> list[Row]:
    """Lines with the assumptions, and a forecast for each command."""
    bandwidth = 1e9 * next(
        float(row.value) for row in limits if row.item == "memory, read" and row.threads == 1
    )
    rows = [
        Row("assumption", "ranks", float(RANKS), note="one thread each"),
        Row("assumption", "memory bandwidth of a rank", cluster.memory / 1e9, "GB/s"),
        Row("assumption", "network latency", 1e6 * cluster.latency, "us"),
        Row("assumption", "network bandwidth", cluster.network / 1e9, "GB/s"),
        Row("assumption", "file system, all ranks", cluster.files / 1e9, "GB/s"),
    ]
    for command in VARIABLES:
        found = forecast(model, command, SCALE, RANKS, cluster, bandwidth)
        sent = messages(command, SCALE, RANKS)
        select = command.startswith("select")
        rows.append(
            Row(
                "forecast",
                command,
                found.total,
                "s",
                C=SCALE.C,
                T=SCALE.T if select else None,
                D=SCALE.D,
                picks=SCALE.picks if select else None,
                note=f"work {_seconds(found.work)}, reading {_seconds(found.reading)}, "
                f"{sent.number:.0f} messages {found.communication:.2g} s, "
                f"{found.held / 2**30:.2g} GiB a rank",
            )
        )
    return rows


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 100.0 else f"{value:.3g} s"
