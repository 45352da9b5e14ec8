"""Lengths that decide what a small structure is made of."""

from __future__ import annotations

from dataclasses import dataclass

from prcli.errors import RequestError

#: Longest length that makes sense, in angstrom.
_LONGEST = 1000.0


@dataclass(frozen=True)
class GeometryOptions:
    """How environments are cut out and put elsewhere; lengths in angstrom.

    Attributes
    ----------
    cutoff : float
        Radius of an environment, at least as far as the model sees.
    buffer : float
        Width of what is taken from the large structure beyond that.
    contact : float
        Least distance of two atoms of which one is displaced.
    sigma : float
        Standard deviation of the displacements along each axis.
    max_tries : int
        Times that displacements may be drawn.
    max_atoms : int
        Atoms that the supercell of a crystal may have.
    repeat : tuple of int, optional
        How often the cell of the crystal is repeated; by default as little as suffices.

    Raises
    ------
    RequestError
        If a value makes no sense.
    """

    cutoff: float
    buffer: float = 0.0
    contact: float = 1.0
    sigma: float = 0.2
    max_tries: int = 1000
    max_atoms: int = 2000
    repeat: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("cutoff", "buffer", "contact", "sigma"):
            value = getattr(self, name)
            if not 0.0 <= value <= _LONGEST or (name == "cutoff" and value == 0.0):
                least = "a length above 0" if name == "cutoff" else "a length of at least 0"
                raise RequestError(
                    f"--{name} is not valid",
                    expected=f"{least} and at most {_LONGEST:g}, in angstrom",
                    got=f"{value:g}",
                )
        counts = {"--max-tries": self.max_tries, "--max-atoms": self.max_atoms}
        counts |= {"--repeat": min(self.repeat)} if self.repeat is not None else {}
        for option, count in counts.items():
            if count < 1:
                raise RequestError(f"{option} must be at least 1", got=str(count))

    @property
    def reach(self) -> float:
        """How far from its centre atoms of the large structure are taken."""
        return self.cutoff + self.buffer

    @property
    def gap(self) -> float:
        """Empty space between what does not belong together: contact and 1.5 sigma."""
        return self.contact + 1.5 * self.sigma
