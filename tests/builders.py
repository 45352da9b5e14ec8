"""Tiny structure files, feature stores and sets of features, made on the spot."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prcli.data.extxyz import index_frames
from prcli.data.features import Features
from prcli.data.gradients import FORCE, STRESS, GradientShape
from prcli.data.hessian_record import HessianRecord
from prcli.data.source import StoreSource
from prcli.data.store_writer import StoreWriter
from prcli.elements import ATOMIC_NUMBERS, SYMBOLS

#: Comment lines as programs and people write them: repeated keys, quotes of several kinds,
#: braces, bare words, spaces around signs, text that is not ASCII, trailing blanks.
WEIRD_COMMENTS = (
    'Lattice="4.1 0.0 0.0 0.0 4.2 0.0 0.0 0.0 4.30" Properties=species:S:1:pos:R:3 '
    'energy=-1.50 task="Single Point" flag=F grid="3 3 1" tol=1E-08 pbc="T T F"',
    "Properties=species:S:1:pos:R:3 config_type=bulk  note='it is \"quoted\"'  bare_word ",
    'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 virial={1.0 2.0 3.0} '
    "config_type=bulk name=\u00e9t\u00e9 energy=-0.10000000000000000555",
    'config_type = surface  Properties=species:S:1:pos:R:3   json=_JSON{"a":[1,2]} energy=nan',
)
_OPENERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def counts_of(n_structures: int, seed: int = 0) -> np.ndarray:
    """Numbers of atoms between 1 and 5, shape (S,)."""
    return np.random.default_rng(seed).integers(1, 6, size=n_structures)


def frames_of(
    counts: Sequence[int] | np.ndarray,
    *,
    seed: int = 0,
    comments: Sequence[str] | None = None,
    newline: str = "\n",
    symbols: Sequence[str] = ("C", "H", "O"),
    atoms: np.ndarray | None = None,
    key: str = "feats",
) -> list[bytes]:
    """Bytes of frames; `atoms` (N, D) adds a column `key` to the atoms."""
    rng = np.random.default_rng(seed)
    frames, done = [], 0
    for i, count in enumerate(map(int, counts)):
        text = (comments or WEIRD_COMMENTS)[i % len(comments or WEIRD_COMMENTS)]
        if atoms is not None:
            columns = f"pos:R:3:{key}:R:{atoms.shape[1]}"
            text = text.replace("pos:R:3", columns, 1)
        lines = [str(count), text]
        for k in range(count):
            numbers = [f"{x:.6f}" for x in rng.normal(size=3)]
            if atoms is not None:
                numbers += [repr(float(x)) for x in atoms[done + k]]
            lines.append("  ".join([symbols[int(rng.integers(len(symbols)))], *numbers]))
        done += count
        frames.append("".join(line + newline for line in lines).encode())
    return frames


def write_frames(path: Path, frames: Sequence[bytes]) -> Path:
    """Write frames, compressed as the ending of the name says."""
    content = b"".join(frames)
    path.write_bytes(_OPENERS.get(path.suffix, bytes)(content))
    return path


def species_of(frames: Sequence[bytes]) -> np.ndarray:
    """Atomic numbers of all atoms, shape (N,)."""
    lines = [line for frame in frames for line in frame.splitlines()[2:]]
    return np.array([ATOMIC_NUMBERS[line.split()[0].decode()] for line in lines])


def atoms_for(counts: np.ndarray, n_features: int = 3, seed: int = 0) -> np.ndarray:
    """Features of atoms, shape (N, D)."""
    rows = np.random.default_rng(1000 + seed).normal(size=(int(np.sum(counts)), n_features))
    return rows + 0.3


def sums_of(atoms: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum the rows of each structure's atoms, shape (S, D)."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
    return np.add.reduceat(atoms, starts)


def gradients_of(
    counts: np.ndarray,
    n_features: int = 3,
    seed: int = 0,
    *,
    forces: Sequence[int] | None = None,
    stresses: Sequence[int] | None = None,
    reduced: bool = False,
) -> dict[str, Any]:
    """Gradient rows as `Features` takes them; `forces`, `stresses` are structures, default all.

    `reduced` cuts blocks taller than D to D rows.
    """
    everywhere = range(len(counts))
    kind: list[int] = []
    structure: list[int] = []
    for i, count in enumerate(map(int, counts)):
        for code, chosen, n_rows in ((FORCE, forces, 3 * count), (STRESS, stresses, 6)):
            if i in (everywhere if chosen is None else chosen):
                n_rows = min(n_rows, n_features) if reduced else n_rows
                kind += [code] * n_rows
                structure += [i] * n_rows
    rows = np.random.default_rng(2000 + seed).normal(size=(len(kind), n_features))
    return {
        "gradients": rows,
        "gradient_kind": np.array(kind, dtype=np.uint8),
        "gradient_structure": np.array(structure, dtype=np.int64),
        "gradients_reduced": reduced,
    }


def features_of(n_structures: int, n_features: int = 3, seed: int = 0, **parts: Any) -> Features:
    """Features of atoms in memory, with elements."""
    counts = counts_of(n_structures, seed)
    numbers = np.random.default_rng(seed).choice([1, 6, 8], size=int(counts.sum()))
    given = {"species": numbers, "label": f"features {seed}"} | parts
    return Features(atoms=atoms_for(counts, n_features, seed), n_atoms=counts, **given)


def write_store(
    path: Path,
    n_structures: int = 8,
    n_features: int = 3,
    seed: int = 0,
    *,
    xyz: Path | None = None,
    per_atom: bool = True,
    gradients: dict[str, Any] | None = None,
    **parts: Any,
) -> Path:
    """Write a feature store.

    With `xyz`, the structures file is written too, and the store knows its frames.
    `per_atom` False leaves means over atoms only. `gradients` is what `gradients_of` gives.
    """
    counts = counts_of(n_structures, seed)
    frames = frames_of(counts, seed=seed)
    atoms = atoms_for(counts, n_features, seed)
    given: dict[str, Any] = {
        "dtype": np.float64,
        "convention": "mean",
        "species": species_of(frames),
        "structures": True,
    } | parts
    if xyz is not None:
        given.setdefault("source", source_of(write_frames(xyz, frames)))
    if gradients is not None:
        given["gradients"] = GradientShape(
            gradients["gradient_kind"],
            gradients["gradient_structure"],
            gradients["gradients"].dtype,
            gradients["gradients_reduced"],
        )
    writer = StoreWriter(path, n_atoms=counts, n_features=n_features, atoms=per_atom, **given)
    rows = sums_of(atoms, counts)
    if given["convention"] == "mean":
        rows = rows / counts[:, np.newaxis]
    with writer:
        if per_atom:
            writer.write_atoms(0, atoms)
        if given["structures"]:
            writer.write_structures(0, rows)
        if gradients is not None:
            writer.write_gradients(0, gradients["gradients"])
    return path


def source_of(xyz: Path, typed: str | None = None) -> StoreSource:
    """Every frame of a structures file, in order."""
    index = index_frames(xyz)
    n_frames = len(index)
    return StoreSource(
        (index.stamp,),
        np.zeros(n_frames),
        np.arange(n_frames),
        index.offset,
        (typed or str(xyz),),
    )


def assert_same_hessian(one: HessianRecord, other: HessianRecord) -> None:
    """Compare two Hessians: sums and scalars to 1e-9, factors up to signs of their rows."""
    assert one.n_rows == other.n_rows
    for name in ("n_atoms", "n_structures", "energy", "scale_rule", "blocks", "intercept"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("sum_sq_atoms", "sum_sq_structures", "scale", "regularizer", "energy_weight"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
    assert sorted(one.digests.tolist()) == sorted(other.digests.tolist())
    for kind, factor in one.R.items():
        np.testing.assert_allclose(
            np.abs(factor), np.abs(other.R[kind]), rtol=1e-9, atol=1e-12 * np.abs(factor).max()
        )


def split_frames(content: bytes) -> list[bytes]:
    """Cut extxyz text into frames."""
    lines = content.splitlines(keepends=True)
    frames = []
    while lines:
        n_lines = int(lines[0]) + 2
        frames.append(b"".join(lines[:n_lines]))
        lines = lines[n_lines:]
    return frames


def symbols_of(numbers: np.ndarray) -> list[str]:
    """Chemical symbols."""
    return [SYMBOLS[int(z)] for z in numbers]
