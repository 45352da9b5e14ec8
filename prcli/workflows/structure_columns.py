"""Values per structure to filter, weigh or count by: derived ones, store columns, comment keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from prcli.data.columns import species
from prcli.data.comment_line import comment_values, lattice_volume
from prcli.data.comment_pairs import comment, comment_pairs
from prcli.data.dataset import Dataset
from prcli.elements import AMU_PER_A3_IN_G_PER_CM3, ATOMIC_NUMBERS, MASSES, SYMBOLS
from prcli.errors import ExpressionError, RequestError
from prcli.workflows.frames import Frames
from prcli.workflows.rows import species_counts

DERIVED = ("n_atoms", "volume", "density", "formula")
#: Never taken from a column of the store, which may hold the others.
_COMPUTED = ("n_atoms", "formula")
#: Structures whose elements are counted together.
_STRUCTURES_AT_A_TIME = 1 << 14
_COUNT = re.compile(r"^n_([A-Z][a-z]?)$")


class StructureColumns(Mapping[str, NDArray[np.generic]]):
    """Columns of a data set by name, computed when asked for.

    A name means, in this order: ``n_atoms``, ``formula``, a column of the store, ``volume``
    (Å³) and ``density`` (g/cm³), the count of an element (``n_C``), a key of the comment line.

    Parameters
    ----------
    data : Dataset
    frames : callable
        Opens the structure files; called only if a name needs them.
    """

    def __init__(self, data: Dataset, frames: Callable[[], Frames]) -> None:
        self._data = data
        self._open_frames = frames
        self._known: dict[str, NDArray[np.generic]] = {}

    def fetch(self, names: Iterable[str]) -> None:
        """Compute several columns with at most one pass over the structure files.

        Raises
        ------
        ExpressionError
            If a name is not known.
        """
        wanted = [name for name in names if name not in self._known]
        from_frames = [name for name in wanted if not self._fetch_cheap(name)]
        if from_frames:
            self._scan(from_frames)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Return a column, shape (S,)."""
        try:
            self.fetch([name])
        except ExpressionError as error:
            raise KeyError(name) from error
        return self._known[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Iterate over the names that are known without looking into frames."""
        return iter(dict.fromkeys([*DERIVED, *self._data.column_names, *self._known]))

    def __len__(self) -> int:
        """Return the number of those names."""
        return len(list(iter(self)))

    def _fetch_cheap(self, name: str) -> bool:
        """Compute a column that needs no structure file."""
        element = _COUNT.match(name)
        if name == "n_atoms":
            self._known[name] = self._data.n_atoms.astype(np.float64)
        elif name in self._data.column_names and name not in _COMPUTED:
            self._known[name] = self._data.column(name)
        elif element and element[1] in ATOMIC_NUMBERS and self._data.has_species:
            self._known[name] = self._counts([ATOMIC_NUMBERS[element[1]]])[:, 0]
        elif name == "formula" and self._data.has_species:
            self._known[name] = self._formulas()
        else:
            return False
        return True

    def _counts(self, numbers: list[int]) -> NDArray[np.float64]:
        return np.concatenate(list(self._count_runs(numbers))).astype(np.float64)

    def _count_runs(self, numbers: list[int]) -> Iterator[NDArray[np.int64]]:
        for _, part, positions in self._data.structure_runs(_STRUCTURES_AT_A_TIME):
            yield species_counts(part, positions, numbers)

    def _formulas(self) -> NDArray[np.generic]:
        numbers = list(range(1, len(SYMBOLS)))
        formulas = np.empty(self._data.n_structures, dtype=object)
        done = 0
        for counts in self._count_runs(numbers):
            # Compositions recur: each is written once.
            unique, which = np.unique(counts, axis=0, return_inverse=True)
            names = np.array([formula_of(row) for row in unique], dtype=object)
            formulas[done : done + len(counts)] = names[which.ravel()]
            done += len(counts)
        return formulas

    def _scan(self, names: list[str]) -> None:
        """Read the structure files once, for cells, elements and keys of the comment line."""
        values: dict[str, list[object]] = {name: [] for name in names}
        keys = [name for name in names if name not in DERIVED and not _COUNT.match(name)]
        seen: set[str] = set()
        try:
            frames = self._open_frames()
        except RequestError as error:
            if not keys:
                raise
            # Without structures a key cannot be told from a misspelt name.
            raise unknown_name(keys[0], self, error.where, no_frames=True) from error
        for content in frames.read(range(self._data.n_structures)):
            line = comment(content)
            found = comment_values(line, keys) if keys else {}
            if len(seen) < 64:
                seen.update(p.key.decode("utf-8", "replace") for p in comment_pairs(line))
            for name in names:
                value = found.get(name) if name in keys else _derive(name, content, line)
                values[name].append(value)
        for name in names:
            if all(value is None for value in values[name]):
                raise unknown_name(name, [*self, *sorted(seen)], self._data.label)
            self._known[name] = _as_column(values[name])


def is_derived(name: str) -> bool:
    """Tell whether a name means something that is computed from structures."""
    match = _COUNT.match(name)
    return name in DERIVED or (match is not None and match[1] in ATOMIC_NUMBERS)


def structure_densities(
    volumes: NDArray[np.float64], numbers: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute densities.

    Parameters
    ----------
    volumes : (S,) array
        Å³.
    numbers : (N,) array
        Atomic numbers of all atoms.
    offsets : (S + 1,) array
        First atom of each structure.

    Returns
    -------
    (S,) array
        g/cm³; nan where the volume is.
    """
    masses = np.add.reduceat(np.array(MASSES)[numbers], offsets[:-1])
    densities: NDArray[np.float64] = masses * AMU_PER_A3_IN_G_PER_CM3 / volumes
    return densities


def unknown_name(
    name: str, known: Iterable[str], where: str | None, *, no_frames: bool = False
) -> ExpressionError:
    """Say that a name is unknown in a table, which ones are known, and which is nearest.

    `no_frames` says that the structures, and so their keys, are not at hand.
    """
    import difflib

    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1)
    remedies = [f"did you mean {name!r}?" for name in near]
    if no_frames:
        remedies.append("if it is a key of the structures, name their file with --structures")
    return ExpressionError(
        f"name {name!r} is not known",
        where=where,
        expected="one of " + ", ".join(names) + ", or n_ and an element",
        remedy=" ".join(remedies) or None,
    )


def _derive(name: str, content: bytes, line: bytes) -> object:
    """Volume, density, formula or the count of an element of one frame."""
    if name == "volume":
        return lattice_volume(line)
    numbers = species(content)
    if name == "density":
        mass = float(np.array(MASSES)[numbers].sum())
        return mass * AMU_PER_A3_IN_G_PER_CM3 / lattice_volume(line)
    counts = np.bincount(numbers, minlength=len(SYMBOLS))
    if name == "formula":
        return formula_of(counts[1:])
    element = _COUNT.match(name)
    number = ATOMIC_NUMBERS.get(element[1]) if element else None
    return None if number is None else float(counts[number])


def formula_of(counts: NDArray[np.generic]) -> str:
    """Write counts, which begin at hydrogen, as a formula such as ``C12H26``."""
    present = sorted((SYMBOLS[i + 1], int(counts[i])) for i in np.flatnonzero(counts))
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in present)


def _as_column(values: list[object]) -> NDArray[np.generic]:
    """Numbers as float64 with nan for what is absent, anything else as objects."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
