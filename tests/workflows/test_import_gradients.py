"""Import of gradient rows, against finite differences of features that are known in closed form."""

from __future__ import annotations

import json
import logging
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
from mts_file import MtsBlock, labels, range_labels, write_mts

from prcli.data.gradients import FORCE, STRESS
from prcli.data.store import open_store
from prcli.errors import FeatureError, FormatError, OutputError, RequestError
from prcli.numerics.square_root import SquareRoot
from prcli.workflows import import_gradients as module
from prcli.workflows.features_import import import_features
from prcli.workflows.import_request import ImportRequest

#: Directions along which pairs are measured, one for each of the first features: these turn
#: with no rotation, so that their derivatives by strain are not symmetric.
AXES = np.array([[1.0, 0.2, -0.3], [0.4, 1.0, 0.1], [-0.2, 0.5, 0.8], [0.3, -0.6, 0.9]])
WIDTHS = np.array([0.9, 1.2, 1.5, 1.1])
N_FEATURES = len(WIDTHS)
COUNTS = np.array([2, 3, 1, 4])
SHIFTS = np.array(list(product((-1, 0, 1), repeat=3)))
VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
N_STRUCTURES = len(COUNTS)
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])


def make_structures() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    made = []
    for count in COUNTS:
        cell = 3.0 * np.eye(3) + rng.normal(scale=0.2, size=(3, 3))
        made.append((rng.random((count, 3)) @ cell, cell))
    return made


STRUCTURES = make_structures()


def pairs(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Vectors from atom j to all images of atom k, (n, n, 27, 3)."""
    vectors = positions[np.newaxis, :, np.newaxis] - positions[:, np.newaxis, np.newaxis]
    return vectors + SHIFTS @ cell


def terms(vectors: np.ndarray) -> np.ndarray:
    """Gaussians of distances along an axis and of all, (..., D)."""
    along = vectors @ AXES.T
    square = (vectors**2).sum(axis=-1)[..., np.newaxis]
    return np.exp(-(along**2) / 2 - square / (2 * WIDTHS**2))


def features(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Features of the atoms, (n, D); what an atom and its own images add depends on strain."""
    return terms(pairs(positions, cell)).sum(axis=(1, 2))


def slopes(vectors: np.ndarray) -> np.ndarray:
    """Derivatives of `terms` by the vector, (..., 3, D)."""
    along = vectors @ AXES.T
    outer = along[..., np.newaxis, :] * AXES.T + vectors[..., :, np.newaxis] / WIDTHS**2
    return -terms(vectors)[..., np.newaxis, :] * outer


def gradients_of_centres(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """∂f_j/∂r_k, shape (n_j, n_k, 3, D)."""
    moved = slopes(pairs(positions, cell)).sum(axis=2)
    for j in range(len(positions)):
        moved[j, j] -= moved[j].sum(axis=0)
    return moved


def strains_of_centres(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """∂f_j/∂ε, shape (n_j, 3, 3, D); r goes to (1 + ε) r."""
    vectors = pairs(positions, cell)
    return np.einsum("jkiad,jkib->jabd", slopes(vectors), vectors)


def rows_by_differences(
    positions: np.ndarray, cell: np.ndarray, step: float = 1e-5
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of forces (3 n, D) and stresses (6, D), by central differences of the sums."""

    def total(moved: np.ndarray, strain: np.ndarray) -> np.ndarray:
        deformation = np.eye(3) + strain
        return features(moved @ deformation.T, cell @ deformation.T).sum(axis=0)

    unstrained = np.zeros((3, 3))
    forces = []
    for place in np.ndindex(positions.shape):
        move = np.zeros(positions.shape)
        move[place] = step
        change = total(positions + move, unstrained) - total(positions - move, unstrained)
        forces.append(-change / (2 * step))
    stresses = []
    for i, j in VOIGT:
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        change = total(positions, strain) - total(positions, -strain)
        stresses.append(change / (2 * step) / abs(np.linalg.det(cell)))
    return np.array(forces), np.array(stresses)


EXPECTED = [rows_by_differences(*structure) for structure in STRUCTURES]
FORCES = [forces for forces, _ in EXPECTED]
STRESSES = [stresses for _, stresses in EXPECTED]
ATOMS = np.concatenate([features(*structure) for structure in STRUCTURES])
BY_POSITION = np.concatenate([gradients_of_centres(*s).sum(axis=0) for s in STRUCTURES])
BY_STRAIN = np.stack([strains_of_centres(*structure).sum(axis=0) for structure in STRUCTURES])


def frame_text(structure: tuple[np.ndarray, np.ndarray], pbc: str | None = "T T T") -> str:
    positions, cell = structure
    numbers = " ".join(map(repr, cell.ravel().tolist()))
    lattice = f'Lattice="{numbers}" ' if pbc != "none" else ""
    direction = f' pbc="{pbc}"' if pbc not in (None, "none") else ""
    lines = [str(len(positions)), f"{lattice}Properties=species:S:1:pos:R:3{direction}"]
    lines += ["C " + " ".join(map(repr, row)) for row in positions.tolist()]
    return "".join(line + "\n" for line in lines)


def write_structures(name: str, periodic: tuple[str | None, ...] = ("T T T",) * 4) -> None:
    texts = [frame_text(s, pbc) for s, pbc in zip(STRUCTURES, periodic, strict=True)]
    Path(name).write_text("".join(texts))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_structures("s.xyz")
    np.save("f.npy", ATOMS)
    np.save("r.npy", BY_POSITION)
    np.save("e.npy", BY_STRAIN)
    return tmp_path


def request(structures: str = "s.xyz", **choices: object) -> ImportRequest:
    given = {"features": "f.npy", "convention": "per-atom"} | choices
    return ImportRequest(structures, "o.h5", **given)


def stored(path: str = "o.h5") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, kinds and structures of a store, checked by the reader."""
    with open_store(path) as store:
        table = store.gradients
        rows = np.array(table.rows.read(0, len(table.kind)))
        return rows, np.array(table.kind), np.array(table.structure)


def check_rows(
    forces: list[np.ndarray | None], stresses: list[np.ndarray | None], *, rtol: float = 1e-8
) -> None:
    """Compare a store with rows of each structure, None where it has none of that kind."""
    rows, kinds, owners = stored()
    blocks, expected_kinds, expected_owners = [], [], []
    for i, pair in enumerate(zip(forces, stresses, strict=True)):
        for code, block in zip((FORCE, STRESS), pair, strict=True):
            if block is not None:
                blocks.append(block)
                expected_kinds += [code] * len(block)
                expected_owners += [i] * len(block)
    np.testing.assert_array_equal(kinds, expected_kinds)
    np.testing.assert_array_equal(owners, expected_owners)
    # Central differences with steps of 1e-5: errors of 1e-10 from the step, 1e-11 from rounding.
    np.testing.assert_allclose(rows, np.concatenate(blocks), rtol=rtol, atol=1e-9)


NONE = [None] * N_STRUCTURES


def save(kind: str, name: str, array: np.ndarray) -> str:
    path = f"{name}.{kind}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "fortran":
        with open(path, "wb") as file:
            np.save(file, np.asfortranarray(array))
    elif kind == "npz":
        np.savez(path, g=array)
    elif kind == "packed":
        with open(path, "wb") as file:
            np.savez_compressed(file, g=array)
    else:
        with h5py.File(path, "w") as file:
            file["some/where"] = array
    return path


KINDS = ["npy", "fortran", "npz", "packed", "h5"]


class TestFiles:
    def test_derivatives_of_the_features_are_not_symmetric(self):
        # Else the tests below could not tell whether strains are made symmetric.
        assert np.abs(BY_STRAIN - BY_STRAIN.swapaxes(1, 2)).max() > 0.1

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("shape", [(-1, N_FEATURES), (-1, 3, N_FEATURES)])
    def test_position_gradients(self, kind, shape):
        path = save(kind, "g", BY_POSITION.reshape(shape))
        summary = import_features(request(position_gradients=path))
        assert (summary.n_force_rows, summary.n_stress_rows) == (3 * COUNTS.sum(), 0)
        check_rows(FORCES, NONE)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("shape", [(-1, 4), (-1, 9, 4), (-1, 3, 3, 4)])
    def test_strain_gradients(self, kind, shape):
        path = save(kind, "g", BY_STRAIN.reshape(shape))
        summary = import_features(request(strain_gradients=path))
        assert (summary.n_force_rows, summary.n_stress_rows) == (0, 6 * N_STRUCTURES)
        check_rows(NONE, STRESSES)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("apart", [False, True])
    def test_rows_are_taken_as_they_are(self, kind, apart):
        forces, stresses = np.concatenate(FORCES), np.stack(STRESSES)
        forces = forces.reshape(-1, 3, 4) if apart else forces
        stresses = stresses if apart else stresses.reshape(-1, 4)
        given = {"force_rows": save(kind, "a", forces), "stress_rows": save(kind, "b", stresses)}
        import_features(request(**given))
        check_rows(FORCES, STRESSES, rtol=0)
        rows, kinds, _ = stored()
        np.testing.assert_array_equal(rows[kinds == FORCE], np.concatenate(FORCES))
        np.testing.assert_array_equal(rows[kinds == STRESS], np.concatenate(STRESSES))

    def test_both_kinds_from_derivatives(self):
        import_features(request(position_gradients="r.npy", strain_gradients="e.npy"))
        check_rows(FORCES, STRESSES)
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.atoms.read(0, len(ATOMS)), ATOMS)
            assert not store.gradients.reduced

    @pytest.mark.parametrize("n_bytes", [1, 8 * 4 * 20, 1 << 20])
    def test_size_of_the_blocks_does_not_matter(self, monkeypatch, n_bytes):
        monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
        seen = []
        import_features(
            request(position_gradients="r.npy", strain_gradients="e.npy"),
            lambda *step: seen.append(step),
        )
        assert seen[-1] == ("gradients", N_STRUCTURES, N_STRUCTURES)
        check_rows(FORCES, STRESSES)

    def test_features_of_structures_have_the_same_gradients(self):
        np.save("m.npy", np.add.reduceat(ATOMS, OFFSETS[:-1]) / COUNTS[:, np.newaxis])
        import_features(
            request(
                features="m.npy",
                convention="mean",
                position_gradients="r.npy",
                strain_gradients="e.npy",
            )
        )
        check_rows(FORCES, STRESSES)

    def test_features_of_the_structures_file(self):
        comment = 'Properties=species:S:1:pos:R:3 vec="1 2 3 4" Lattice="3 0 0 0 3 0 0 0 3"'
        Path("v.xyz").write_text(f"1\n{comment}\nC 0 0 0\n")
        np.save("g.npy", np.ones((3, 4)))
        wish = request(
            "v.xyz", features=None, feature_key="vec", convention="sum", position_gradients="g.npy"
        )
        import_features(wish)
        np.testing.assert_array_equal(stored()[0], -np.ones((3, 4)))

    @pytest.mark.parametrize("chosen", [[3, 1], [2, 3], [1]])
    def test_slice_takes_structures_that_the_gradients_belong_to(self, chosen):
        text = {"3": "@3::-2", "2": "@2:", "1": "@1"}[str(chosen[0])]
        atoms = np.concatenate([np.arange(OFFSETS[i], OFFSETS[i + 1]) for i in chosen])
        np.save("f.npy", ATOMS[atoms])
        np.save("r.npy", BY_POSITION[atoms])
        np.save("e.npy", BY_STRAIN[chosen])
        import_features(
            request(f"s.xyz{text}", position_gradients="r.npy", strain_gradients="e.npy")
        )
        check_rows([FORCES[i] for i in chosen], [STRESSES[i] for i in chosen])
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.source.frame, chosen)

    @pytest.mark.parametrize(
        ("positions", "strains", "expected"),
        [("f4", "f4", "f4"), ("f4", "f8", "f8"), ("f8", "f4", "f8")],
    )
    def test_type_of_the_files_is_kept(self, positions, strains, expected):
        np.save("r.npy", BY_POSITION.astype(positions))
        np.save("e.npy", BY_STRAIN.astype(strains))
        summary = import_features(request(position_gradients="r.npy", strain_gradients="e.npy"))
        assert stored()[0].dtype == expected
        assert ("--position-gradients: float32 source" in summary.notes) == (positions == "f4")
        assert ("--strain-gradients: float32 source" in summary.notes) == (strains == "f4")
        # Six decimals of float32, of which stresses lose one in sums.
        rows = stored()[0]
        oracle = np.concatenate([np.concatenate(pair) for pair in EXPECTED])
        np.testing.assert_allclose(rows, oracle, rtol=0, atol=1e-6 * np.abs(oracle).max())

    def test_name_of_the_features_is_not_that_of_the_gradients(self):
        np.savez("f.npz", feats=ATOMS, other=ATOMS)
        import_features(request(features="f.npz", array="feats", position_gradients="r.npy"))
        check_rows(FORCES, NONE)

    def test_provenance_names_the_files(self):
        import_features(request(position_gradients="r.npy", strain_gradients="e.npy"))
        with h5py.File("o.h5") as file:
            found = json.loads(file.attrs["provenance"])
        names = [Path(entry["path"]).name for entry in found["inputs"]]
        assert names == ["s.xyz", "f.npy", "r.npy", "e.npy"]
        assert found["settings"]["position_gradients"] == "r.npy"
        assert found["settings"]["reduce_gradients"] is False


class TestPeriodicity:
    @pytest.mark.parametrize("pbc", ["T T F", "F F F", "none"])
    def test_structures_that_are_not_periodic_have_no_stress(self, caplog, pbc):
        write_structures("s.xyz", ("T T T", pbc, None, pbc))
        strains = BY_STRAIN.copy()
        strains[[1, 3]] = np.nan  # which nobody looks at
        np.save("e.npy", strains)
        with caplog.at_level(logging.WARNING):
            summary = import_features(request(position_gradients="r.npy", strain_gradients="e.npy"))
        assert "2 of 4 structures are not periodic in three directions" in caplog.text
        assert summary.n_stress_rows == 12
        check_rows(FORCES, [STRESSES[0], None, STRESSES[2], None])

    def test_rows_of_stress_are_left_out_likewise(self):
        write_structures("s.xyz", ("T T T", "T F T", "T T T", "T T T"))
        np.save("e.npy", np.stack(STRESSES))
        import_features(request(stress_rows="e.npy"))
        check_rows(NONE, [STRESSES[0], None, *STRESSES[2:]], rtol=0)

    def test_structures_that_are_left_may_have_no_stress(self):
        write_structures("s.xyz", ("T T T", "T F T", "none", "F F F"))
        strains = BY_STRAIN.copy()
        strains[0, 0, 0, 0] = np.nan
        np.save("e.npy", strains)
        summary = import_features(request(strain_gradients="e.npy", skip_invalid=True))
        assert (summary.skipped, summary.n_stress_rows) == ((0,), 0)
        assert len(stored()[0]) == 0

    def test_nothing_periodic_is_refused(self):
        write_structures("s.xyz", ("T T F", "none", "F F F", "none"))
        with pytest.raises(RequestError, match="no structure is periodic in three directions"):
            import_features(request(strain_gradients="e.npy"))
        import_features(request(position_gradients="r.npy"))
        check_rows(FORCES, NONE)


class TestNotFinite:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_force_is_named(self, value):
        gradients = BY_POSITION.copy()
        gradients[OFFSETS[3] + 2, 1, 3] = value
        np.save("r.npy", gradients)
        with pytest.raises(FeatureError, match="gradient of the force is not finite") as caught:
            import_features(request(position_gradients="r.npy"))
        assert caught.value.where == "r.npy, column 3, for s.xyz, frame 3, atom 2, axis y"
        assert caught.value.remedy is not None
        assert "--skip-invalid" in caught.value.remedy
        assert not Path("o.h5").exists()

    def test_stress_is_named(self):
        gradients = BY_STRAIN.copy()
        gradients[2, 2, 0, 1] = np.nan
        gradients[2, 0, 2, 1] = -np.inf
        np.save("e.npy", gradients)
        with pytest.raises(FeatureError, match="gradient of the stress is not finite") as caught:
            import_features(request(strain_gradients="e.npy"))
        assert caught.value.where == "e.npy, column 1, for s.xyz, frame 2, component xz"

    def test_frame_is_that_of_the_file(self):
        gradients = BY_POSITION.copy()
        gradients[0, 2, 0] = np.nan
        np.save("r.npy", np.concatenate([BY_POSITION[OFFSETS[3] :], gradients[:2]]))
        np.save("f.npy", np.concatenate([ATOMS[OFFSETS[3] :], ATOMS[:2]]))
        with pytest.raises(FeatureError, match="not finite") as caught:
            import_features(request("s.xyz@::-3", position_gradients="r.npy"))
        assert caught.value.where == "r.npy, column 0, for s.xyz, frame 0, atom 0, axis z"

    @pytest.mark.parametrize("n_bytes", [1, 1 << 20])
    @pytest.mark.parametrize("reduce", [False, True])
    def test_structures_are_left_out_and_listed(self, monkeypatch, caplog, n_bytes, reduce):
        monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
        atoms, positions, strains = ATOMS.copy(), BY_POSITION.copy(), BY_STRAIN.copy()
        positions[OFFSETS[1], 0, 0] = np.nan
        strains[0, 1, 1, 2] = np.inf
        np.save("r.npy", positions)
        np.save("e.npy", strains)
        wish = request(
            position_gradients="r.npy",
            strain_gradients="e.npy",
            skip_invalid=True,
            reduce_gradients=reduce,
        )
        summary = import_features(wish)
        assert summary.skipped == (0, 1)
        assert "2 structures left out because a feature or gradient is not finite" in caplog.text
        if not reduce:
            check_rows(FORCES[2:], STRESSES[2:])
        assert summary.n_force_rows == (3 + 4 if reduce else 3 + 12)
        with open_store("o.h5") as store:
            np.testing.assert_array_equal(store.n_atoms, COUNTS[2:])
            np.testing.assert_array_equal(store.atoms.read(0, 5), atoms[OFFSETS[2] :])

    def test_features_and_gradients_drop_structures_together(self):
        atoms, positions = ATOMS.copy(), BY_POSITION.copy()
        atoms[OFFSETS[2], 1] = np.nan
        positions[OFFSETS[3], 0, 0] = np.nan
        np.save("f.npy", atoms)
        np.save("r.npy", positions)
        summary = import_features(request(position_gradients="r.npy", skip_invalid=True))
        assert summary.skipped == (2, 3)
        check_rows(FORCES[:2], NONE[:2])

    def test_nothing_finite_is_refused(self):
        np.save("r.npy", np.full_like(BY_POSITION, np.nan))
        with pytest.raises(FeatureError, match="no structure has finite features and gradients"):
            import_features(request(position_gradients="r.npy", skip_invalid=True))


class TestReduction:
    def test_hessian_is_the_same(self):
        import_features(request(position_gradients="r.npy", strain_gradients="e.npy"))
        rows, kinds, owners = stored()
        Path("o.h5").unlink()
        wish = request(position_gradients="r.npy", strain_gradients="e.npy", reduce_gradients=True)
        summary = import_features(wish)
        # Structures of 2, 3, 1 and 4 atoms have 6, 9, 3 and 12 rows of 4 features.
        assert (summary.n_force_rows, summary.n_stress_rows) == (4 + 4 + 3 + 4, 4 * 4)
        reduced, reduced_kinds, reduced_owners = stored()
        with open_store("o.h5") as store:
            assert store.gradients.reduced
        for structure, kind in product(range(N_STRUCTURES), (FORCE, STRESS)):
            full = rows[(owners == structure) & (kinds == kind)]
            few = reduced[(reduced_owners == structure) & (reduced_kinds == kind)]
            assert len(few) == min(len(full), N_FEATURES)
            scale = np.abs(full.T @ full).max()
            np.testing.assert_allclose(few.T @ few, full.T @ full, rtol=0, atol=1e-14 * scale)
        factors = []
        for some, codes in ((rows, kinds), (reduced, reduced_kinds)):
            root = SquareRoot(N_FEATURES)
            root.add_rows(some[codes == FORCE])
            factors.append(np.abs(root.factor))
        np.testing.assert_allclose(*factors, rtol=1e-12, atol=1e-13)

    def test_single_precision_is_reduced_in_double(self):
        single = BY_POSITION.astype(np.float32)
        np.save("r.npy", single)
        import_features(request(position_gradients="r.npy", reduce_gradients=True))
        reduced, _, owners = stored()
        assert reduced.dtype == np.float64
        full = single[OFFSETS[3] :].reshape(-1, N_FEATURES).astype(np.float64)
        few = reduced[owners == 3]
        np.testing.assert_allclose(few.T @ few, full.T @ full, rtol=1e-13, atol=1e-14)

    def test_nothing_taller_than_wide_stays(self):
        np.save("f.npy", ATOMS[OFFSETS[2] : OFFSETS[3]])
        np.save("r.npy", BY_POSITION[OFFSETS[2] : OFFSETS[3]])
        summary = import_features(
            request("s.xyz@2", position_gradients="r.npy", reduce_gradients=True)
        )
        assert "none reduced" in " ".join(summary.notes)
        check_rows([FORCES[2]], [None])
        with open_store("o.h5") as store:
            assert not store.gradients.reduced

    def test_without_gradients_is_refused(self):
        with pytest.raises(RequestError, match="no gradients to reduce"):
            import_features(request(reduce_gradients=True))


#: Structure and atom of each row, and row, structure and atom of each gradient.
ROWS = [(s, a) for s, n in enumerate(COUNTS) for a in range(n)]
MOVES = [(OFFSETS[s] + j, s, k) for s, n in enumerate(COUNTS) for j in range(n) for k in range(n)]
OF_CENTRES = np.concatenate(
    [gradients_of_centres(*s).reshape(-1, 3, N_FEATURES) for s in STRUCTURES]
)
STRAINS_OF_CENTRES = np.concatenate([strains_of_centres(*s) for s in STRUCTURES])


def write_map(
    values: np.ndarray,
    samples: np.ndarray,
    positions: np.ndarray | None = None,
    moves: object = None,
    strains: np.ndarray | None = None,
    *,
    second: str = "system",
) -> str:
    gradients = []
    if positions is not None:
        of = labels(["sample", second, "atom"], moves)
        gradients.append(("positions", MtsBlock(positions, of)))
    if strains is not None:
        gradients.append(("strain", MtsBlock(strains, range_labels("sample", len(strains)))))
    block = MtsBlock(values, samples, tuple(gradients))
    return str(write_mts(Path("f.mts"), labels(["_"], [0]), [block]))


def of_structures(mean: bool) -> dict[str, object]:
    weights = COUNTS if mean else np.ones_like(COUNTS)
    sums = np.add.reduceat(ATOMS, OFFSETS[:-1])
    return {
        "values": sums / weights[:, np.newaxis],
        "samples": range_labels("system", N_STRUCTURES),
        "positions": BY_POSITION / np.repeat(weights, COUNTS)[:, np.newaxis, np.newaxis],
        "moves": [(s, s, a) for s, a in ROWS],
        "strains": BY_STRAIN / weights[:, np.newaxis, np.newaxis, np.newaxis],
    }


class TestGradientsOfTheFeatures:
    @pytest.mark.parametrize("second", ["system", "structure"])
    @pytest.mark.parametrize("n_bytes", [1, 8 * 4 * 20, 1 << 20])
    def test_rows_of_atoms_are_summed_over_centres(self, monkeypatch, second, n_bytes):
        monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
        samples = labels([second, "atom"], ROWS)
        path = write_map(ATOMS, samples, OF_CENTRES, MOVES, STRAINS_OF_CENTRES, second=second)
        summary = import_features(request(features=path, gradients=True))
        check_rows(FORCES, STRESSES)
        assert summary.notes == ()

    @pytest.mark.parametrize("convention", ["sum", "mean"])
    def test_rows_of_structures(self, caplog, convention):
        path = write_map(**of_structures(convention == "mean"))
        import_features(request(features=path, convention=convention, gradients=True))
        check_rows(FORCES, STRESSES)
        # Means of metatensor's own making have other gradients than the features.
        assert ("mean_over_samples" in caplog.text) == (convention == "mean")

    @pytest.mark.parametrize("n_bytes", [1, 1 << 20])
    def test_any_order(self, monkeypatch, n_bytes):
        monkeypatch.setattr(module, "_BLOCK_BYTES", n_bytes)
        rng = np.random.default_rng(2)
        order, row_order = rng.permutation(len(MOVES)), rng.permutation(len(ROWS))
        place = np.argsort(row_order)
        path = write_map(
            ATOMS[row_order],
            labels(["system", "atom"], np.array(ROWS)[row_order]),
            OF_CENTRES[order],
            [(place[MOVES[i][0]], *MOVES[i][1:]) for i in order],
            STRAINS_OF_CENTRES[row_order],
        )
        summary = import_features(request(features=path, gradients=True))
        check_rows(FORCES, STRESSES)
        assert "gradients reordered by their labels" in summary.notes

    def test_blocks_side_by_side_with_gradients_that_are_zero(self):
        # The second block holds the last two features, and lacks what does not move them.
        zero = [i for i, (row, _, k) in enumerate(MOVES) if row == 0 or k == 1]
        kept = np.setdiff1d(np.arange(len(MOVES)), zero)
        full = OF_CENTRES.copy()
        full[zero, :, 2:] = 0
        of = [labels(["sample", "system", "atom"], some) for some in (MOVES, np.array(MOVES)[kept])]
        samples = labels(["system", "atom"], ROWS)
        blocks = [
            MtsBlock(ATOMS[:, :2], samples, (("positions", MtsBlock(full[:, :, :2], of[0])),)),
            MtsBlock(ATOMS[:, 2:], samples, (("positions", MtsBlock(full[kept, :, 2:], of[1])),)),
        ]
        write_mts(Path("f.mts"), labels(["species"], [1, 6]), blocks)
        import_features(request(features="f.mts", gradients=True))
        expected = np.zeros((len(ROWS), 3, N_FEATURES))
        for value, (_, structure, atom) in zip(full, MOVES, strict=True):
            expected[OFFSETS[structure] + atom] -= value
        rows, kinds, _ = stored()
        assert (kinds == FORCE).all()
        np.testing.assert_allclose(rows, expected.reshape(-1, 4), rtol=1e-13, atol=1e-14)

    def test_value_that_is_not_finite(self):
        gradients = OF_CENTRES.copy()
        # Atom 1 of structure 3, as centre 2 sees it.
        at = MOVES.index((OFFSETS[3] + 2, 3, 1))
        gradients[at, 2, 0] = np.inf
        path = write_map(ATOMS, labels(["system", "atom"], ROWS), gradients, MOVES)
        with pytest.raises(FeatureError, match="gradient of the force is not finite") as caught:
            import_features(request(features=path, gradients=True))
        assert caught.value.where == (
            "f.mts, gradients 'positions', column 0, for s.xyz, frame 3, atom 1, axis z"
        )
        summary = import_features(request(features=path, gradients=True, skip_invalid=True))
        assert summary.skipped == (3,)
        check_rows(FORCES[:3], NONE[:3])

    def test_single_precision_is_kept(self):
        path = write_map(
            ATOMS.astype("f4"),
            labels(["system", "atom"], ROWS),
            OF_CENTRES.astype("f4"),
            MOVES,
        )
        import_features(request(features=path, gradients=True))
        rows = stored()[0]
        assert rows.dtype == np.float32
        # Sums are taken in float64, and rounded once.
        expected = np.zeros((len(ROWS), 3, N_FEATURES))
        for value, (_, structure, atom) in zip(OF_CENTRES.astype("f4"), MOVES, strict=True):
            expected[OFFSETS[structure] + atom] -= value
        np.testing.assert_array_equal(rows, expected.reshape(-1, 4).astype("f4"))

    def test_sum_beyond_single_precision_is_refused(self):
        gradients = np.zeros_like(OF_CENTRES, dtype="f4")
        gradients[: COUNTS[0] ** 2] = 3e38
        samples = labels(["system", "atom"], ROWS)
        path = write_map(ATOMS.astype("f4"), samples, gradients, MOVES)
        with pytest.raises(FeatureError, match="not finite"):
            import_features(request(features=path, gradients=True))

    def test_strain_may_come_from_elsewhere(self):
        path = write_map(ATOMS, labels(["system", "atom"], ROWS), OF_CENTRES, MOVES)
        import_features(request(features=path, gradients=True, strain_gradients="e.npy"))
        check_rows(FORCES, STRESSES)

    def test_without_the_option_they_are_not_read(self):
        path = write_map(ATOMS, labels(["system", "atom"], ROWS), OF_CENTRES, MOVES)
        summary = import_features(request(features=path))
        assert summary.notes == ("gradients in the file are not read without --gradients",)
        with open_store("o.h5") as store:
            assert store.gradients is None

    def test_others_are_not_read(self, caplog):
        block = MtsBlock(
            ATOMS,
            labels(["system", "atom"], ROWS),
            (
                ("cell", MtsBlock(STRAINS_OF_CENTRES, range_labels("sample", len(ROWS)))),
                ("positions", MtsBlock(OF_CENTRES, labels(["sample", "system", "atom"], MOVES))),
            ),
        )
        write_mts(Path("f.mts"), labels(["_"], [0]), [block])
        with caplog.at_level(logging.INFO):
            import_features(request(features="f.mts", gradients=True))
        assert "gradients with respect to 'cell' are not read" in caplog.text
        check_rows(FORCES, NONE)

    def test_file_of_metatensor(self):
        mts = pytest.importorskip("metatensor")

        def true_labels(names: list[str], rows: object) -> object:
            return mts.Labels(names, np.array(rows, dtype=np.int32).reshape(-1, len(names)))

        columns = true_labels(["n"], np.arange(N_FEATURES))
        xyz = [true_labels([name], np.arange(3)) for name in ("xyz", "xyz_1", "xyz_2")]
        rows = true_labels(["system", "atom"], ROWS)
        block = mts.TensorBlock(ATOMS, rows, [], columns)
        moves = true_labels(["sample", "system", "atom"], MOVES)
        block.add_gradient("positions", mts.TensorBlock(OF_CENTRES, moves, xyz[:1], columns))
        centres = true_labels(["sample"], np.arange(len(ROWS)))
        strain = mts.TensorBlock(STRAINS_OF_CENTRES, centres, xyz[:0:-1], columns)
        block.add_gradient("strain", strain)
        mts.save("true.mts", mts.TensorMap(true_labels(["_"], [0]), [block]))
        import_features(request(features="true.mts", gradients=True))
        check_rows(FORCES, STRESSES)


class TestRefusals:
    @pytest.mark.parametrize(
        ("option", "rows", "expected"),
        [
            ("force_rows", 27, "3 for each of 10 atoms: 30 rows"),
            ("position_gradients", 33, "3 for each of 10 atoms: 30 rows"),
            ("stress_rows", 36, "6 for each of 4 structures: 24 rows"),
            ("strain_gradients", 24, "9 for each of 4 structures: 36 rows"),
        ],
    )
    def test_other_number_of_rows(self, option, rows, expected):
        np.save("g.npy", np.ones((rows, N_FEATURES)))
        with pytest.raises(FeatureError, match="number of gradients does not fit") as caught:
            import_features(request(**{option: "g.npy"}))
        assert caught.value.expected == expected
        assert caught.value.got == f"{rows} rows"
        assert "--" + option.replace("_", "-") in str(caught.value)

    def test_other_axes(self):
        np.save("g.npy", BY_STRAIN)
        with pytest.raises(FeatureError, match="array is not a table of gradients") as caught:
            import_features(request(stress_rows="g.npy"))
        assert caught.value.got == "shape (4, 3, 3, 4)"

    def test_other_width(self):
        np.save("g.npy", BY_POSITION[:, :, :3])
        with pytest.raises(FeatureError, match="gradients and features differ in width") as caught:
            import_features(request(position_gradients="g.npy"))
        assert (caught.value.expected, caught.value.got) == ("4 columns, one per feature", "3")

    @pytest.mark.parametrize(
        ("one", "other"),
        [("force_rows", "position_gradients"), ("stress_rows", "strain_gradients")],
    )
    def test_one_kind_from_two_files(self, one, other):
        with pytest.raises(RequestError, match="must come from one place") as caught:
            import_features(request("absent.xyz", **{one: "a.npy", other: "b.npy"}))
        assert "--" + one.replace("_", "-") in str(caught.value)
        assert "--" + other.replace("_", "-") in str(caught.value)

    def test_one_kind_from_features_and_file(self):
        path = write_map(ATOMS, labels(["system", "atom"], ROWS), OF_CENTRES, MOVES)
        with pytest.raises(RequestError, match="force rows must come from one place") as caught:
            import_features(request(features=path, gradients=True, force_rows="r.npy"))
        assert caught.value.expected == "either --force-rows or --gradients"

    @pytest.mark.parametrize("names", [(), ("cell",)])
    def test_features_without_gradients(self, names):
        gradients = tuple(
            (name, MtsBlock(STRAINS_OF_CENTRES, range_labels("sample", len(ROWS))))
            for name in names
        )
        block = MtsBlock(ATOMS, labels(["system", "atom"], ROWS), gradients)
        write_mts(Path("f.mts"), labels(["_"], [0]), [block])
        for path in ("f.mts", *(["f.npy"] if not names else [])):
            with pytest.raises(FeatureError, match="no gradients that can be read") as caught:
                import_features(request(features=path, gradients=True))
            assert caught.value.where == path
            assert "cell" in str(caught.value.got) or not names

    def test_features_of_the_structures_file(self):
        wish = request(features=None, feature_key="pos", gradients=True)
        with pytest.raises(RequestError, match="read from the file of the features"):
            import_features(wish)

    def test_several_arrays(self):
        np.savez("g.npz", one=BY_POSITION, other=BY_POSITION)
        with pytest.raises(FormatError, match="npz file holds several arrays") as caught:
            import_features(request(position_gradients="g.npz"))
        assert caught.value.remedy == "save the array of gradients alone, in a file of its own"

    def test_output_that_is_an_input(self):
        wish = ImportRequest(
            "s.xyz",
            "r.npy",
            "f.npy",
            convention="per-atom",
            position_gradients="r.npy",
            overwrite=True,
        )
        with pytest.raises(OutputError, match="input"):
            import_features(wish)
        np.testing.assert_array_equal(np.load("r.npy"), BY_POSITION)
