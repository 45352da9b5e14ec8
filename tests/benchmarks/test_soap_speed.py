"""Writing a store of SOAP features against featomic alone, on structures in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from measurement import AnonymousMemory, in_turns, timed

from prcli.features.soap import DEFAULTS
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.features_compute import compute_features

N_STRUCTURES, N_ATOMS = 25_000, 21

#: Structures that featomic gets at a time; more or fewer are no faster.
N_TOGETHER = 100

#: Cubic angstrom per atom: carbon of 2.2 g/cm³.
VOLUME = 9.0


@pytest.fixture
def structures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    side = (N_ATOMS * VOLUME) ** (1 / 3)
    # A grid, shaken, so that no two atoms are close.
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)[:N_ATOMS]
    head = (
        f'{N_ATOMS}\nLattice="{side:.6f} 0 0 0 {side:.6f} 0 0 0 {side:.6f}" '
        'Properties=species:S:1:pos:R:3 energy=-123.456 config_type=bulk pbc="T T T"\n'
    )
    path = tmp_path / "structures.xyz"
    with path.open("w") as file:
        for _ in range(N_STRUCTURES):
            positions = (grid + rng.uniform(-0.2, 0.2, size=grid.shape)) * side / 3
            lines = (f"C {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in positions)
            file.write(head + "".join(lines))
    return path


@pytest.mark.benchmark
def test_store_of_soap_features_against_featomic(
    structures: Path, show: Callable[[str], None]
) -> None:
    featomic = pytest.importorskip("featomic")
    from ase.io import read

    # A part is enough: featomic takes equally long for each.
    n_read = 2_000
    frames = read(structures, index=f":{n_read}")
    calculator = featomic.SoapPowerSpectrum(**DEFAULTS)
    request = ComputeRequest(
        "soap",
        str(structures),
        str(structures.with_name("soap.h5")),
        dtype="float32",
        overwrite=True,
    )

    def bare() -> float:
        def compute() -> None:
            for start in range(0, n_read, N_TOGETHER):
                calculator.compute(frames[start : start + N_TOGETHER])

        return timed(compute) * N_STRUCTURES / n_read

    with AnonymousMemory() as memory:
        compute_features(request)
    timing = in_turns([bare, lambda: timed(lambda: compute_features(request))], 3)
    alone, ours = timing.medians
    show(f"{N_STRUCTURES} structures of {N_ATOMS} atoms, 125 features, float32 ({timing})")
    show(f"featomic {alone:.1f} s, store {ours:.1f} s")
    show(f"time of the store / time of featomic {ours / alone:.2f}  (goal: 1.3 or less)")
    show(f"anonymous memory at most {memory.peak / 2**20:.0f} MiB  (goal: below 2048)")
