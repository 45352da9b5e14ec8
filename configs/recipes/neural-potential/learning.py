"""What a neural potential knows of each atom: as it trains, as data grow, and whether it is true.

::

    python learning.py DATA OUT --plots FOLDER      # figures 1 to 3 of Chong2025

DATA is what make_data.py has made. OUT gets SOAP features, and for every network the means of its
last-layer features over its training structures, their Hessian, and the features of all atoms of
the structures that are compared: stores for ``prcli compare``, ``score`` and ``calibrate``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from figures import draw
from findings import Errors, Findings, Local, dynamics_table, errors_table, local_table
from network import FloatArray, Labelled, Potential, Training, train
from numpy.typing import NDArray

import prcli

#: Of all Hessians: a last layer has a bias, and `auto` is a rule that gives models of any set size
#: and state of training the same share of it.
HESSIAN = {"intercept": "atom", "regularizer": "auto"}

CARBON = 6

#: A Hessian file, and the structures that are compared as the network sees them.
Model: TypeAlias = tuple[Path, Path]


@dataclass(frozen=True)
class Plan:
    """Which networks are trained, and what on.

    Attributes
    ----------
    training : Training
        `n_steps` is overridden: all networks take the steps of the last of `epochs` on all data.
    epochs : tuple of int
        Passes over all structures after which the network is kept; ascending from 0.
    set_sizes : tuple of int
        Structures of smaller training sets, each of which holds the one before.
    n_committee : int
        Networks of a random half of the structures each, with first weights of their own.
    every : int
        One of so many test structures is compared.
    seed : int
    """

    training: Training = field(default_factory=Training)
    epochs: tuple[int, ...] = (0, 1, 2, 5, 10, 20, 40, 60, 80, 90, 100)
    set_sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    n_committee: int = 10
    every: int = 7
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Job:
    """A training: its data are read where it runs.

    Attributes
    ----------
    store : str
        SOAP features of all training structures.
    names : tuple of str
        One for each state that is kept.
    chosen : ndarray of int
        Structures trained on.
    training : Training
    keep : tuple of int
        Steps.
    """

    store: str
    names: tuple[str, ...]
    chosen: NDArray[np.intp]
    training: Training
    keep: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network and the positions of its training structures."""

    name: str
    potential: Potential
    chosen: NDArray[np.intp]


def soap(structures: Path, store: Path) -> Labelled:
    """Compute SOAP features of all atoms, to be kept in a store."""
    request = prcli.ComputeRequest(
        "soap",
        str(structures),
        str(store),
        distinct=True,
        columns=("energy",),
        with_checkpoint=False,
        overwrite=True,
    )
    prcli.compute_features(request)
    return read_labelled(str(store))


def read_labelled(store: str) -> Labelled:
    """Read what `soap` has written."""
    with prcli.open_store(store) as opened:
        n_atoms = np.array(opened.n_atoms, dtype=np.int64)
        rows = np.array(opened.atoms.read(0, int(n_atoms.sum())))
        return Labelled(rows, n_atoms, np.array(opened.column("energy")))


def make_jobs(plan: Plan, store: str, n_structures: int) -> list[Job]:
    """List all trainings, the longest first."""
    order = np.random.default_rng([plan.seed, 0]).permutation(n_structures)
    per_epoch = -(-n_structures // plan.training.batch)
    steps = tuple(epoch * per_epoch for epoch in plan.epochs)
    settings = replace(plan.training, n_steps=steps[-1], seed=plan.seed)
    names = tuple(f"epoch-{epoch}" for epoch in plan.epochs)
    jobs = [Job(store, names, order, settings, steps)]
    last = steps[-1:]
    for size in plan.set_sizes:
        jobs.append(Job(store, (f"size-{size}",), order[:size], settings, last))
    other = replace(settings, seed=plan.seed + 1)
    jobs.append(Job(store, ("other-weights",), order, other, last))
    for member in range(plan.n_committee):
        rng = np.random.default_rng([plan.seed, 1, member])
        half = rng.permutation(n_structures)[: n_structures // 2]
        own = replace(settings, seed=plan.seed + 2 + member)
        jobs.append(Job(store, (f"half-{member}",), half, own, last))
    return jobs


def run_job(job: Job) -> list[Network]:
    """Train once."""
    data = read_labelled(job.store).subset(job.chosen)
    potentials = train(data, job.training, job.keep)
    named = zip(job.names, potentials, strict=True)
    return [Network(name, potential, job.chosen) for name, potential in named]


def train_all(jobs: Sequence[Job], n_processes: int) -> dict[str, Network]:
    """Train all networks, each in one thread."""
    networks: dict[str, Network] = {}
    with multiprocessing.get_context("spawn").Pool(n_processes) as pool:
        for done, made in enumerate(pool.imap(run_job, jobs), start=1):
            networks |= {network.name: network for network in made}
            print(f"\r{done}/{len(jobs)} trained", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return networks


def write_store(path: Path, data: Labelled, potential: Potential, *, atoms: bool) -> None:
    """Write last-layer features of structures, with energies; those of atoms where asked for."""
    rows = potential.last_layer(data.features)
    predicted = data.n_atoms * data.means(potential.local_energies(data.features))
    with prcli.StoreWriter(
        path,
        n_atoms=data.n_atoms,
        n_features=rows.shape[1],
        dtype="float64",
        convention="mean",
        atoms=atoms,
        species=np.full(len(rows), CARBON) if atoms else None,
        feature_kind="last-layer",
        columns={"energy": data.energy, "energy_predicted": predicted},
        overwrite=True,
    ) as writer:
        writer.write_structures(0, data.means(rows))
        if atoms:
            writer.write_atoms(0, rows)


def export(network: Network, all_train: Labelled, shown: Labelled, out: Path) -> Model:
    """Write the Hessian of a network, and what it sees in the structures that are compared."""
    name = network.name
    own, seen = out / f"{name}.train.h5", out / f"{name}.test.h5"
    write_store(own, all_train.subset(network.chosen), network.potential, atoms=False)
    write_store(seen, shown, network.potential, atoms=True)
    record = prcli.hessian(own, **HESSIAN)
    prcli.write_hessian(out / f"{name}.hessian", record, overwrite=True)
    return out / f"{name}.hessian", seen


def measure_errors(reference: Network, validation: Labelled, test: Labelled, out: Path) -> Errors:
    """Calibrate on the validation set, and look at the errors of the test set."""
    write_store(out / "validation-rows.h5", validation, reference.potential, atoms=False)
    write_store(out / "test-rows.h5", test, reference.potential, atoms=True)
    found = prcli.calibrate(out / f"{reference.name}.hessian", out / "validation-rows.h5")
    prcli.write_hessian(out / "calibrated.hessian", found.record, overwrite=True)
    scores = prcli.score(found.record, out / "test-rows.h5")
    predicted = test.means(reference.potential.local_energies(test.features))
    residual = predicted - test.energy / test.n_atoms
    return Errors(residual, scores.sigma, scores.alpha, found.record.regularizer)


def local_variance(
    reference: Network, committee: Sequence[Network], test: Labelled, truth: FloatArray, out: Path
) -> Local:
    """Compare the LPR of every atom with how networks of half the data differ about it."""
    lpr = prcli.score(out / "calibrated.hessian", out / "test-rows.h5", per="atom").rigidity
    members = [each.potential.local_energies(test.features) for each in committee]
    own = reference.potential.local_energies(test.features)
    return Local(lpr, np.var(members, axis=0, ddof=1), (own - truth) ** 2)


def read_truth(structures: Path) -> FloatArray:
    """Read the local energies of the potential that made the data, eV."""
    from ase.io import read

    frames = read(structures, ":")
    return np.concatenate([atoms.arrays["local_energy"] for atoms in frames])


def study(data: Path, out: Path, plan: Plan, n_processes: int = 2) -> Findings:
    """Train, export, compare."""
    out.mkdir(parents=True, exist_ok=True)
    names = ("train", "validation", "test")
    sets = {name: soap(data / f"{name}.xyz", out / f"soap-{name}.h5") for name in names}
    everything = sets["train"]
    jobs = make_jobs(plan, str(out / "soap-train.h5"), len(everything.n_atoms))
    networks = train_all(jobs, n_processes)
    shown = sets["test"].subset(np.arange(0, len(sets["test"].n_atoms), plan.every))
    models = {
        name: export(network, everything, shown, out)
        for name, network in networks.items()
        if not name.startswith("half-")
    }
    reference = f"epoch-{plan.epochs[-1]}"
    errors = measure_errors(networks[reference], sets["validation"], sets["test"], out)
    committee = [networks[f"half-{member}"] for member in range(plan.n_committee)]
    truth = read_truth(data / "test.xyz")
    local = local_variance(networks[reference], committee, sets["test"], truth, out)
    epochs = {name: model for name, model in models.items() if name.startswith("epoch-")}
    sizes = {name: model for name, model in models.items() if name not in epochs}
    sizes[reference] = models[reference]
    return Findings(
        prcli.compare(epochs, reference=reference),
        prcli.compare(sizes, reference=reference),
        errors,
        local,
    )


def main() -> None:
    """Compute, print and draw."""
    parser = argparse.ArgumentParser(description="Figures 1 to 3 of Chong2025.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plots", type=Path)
    options = parser.parse_args()
    if not (options.data / "train.xyz").is_file():
        parser.error(f"{options.data} holds no structures: run make_data.py first")
    if find_spec("torch") is None:
        parser.error("PyTorch is not installed: see the README")
    found = study(options.data, options.out, Plan(seed=options.seed), options.processes)
    print("# errors and sigma (figure 1)", errors_table(found.errors, 25), sep="\n")
    print("# local energies and LPR (figure 2)", local_table(found.local, 100), sep="\n")
    print("# epochs (figure 3a)", dynamics_table(found.epochs), sep="\n")
    print("# training structures (figure 3b)", dynamics_table(found.sizes), sep="\n")
    if options.plots is not None:
        draw(found, options.plots)


if __name__ == "__main__":
    main()
