"""The smallest supercell of a crystal that holds a hole and an undisturbed environment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prcli.environments.geometry_options import GeometryOptions
from prcli.environments.surroundings import shortest_distances, shortest_translation
from prcli.errors import RequestError

if TYPE_CHECKING:
    from ase import Atoms

#: Repetitions along each vector that are tried beyond the fewest possible.
_MORE = 6

#: Rounding of positions must not decide whether a site lies in the hole.
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class Hole:
    """A supercell, and the sites around a hole in it.

    Attributes
    ----------
    atoms : ase.Atoms
        The supercell, complete.
    site : (n,) array of int
        Atom of the crystal's cell that each is an image of.
    position : (3,) array of float64
        Middle of the hole, in angstrom.
    kept : (m,) array of int
        Sites outside of the hole.
    centre : int
        Site whose environment is undisturbed.
    environment : (k,) array of int
        Sites within the cutoff of it, itself among them.
    """

    atoms: Atoms
    site: NDArray[np.int64]
    position: NDArray[np.float64]
    kept: NDArray[np.intp]
    centre: int
    environment: NDArray[np.intp]


def find_hole(crystal: Atoms, options: GeometryOptions, number: int, where: str) -> Hole:
    """Find the smallest supercell with room for a hole and an environment beside it.

    Parameters
    ----------
    crystal : ase.Atoms
        Any cell of it, periodic in three directions.
    options : GeometryOptions
        The hole has the radius cutoff + buffer + contact + 1.5 sigma.
    number : int
        Atomic number of the atom in the middle of the hole, which takes the place of one of the
        same element where there is one.
    where : str
        The crystal, for messages.

    Returns
    -------
    hole : Hole

    Raises
    ------
    RequestError
        If the crystal is not periodic in three directions, or no supercell within the limits is
        large enough.
    """
    if not all(crystal.pbc):
        raise RequestError(
            "a crystal must be periodic in three directions",
            where=where,
            got="pbc = " + " ".join("FT"[int(flag)] for flag in crystal.pbc),
        )
    same = np.flatnonzero(crystal.numbers == number)
    seat = int(same[0]) if len(same) else 0
    if options.repeat is not None:
        found = _hole_in(crystal, options.repeat, seat, options)
        if found is None:
            raise _too_small("the supercell of the crystal is too small", options, where)
        return found
    crystal = compact(crystal)
    for repeat in _repeats(crystal, options):
        found = _hole_in(crystal, repeat, seat, options)
        if found is not None:
            return found
    what = f"no supercell of the crystal of up to {options.max_atoms} atoms is large enough"
    raise _too_small(what, options, where)


def compact(crystal: Atoms) -> Atoms:
    """Describe the same lattice by vectors as short as possible (Minkowski)."""
    from ase.geometry import minkowski_reduce

    result: Atoms = crystal.copy()  # type: ignore[no-untyped-call]
    result.set_cell(minkowski_reduce(crystal.cell)[0])  # type: ignore[no-untyped-call]
    return result


def _repeats(crystal: Atoms, options: GeometryOptions) -> Iterator[tuple[int, int, int]]:
    """Yield numbers of repetitions, fewest atoms first and then the roundest."""
    lengths = crystal.cell.lengths()
    fewest = np.ceil(_period(options) / lengths).astype(int).clip(min=1)
    ranges = [range(n, n + max(_MORE, n)) for n in fewest.tolist()]
    most = options.max_atoms // len(crystal)
    tried = [(i, j, k) for i, j, k in itertools.product(*ranges) if i * j * k <= most]

    def size(numbers: tuple[int, int, int]) -> tuple[int, float]:
        edges = lengths * np.array(numbers)
        return int(np.prod(numbers)), float(edges.max() / edges.min())

    yield from sorted(tried, key=size)


def _period(options: GeometryOptions) -> float:
    """Least distance of a hole from its image: what fills one stays out of the other."""
    return 2.0 * options.reach + options.gap


def _hole_in(
    crystal: Atoms, repeat: tuple[int, int, int], seat: int, options: GeometryOptions
) -> Hole | None:
    """Make a hole in a supercell; None if there is no room beside it."""
    atoms: Atoms = crystal.repeat(repeat)  # type: ignore[no-untyped-call]
    if shortest_translation(atoms, _period(options)) is not None:
        return None
    position = atoms.positions[seat].copy()
    distances = shortest_distances(atoms.positions - position, atoms)
    centre = int(np.argmax(distances))
    is_kept = distances > options.reach + options.gap + _SLACK
    around = shortest_distances(atoms.positions - atoms.positions[centre], atoms)
    environment = np.flatnonzero(around <= options.cutoff + _SLACK)
    far_enough = distances[centre] > options.reach + options.cutoff + _SLACK
    if not far_enough or not is_kept[environment].all():
        return None
    return Hole(
        atoms=atoms,
        site=np.tile(np.arange(len(crystal)), int(np.prod(repeat))),
        position=position,
        kept=np.flatnonzero(is_kept),
        centre=centre,
        environment=environment,
    )


def _too_small(what: str, options: GeometryOptions, where: str) -> RequestError:
    hole = options.reach + options.gap
    remedy = "give a smaller --cutoff or --buffer"
    if options.repeat is None:
        remedy = f"give a larger --max-atoms, a smaller cell of the crystal, or {remedy[7:]}"
        got = f"--max-atoms {options.max_atoms}"
    else:
        remedy = "give a larger --repeat, or leave it out: then the smallest is found"
        got = "--repeat " + ",".join(map(str, options.repeat))
    return RequestError(
        what,
        where=where,
        expected=f"room for a hole of radius {hole:g} angstrom, and beside it an atom with all "
        f"others within {options.cutoff:g} angstrom",
        got=got,
        remedy=remedy,
    )
