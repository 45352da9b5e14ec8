"""Every line of the README's table "From your program to prcli", run on a file of that program."""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from prcli.data.store import open_store

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "workflows" / "import_files"
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Systems of the files of DeePMD-kit.
NAMES = {"A": "mixed", "B": "diamond"}


def commands() -> list[str]:
    """Commands of the table, those that are only partly written out completed."""
    section = README.partition("### From your program to prcli")[2].partition("Good to know")[0]
    found = []
    for line in section.splitlines():
        if not line.startswith("|") or set(line) <= {"|", "-"}:
            continue
        first, *others = re.findall(r"`([^`]+)`", line.rsplit(" | ", 1)[1]) or [""]
        if "--features" not in first:
            continue
        found.append(first)
        for other in others:
            if other.endswith(".mts"):
                found.append(re.sub(r"\S+\.mts", other, first))
            elif other.startswith("--array") and "--array" in first:
                found.append(first.replace("--array COLUMN", other))
            elif other.startswith("--"):
                found.append(f"{first} {other}")
    return found


def structures_of(name: str) -> list:
    return read(FILES / name, ":", format="extxyz")


def rows_of_atoms() -> np.ndarray:
    n_atoms = sum(len(atoms) for atoms in structures_of("pool.xyz"))
    return np.random.default_rng(0).normal(size=(n_atoms, 3))


def arrays_of_structures() -> list[np.ndarray]:
    stops = np.cumsum([len(atoms) for atoms in structures_of("pool.xyz")])[:-1]
    return np.split(rows_of_atoms(), stops)


def copied(**names: str) -> Callable[[], None]:
    """Copy files of the program under the names of the table."""

    def provide() -> None:
        for source, name in names.items():
            found = next(FILES.glob(f"{source}.*"), FILES / source)
            copy = shutil.copytree if found.is_dir() else shutil.copy
            copy(found, name)

    return provide


def tensor_map() -> None:
    """Save what featomic computes, with metatensor's own writer."""
    featomic = pytest.importorskip("featomic")
    basis = {"type": "TensorProduct", "max_angular": 1, "radial": {"type": "Gto", "max_radial": 1}}
    calculator = featomic.SoapPowerSpectrum(
        cutoff={"radius": 3.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        density={"type": "Gaussian", "width": 0.3},
        basis=basis,
    )
    tensors = calculator.compute(structures_of("pool.xyz")).keys_to_samples("center_type")
    tensors.keys_to_properties(["neighbor_1_type", "neighbor_2_type"]).save("f.mts")


def parquet() -> None:
    """Save a column of arrays and columns of numbers, with one row per atom in another file."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    column = [rows.tolist() for rows in arrays_of_structures()]
    pandas.DataFrame({"COLUMN": column}).to_parquet("t.parquet")


def numbers() -> None:
    """Save columns of numbers."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = {f"f{i}": column for i, column in enumerate(rows_of_atoms().T)}
    pandas.DataFrame(table | {"other": 1.0}).to_parquet("t.parquet")


def listed() -> None:
    """Pickle a list of arrays."""
    Path("f.pkl").write_bytes(pickle.dumps(arrays_of_structures()))


def saved(name: str) -> Callable[[], None]:
    return lambda: np.save(name, rows_of_atoms())


MACE = "own.xyz --from mace --features out.xyz"
METATRAIN = "own.xyz --from metatrain --features "
LAST_LAYER = "f_mtt::aux::energy_last_layer_features.mts"
EMBED = "own.xyz --from deepmd --features e.hdf5 --system A --system B"
TABLE = "own.xyz --features t.parquet --array {} --convention per-atom"
#: What provides the file of each command, and the convention that the store must have.
PROGRAMS: dict[str, tuple[Callable[[], None], str]] = {
    MACE: (copied(mace_atoms="out.xyz"), "atoms"),
    f"{MACE} --per-species": (copied(mace_element_means="out.xyz"), "mean"),
    "filtered.xyz --from mace --features pool_descriptors.npy --allow-pickle": (
        copied(mace_pool_descriptors="pool_descriptors.npy", pool="filtered.xyz"),
        "mean",
    ),
    METATRAIN + LAST_LAYER: (copied(metatrain_energy_last_layer_features=LAST_LAYER), "sum"),
    f"{METATRAIN}f_feature.mts": (copied(metatrain_feature="f_feature.mts"), "atoms"),
    f"{METATRAIN}f.xyz": (copied(metatrain="f.xyz"), "sum"),
    "own.xyz --features f.mts --convention per-atom": (tensor_map, "atoms"),
    EMBED: (copied(deepmd_embed="e.hdf5"), "atoms"),
    f"{EMBED} --array structural_feature": (copied(deepmd_embed="e.hdf5"), "sum"),
    f"{EMBED} --array descriptor": (copied(deepmd_embed="e.hdf5"), "atoms"),
    "own.xyz --from deepmd --features desc --system A --system B": (
        copied(deepmd_desc="desc"),
        "atoms",
    ),
    "own.xyz --from grace --features p.pkl.gz --allow-pickle": (copied(grace="p.pkl.gz"), "atoms"),
    "own.xyz --features p.npy --convention per-atom": (saved("p.npy"), "atoms"),
    "own.xyz --features f.npy --convention per-atom --feature-kind last-layer": (
        saved("f.npy"),
        "atoms",
    ),
    TABLE.format("COLUMN"): (parquet, "atoms"),
    TABLE.format("'f*'"): (numbers, "atoms"),
    "own.xyz --features f.pkl --allow-pickle --convention per-atom": (listed, "atoms"),
}


def test_every_line_of_the_table_has_a_file():
    assert sorted(commands()) == sorted(PROGRAMS)


@pytest.mark.parametrize("command", PROGRAMS)
def test_line_of_the_table(prcli, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    provide, convention = PROGRAMS[command]
    provide()
    own = "deepmd.xyz" if "deepmd" in command else "pool.xyz"
    shutil.copy(FILES / own, "own.xyz")
    words = [NAMES.get(word, word) for word in shlex.split(command)]
    outcome = prcli("features", "import", *words, "-o", "STORE.h5")
    assert outcome.code == 0, outcome.err
    with open_store("STORE.h5") as store:
        assert store.n_structures == len(structures_of(own))
        found = "atoms" if store.atoms is not None else store.convention
        assert found == convention
        assert np.isfinite(store.structures.read(0, store.n_structures)).all()


@pytest.mark.parametrize("name", ["mace_mean", "mace_element_means"])
def test_means_of_mace(prcli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    copied(**{name: "out.xyz", "pool": "own.xyz"})()
    outcome = prcli("features", "import", *MACE.split(), "-o", "STORE.h5")
    assert outcome.code == 0, outcome.err
    with open_store("STORE.h5") as store:
        assert store.convention == "mean"
        assert store.atoms is None


def test_projections_that_lost_the_order_of_atoms_are_refused(fails, tmp_path, monkeypatch):
    assert "`compute_B_projections` loses the order of atoms, and is refused" in README
    monkeypatch.chdir(tmp_path)
    copied(pool="own.xyz")()
    saved("p.npy")()
    message = fails(
        *("features", "import", "own.xyz", "--from", "pacemaker"),
        *("--features", "p.npy", "-o", "STORE.h5"),
    )
    assert "PyACECalculator" in message
