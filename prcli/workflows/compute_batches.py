"""Batches of structures, described one after another while others are read and written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from prcli.data.checks import atom_offsets
from prcli.data.gradients import FORCE, STRESS, GradientShape
from prcli.errors import FeatureError, PrcliError
from prcli.features.featurizer import Description, Featurizer
from prcli.workflows.compute_request import ComputeRequest
from prcli.workflows.geometries import Structures
from prcli.workflows.import_rows import ImportFrames

if TYPE_CHECKING:
    from ase import Atoms

#: Memory that describing a batch may take; larger structures come alone.
BATCH_BYTES = 16 << 20

_UNITS = {"features": "atom", "forces": "force row", "stress": "stress row"}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class GradientPlaces:
    """Where the gradient rows of each structure go, none where there are none.

    Attributes
    ----------
    kind : (M,) array of uint8
    structure : (M,) array of int64
    offsets : (S + 1,) array of int64
        First row of each structure.
    """

    kind: NDArray[np.uint8]
    structure: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def shape(self, dtype: str) -> GradientShape | None:
        """Give what the store's writer takes."""
        return GradientShape(self.kind, self.structure, dtype) if len(self.kind) else None


def gradient_places(n_atoms: NDArray[np.int64], request: ComputeRequest) -> GradientPlaces:
    """Lay gradient rows out: structure by structure, forces first."""
    counts = np.zeros((len(n_atoms), 2), dtype=np.int64)
    if "force" in request.kinds:
        counts[:, 0] = 3 * n_atoms
    if "stress" in request.kinds:
        counts[:, 1] = 6
    kinds = np.tile(np.array([FORCE, STRESS], dtype=np.uint8), len(n_atoms))
    owners = np.repeat(np.arange(len(n_atoms)), 2)
    return GradientPlaces(
        kind=np.repeat(kinds, counts.ravel()),
        structure=np.repeat(owners, counts.ravel()),
        offsets=atom_offsets(counts.sum(axis=1)),
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of consecutive structures, as they are stored.

    Attributes
    ----------
    start, stop : int
        Structures ``start:stop``.
    atoms : (n, D) array, optional
    structures : (s, D) array
        Means over atoms.
    gradients : (m, D) array, optional
    """

    start: int
    stop: int
    atoms: np.ndarray | None
    structures: np.ndarray
    gradients: np.ndarray | None

    def record(self) -> dict[str, np.ndarray]:
        """Give arrays by name, from which `read_record` makes the batch again."""
        record = {"span": np.array([self.start, self.stop])}
        # Means follow from the atoms.
        rows = {"structures": self.structures} if self.atoms is None else {"atoms": self.atoms}
        if self.gradients is not None:
            rows["gradients"] = self.gradients
        return record | rows


def read_record(record: dict[str, np.ndarray], n_atoms: NDArray[np.int64]) -> Batch:
    """Undo `Batch.record`; `n_atoms` are those of all structures."""
    start, stop = record["span"].tolist()
    atoms = record.get("atoms")
    means = record["structures"] if atoms is None else _means(atoms, n_atoms[start:stop])
    return Batch(start, stop, atoms, means, record.get("gradients"))


class Describer:
    """Describes the structures of a file in batches.

    Parameters
    ----------
    frames : ImportFrames
    structures : Structures
        Those of the frames.
    featurizer : Featurizer
    request : ComputeRequest
    places : GradientPlaces
    """

    def __init__(
        self,
        frames: ImportFrames,
        structures: Structures,
        featurizer: Featurizer,
        request: ComputeRequest,
        places: GradientPlaces,
    ) -> None:
        self._frames = frames
        self._structures = structures
        self._featurizer = featurizer
        self._request = request
        self._places = places
        self._limit = np.float64(np.finfo(request.dtype).max)

    def batches(self, spans: Iterable[range]) -> Iterator[Batch]:
        """Describe runs of structures; others are read and written meanwhile.

        Raises
        ------
        FeatureError
            If a structure cannot be described, or its features are misshaped or not finite.
        """
        gathered = (batch for span in spans for batch in self._gather(span))
        yield from _one_ahead(self._describe, gathered)

    def _gather(self, positions: range) -> Iterator[tuple[int, list[Atoms]]]:
        """Read as many structures as may be described together, with the first one's position."""
        held: list[Atoms] = []
        cost = 0
        for position, structure in enumerate(self._structures.read(positions), positions.start):
            check_structure(self._featurizer, structure, self._where(position, position + 1))
            its_cost = self._featurizer.n_bytes(structure, self._request.kinds)
            if held and cost + its_cost > BATCH_BYTES:
                yield position - len(held), held
                held, cost = [], 0
            held.append(structure)
            cost += its_cost
        if held:
            yield positions.stop - len(held), held

    def _describe(self, batch: tuple[int, list[Atoms]]) -> Batch:
        """Describe a batch and bring its rows into the form in which they are stored."""
        start, structures = batch
        stop = start + len(structures)
        with _located(self._where(start, stop)):
            description = self._featurizer.describe(structures, self._request.kinds)
        n_atoms = self._frames.n_atoms[start:stop]
        self._check(description, start, stop)
        dtype = np.dtype(self._request.dtype)
        gradients = self._gradients(description, start, stop)
        if not self._request.with_atoms:
            means = _means(description.features, n_atoms).astype(dtype)
            return Batch(start, stop, None, means, gradients)
        atoms = description.features.astype(dtype, copy=False)
        return Batch(start, stop, atoms, _means(atoms, n_atoms), gradients)

    def _gradients(self, description: Description, start: int, stop: int) -> np.ndarray | None:
        """Merge force and stress rows structure by structure."""
        if not self._request.kinds:
            return None
        offsets = self._places.offsets
        kind = self._places.kind[offsets[start] : offsets[stop]]
        rows = np.empty((len(kind), self._featurizer.n_features), dtype=self._request.dtype)
        for code, part in ((FORCE, description.forces), (STRESS, description.stress)):
            if part is not None:
                rows[kind == code] = part
        return rows

    def _check(self, description: Description, start: int, stop: int) -> None:
        """Refuse rows that are misshaped, or not finite as they will be stored."""
        n_atoms = int(self._frames.n_atoms[start:stop].sum())
        expected = {"features": n_atoms}
        if "force" in self._request.kinds:
            expected["forces"] = 3 * n_atoms
        if "stress" in self._request.kinds:
            expected["stress"] = 6 * (stop - start)
        for name, n_rows in expected.items():
            rows = getattr(description, name)
            shape = (n_rows, self._featurizer.n_features)
            if rows is None or rows.shape != shape:
                raise FeatureError(
                    f"{self._featurizer.name} gave {name} of another shape than it should",
                    where=self._where(start, stop),
                    expected=str(shape),
                    got="none" if rows is None else str(rows.shape),
                )
            if rows.size and not -self._limit <= rows.min() <= rows.max() <= self._limit:
                self._refuse(rows, name, start)

    def _refuse(self, rows: np.ndarray, name: str, start: int) -> None:
        """Name the first value that is not finite."""
        row, column = divmod(int(np.argmin(np.abs(rows) <= self._limit)), rows.shape[1])
        n_atoms = self._frames.n_atoms[start:]
        heights = {"features": n_atoms, "forces": 3 * n_atoms, "stress": np.full(len(n_atoms), 6)}
        starts = atom_offsets(heights[name])
        structure = int(np.searchsorted(starts, row, side="right")) - 1
        place = f"{_UNITS[name]} {row - int(starts[structure])}, column {column}"
        raise FeatureError(
            f"{self._featurizer.name} gave a value that is not finite",
            where=f"{self._where(start + structure, start + structure + 1)}, {place}",
            expected=f"a finite number that {self._request.dtype} can hold",
            got=str(rows[row, column]),
            remedy="look at the structure: atoms that are on top of each other, or an odd cell",
        )

    def _where(self, start: int, stop: int) -> str:
        """Name the frames of structures ``start:stop``."""
        first, last = (int(self._frames.frame[i]) for i in (start, stop - 1))
        place = f"frame {first}" if stop - start == 1 else f"frames {first} to {last}"
        return f"{self._frames.typed}, {place}"


def check_structure(featurizer: Featurizer, structure: Atoms, where: str) -> None:
    """Refuse a structure that a featurizer cannot describe, with its place."""
    with _located(where):
        featurizer.check(structure)


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Tell an error that does not know it where it happened."""
    try:
        yield
    except PrcliError as error:
        if error.where is None:
            error.where = where
        raise


def _means(rows: np.ndarray, n_atoms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over the atoms of each structure, in float64."""
    starts = atom_offsets(n_atoms)[:-1]
    sums = np.add.reduceat(rows, starts, axis=0, dtype=np.float64)
    means: NDArray[np.float64] = sums / n_atoms[:, np.newaxis]
    return means


def _one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Call a function on items, in order, in a thread that is always given the next one."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()
