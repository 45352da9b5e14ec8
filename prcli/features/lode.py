"""LODE (long-distance equivariants) beside SOAP: what is near, and the potential of what is far.

Two blocks of columns. ``short`` is the SOAP power spectrum of the density ρ of neighbours. ``long``
joins ρ to the potential V of all atoms of the periodic structure, p = Σ_m ρ_m V_m · (−1)^l/√(2l+1)
for all pairs of neighbour elements and all (l, n, n'), as ``featomic.clebsch_gordan.PowerSpectrum``
does. With a ``cutoff`` under ``[long]`` the part of V that comes from within it is subtracted, so
that the two blocks describe different physics (range separation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from prcli.errors import FeatureError, FormatError
from prcli.features.assembly import Assembly
from prcli.features.expansion import Expansion, contraction_factor
from prcli.features.featomic_package import as_systems, centre_parts, featomic_errors, load_featomic
from prcli.features.featurizer import Description, FeaturizerOptions, refuse_gradients
from prcli.features.hypers import (
    CUTOFF,
    DENSITY,
    GTO_PRODUCT,
    POWER_LAW,
    TENSOR_PRODUCT,
    Number,
    Table,
    check_hypers,
)
from prcli.features.near_part import near_part_hypers
from prcli.features.pair_columns import pair_columns
from prcli.features.soap import Soap
from prcli.records import Block, RowKind

if TYPE_CHECKING:
    from ase import Atoms

HYPERS = Table(
    {
        "short": Table({"cutoff": CUTOFF, "density": DENSITY, "basis": TENSOR_PRODUCT}),
        "long": Table(
            {"density": POWER_LAW, "basis": GTO_PRODUCT},
            {"cutoff": CUTOFF, "k_cutoff": Number(0, above=True)},
        ),
    }
)


def make_lode(options: FeaturizerOptions) -> Lode:
    """Make a LODE featurizer; it has no default hyperparameters."""
    return Lode(options)


class Lode:
    """Power spectra of density and density, and of density and potential; see `Featurizer`.

    Parameters
    ----------
    options : FeaturizerOptions
        `hypers` has two tables: ``short``, the arguments of ``featomic.SphericalExpansion``, and
        ``long``, those of ``featomic.LodeSphericalExpansion``, with an optional ``cutoff``.

    Raises
    ------
    RequestError
        If featomic is not installed, or stress rows are asked for, which it cannot give.
    FormatError, FeatureError
        If a hyperparameter is absent or not known, or featomic refuses them.
    """

    name = "lode"

    def __init__(self, options: FeaturizerOptions) -> None:
        refuse_gradients(self.name, options.gradients, ("force",))
        featomic = load_featomic()
        hypers = check_hypers(_given(options), HYPERS, options.where)
        short, far = hypers["short"], dict(hypers["long"])
        _check_angular(short, far, options.where)
        near_cutoff = far.pop("cutoff", None)
        self._soap = Soap(replace(options, hypers=short))
        self.species = options.species
        with featomic_errors("featomic does not take these hyperparameters", options.where):
            self._density = featomic.SphericalExpansion(**short)
            # What the potential is a sum of, with signs.
            self._potential = [(1.0, featomic.LodeSphericalExpansion(**far))]
            if near_cutoff is not None:
                near = near_part_hypers(near_cutoff, far["density"], far["basis"])
                self._potential.append((-1.0, featomic.SphericalExpansion(**near)))
        self._reach = max(self._soap.cutoff, near_cutoff["radius"] if near_cutoff else 0.0)
        self._sizes: list[int] = [_n_radial(short["basis"]), _n_radial(far["basis"])]
        self._n_angular: int = short["basis"]["max_angular"] + 1
        width = self._n_angular * self._sizes[0] * self._sizes[1]
        widths = {(one, other): width for one, other in product(self.species, repeat=2)}
        layout = pair_columns(self.species, widths, self._soap.per_species)
        self._columns, self._n_long = layout.columns, layout.n_features
        self.n_features = self._soap.n_features + self._n_long
        self.blocks = (Block("short", self._soap.n_features), Block("long", self._n_long))
        self.settings: Mapping[str, object] = {**self._soap.settings, "hypers": hypers}

    def check(self, structure: Atoms) -> None:
        """Refuse a structure that is not periodic in three directions."""
        if not structure.pbc.all():
            raise FeatureError(
                "LODE features exist only for structures that are periodic in three directions",
                got="pbc " + " ".join("FT"[int(flag)] for flag in structure.pbc),
                remedy="put the structures into periodic boxes, the same for all of a kind",
            )

    def n_bytes(self, structure: Atoms, gradients: Sequence[RowKind] = ()) -> int:
        """Estimate the memory that describing a structure takes."""
        n_atoms, n_channels = len(structure), self._n_angular**2 * sum(self._sizes)
        rows = n_atoms * self._n_long * (3 + 6 * ("force" in gradients))
        expansions = 2 * n_atoms * n_channels * len(self.species)
        entries = self._n_gradients(structure) if gradients else 0
        return self._soap.n_bytes(structure, gradients) + 8 * (rows + expansions + entries)

    def _n_gradients(self, structure: Atoms) -> int:
        """Numbers that are held as gradients: every atom feels every other one."""
        channels = self._n_angular**2 * sum(self._sizes) + self._sizes[0] * self._sizes[1]
        return 3 * len(structure) ** 2 * channels

    def describe(
        self, structures: Sequence[Atoms], gradients: Sequence[RowKind] = ()
    ) -> Description:
        """Compute both blocks; see `Featurizer`."""
        short = self._soap.describe(structures, gradients)
        assembly = Assembly(structures, self._n_long, gradients)
        systems = as_systems(structures, self._reach)
        numbers = np.concatenate([structure.numbers for structure in structures])
        n_numbers = sum(map(self._n_gradients, structures)) if gradients else 0
        with featomic_errors("featomic cannot describe the structures"):
            for samples in centre_parts(structures, n_numbers):
                self._describe_part(assembly, systems, numbers, samples, bool(gradients))
        far = assembly.description()
        forces = None
        if short.forces is not None and far.forces is not None:
            forces = np.concatenate([short.forces, far.forces], axis=1)
        return Description(np.concatenate([short.features, far.features], axis=1), forces)

    def _describe_part(
        self,
        assembly: Assembly,
        systems: list[Any],
        numbers: np.ndarray,
        samples: Any,
        forces: bool,
    ) -> None:
        """Join density and potential of some centres."""
        options = {"gradients": ["positions"] if forces else [], "selected_samples": samples}
        rows = np.arange(assembly.n_atoms)
        if samples is not None:
            rows = assembly.rows_of(*np.asarray(samples.values).T)
        density = Expansion(self.species, numbers, rows, self._n_angular, self._sizes[0])
        potential = Expansion(self.species, numbers, rows, self._n_angular, self._sizes[1])
        found = [(1.0, self._density.compute(systems, **options))]
        density.add(*found[0], assembly)
        others = [(sign, each.compute(systems, **options)) for sign, each in self._potential]
        for sign, tensors in others:
            potential.add(sign, tensors, assembly)
        for centre in self.species:
            atoms, values = density.joined(potential, centre)
            pairs = product(self.species, repeat=2)
            for (one, other), block in zip(pairs, values, strict=True):
                assembly.add(atoms, self._columns[centre, one, other], block)
        if forces:
            self._add_positions(assembly, found, potential, is_density=True)
            self._add_positions(assembly, others, density, is_density=False)

    def _add_positions(
        self,
        assembly: Assembly,
        terms: list[tuple[float, Any]],
        other: Expansion,
        *,
        is_density: bool,
    ) -> None:
        """Add the derivatives of one factor times the values of the other one."""
        width = self._sizes[0] * self._sizes[1]
        for sign, tensors in terms:
            for key, block in tensors.items():
                ell, centre, mine = key["o3_lambda"], key["center_type"], key["neighbor_type"]
                gradient = block.gradient("positions")
                entries = np.asarray(gradient.samples.values)
                samples = np.asarray(block.samples.values)[entries[:, 0]]
                place = other.place[assembly.rows_of(samples[:, 0], samples[:, 1])]
                moved = assembly.rows_of(entries[:, 1], entries[:, 2])
                slopes = sign * contraction_factor(ell) * np.asarray(gradient.values)
                for position, theirs in enumerate(self.species):
                    values = other.values[centre, ell][place, :, position]
                    one, second = (mine, theirs) if is_density else (theirs, mine)
                    start = self._columns[centre, one, second].start + ell * width
                    axes = "gxmp,gmq->gxpq" if is_density else "gxmq,gmp->gxpq"
                    joined = np.einsum(axes, slopes, values, optimize=True)
                    columns = slice(start, start + width)
                    assembly.add_positions(moved, columns, joined.reshape(len(moved), 3, width))


def _given(options: FeaturizerOptions) -> Any:
    """Give the hyperparameters, which have no defaults."""
    if options.hypers is None:
        raise FormatError(
            "lode needs hyperparameters",
            where="lode",
            expected="a TOML file with tables [short] (cutoff, density, basis) and [long] "
            "(density, basis, and cutoff to subtract what lies within it)",
            remedy="name it: features compute lode --hypers FILE.toml, or, with featurizer = "
            '"lode" in it, --featurizer FILE.toml (configs/lode.toml)',
        )
    return options.hypers


def _check_angular(short: dict[str, Any], far: dict[str, Any], where: str) -> None:
    """Refuse expansions that cannot be contracted."""
    angular = [each["basis"]["max_angular"] for each in (short, far)]
    if angular[0] != angular[1]:
        raise FormatError(
            "max_angular differs between short and long",
            where=where,
            expected="the same in both",
            got=f"{angular[0]} and {angular[1]}",
        )


def _n_radial(basis: dict[str, Any]) -> int:
    """Count the radial functions of a basis."""
    radial = basis["radial"]
    if radial["type"] == "Gto":
        return int(radial["max_radial"]) + 1
    return len(radial["points"][0]["values"])
