"""Write the feature stores ``train.h5``, ``target.h5`` and ``pool.h5`` of the sample data.

    python stores.py      # after `python generate.py features`; needs prcli and ase

Each store holds the features of the atoms as computed, float32, and their means per structure.
"""

import os
from pathlib import Path

import numpy as np

from prcli.data.extxyz import index_frames
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter

HERE = Path(__file__).resolve().parent
SETS = ("train", "target", "pool")


def structure_means(features: np.ndarray, n_atoms: np.ndarray) -> np.ndarray:
    """Average the atoms' features (N, D) over each structure in float64; return (S, D)."""
    starts = np.cumsum(n_atoms) - n_atoms
    return np.add.reduceat(features.astype(np.float64), starts, axis=0) / n_atoms[:, None]


def frame_source(name: str) -> StoreSource:
    """Tell the store which frame of the xyz file each structure is."""
    index = index_frames(f"{name}.xyz")
    count = len(index)
    return StoreSource(
        files=(index.stamp,),
        file=np.zeros(count),
        frame=np.arange(count),
        offset=index.offset,
        typed=(f"{name}.xyz",),
    )


def write_store(name: str) -> None:
    """Write one store from the xyz file and ``build/features``."""
    from ase.io import read

    frames = read(f"{name}.xyz", index=":")
    features = np.load(Path("build") / "features" / f"{name}.npy")
    n_atoms = np.array([len(frame) for frame in frames])
    columns = {
        "energy": [frame.get_potential_energy() for frame in frames],
        "config_type": [frame.info["config_type"] for frame in frames],
    }
    with StoreWriter(
        f"{name}.h5",
        n_atoms=n_atoms,
        n_features=features.shape[1],
        dtype=features.dtype,
        convention="mean",
        atoms=True,
        species=np.concatenate([frame.numbers for frame in frames]),
        columns=columns,
        source=frame_source(name),
        overwrite=True,
    ) as store:
        store.write_structures(0, structure_means(features, n_atoms))
        store.write_atoms(0, features)


def main() -> None:
    """Write the three stores beside this script."""
    os.chdir(HERE)  # so that the stores name the xyz files without a folder
    for name in SETS:
        write_store(name)


if __name__ == "__main__":
    main()
