"""Gradients in mts files: which structure and atom each belongs to, in any order."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mts_file import MtsBlock, labels, range_labels, write_mts

from prcli.data import gradient_labels, mts_gradients
from prcli.data.mts_gradients import MtsGradients, open_gradients
from prcli.errors import FeatureError, FormatError

ONE_KEY = labels(["_"], [0])
TWO_KEYS = labels(["o3_lambda"], [0, 1])
N_ATOMS = np.array([2, 1, 3])
#: Structure and atom of each row of per-atom features.
ROWS = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
#: Row, structure and atom of some gradients: row 2 has none but of itself.
MOVES = [(0, 0, 0), (0, 0, 1), (1, 0, 1), (2, 1, 0), (3, 2, 1), (4, 2, 0), (4, 2, 2), (5, 2, 2)]


def gradients_of(n: int, *axes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *axes))


def write(
    path: Path,
    values: np.ndarray,
    samples: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    name: str = "positions",
) -> Path:
    rows = labels(["system", "atom"], ROWS) if rows is None else rows
    features = np.ones((rows.size, *values.shape[2:-1], values.shape[-1]))
    if name == "strain":
        features = np.ones((rows.size, values.shape[-1]))
    return write_mts(
        path, ONE_KEY, [MtsBlock(features, rows, ((name, MtsBlock(values, samples)),))]
    )


def totals(gradients: MtsGradients, start: int = 0, stop: int = 3) -> dict[tuple[int, int], object]:
    """Add up values by structure and atom, one label at a time."""
    found: dict[tuple[int, int], np.ndarray] = {}
    for part in gradients.parts(start, stop):
        for i, structure in enumerate(part.structure.tolist()):
            place = structure, -1 if part.atom is None else int(part.atom[i])
            shape = part.values.shape[1], gradients.n_features
            found.setdefault(place, np.zeros(shape))[:, part.columns] += part.values[i]
    return found


def check(found: dict[tuple[int, int], object], expected: dict[tuple[int, int], object]) -> None:
    assert sorted(found) == sorted(expected)
    for place in expected:
        np.testing.assert_allclose(found[place], expected[place], rtol=1e-13, atol=1e-13)


def sums_by_move(values: np.ndarray, moves: list[tuple[int, int, int]]) -> dict:
    expected: dict[tuple[int, int], object] = {}
    for value, (_, structure, atom) in zip(values, moves, strict=True):
        expected[structure, atom] = expected.get((structure, atom), 0) + value
    return expected


class TestPositions:
    @pytest.mark.parametrize(
        "names", [["sample", "system", "atom"], ["sample", "structure", "atom"], ["sample", "atom"]]
    )
    def test_labels_of_every_age(self, tmp_path: Path, names: list[str]) -> None:
        values = gradients_of(8, 3, 4)
        moves = np.array(MOVES)[:, [0, 2] if len(names) == 2 else [0, 1, 2]]
        path = write(tmp_path / "a.mts", values, labels(names, moves))
        gradients = open_gradients(path, "positions", N_ATOMS)
        assert (gradients.n_features, gradients.dtype, gradients.notes) == (4, np.float64, ())
        check(totals(gradients), sums_by_move(values, MOVES))

    def test_some_structures(self, tmp_path: Path) -> None:
        values = gradients_of(8, 3, 4)
        path = write(tmp_path / "a.mts", values, labels(["sample", "system", "atom"], MOVES))
        gradients = open_gradients(path, "positions", N_ATOMS)
        check(totals(gradients, 1, 2), sums_by_move(values[3:4], MOVES[3:4]))
        check(totals(gradients, 1, 3), sums_by_move(values[3:], MOVES[3:]))
        check(totals(gradients, 2, 2), {})

    def test_rows_that_are_structures(self, tmp_path: Path) -> None:
        moves = [(0, 0, 0), (0, 0, 1), (1, 1, 0), (2, 2, 2)]
        values = gradients_of(4, 3, 2)
        for rows in (range_labels("system", 3), range_labels("molecule", 3)):
            path = write(
                tmp_path / "a.mts", values, labels(["sample", "system", "atom"], moves), rows=rows
            )
            check(totals(open_gradients(path, "positions", N_ATOMS)), sums_by_move(values, moves))

    def test_rows_without_labels_are_in_order(self, tmp_path: Path) -> None:
        values = gradients_of(8, 3, 4)
        samples = labels(["sample", "atom"], np.array(MOVES)[:, [0, 2]])
        path = write(tmp_path / "a.mts", values, samples, rows=range_labels("center", 6))
        check(totals(open_gradients(path, "positions", N_ATOMS)), sums_by_move(values, MOVES))

    def test_axis_of_length_one_of_the_features(self, tmp_path: Path) -> None:
        values = gradients_of(8, 3, 1, 4)
        path = write(tmp_path / "a.mts", values, labels(["sample", "system", "atom"], MOVES))
        check(
            totals(open_gradients(path, "positions", N_ATOMS)), sums_by_move(values[:, :, 0], MOVES)
        )

    def test_no_gradients_at_all_are_zeros(self, tmp_path: Path) -> None:
        samples = labels(["sample", "system", "atom"], np.empty((0, 3)))
        path = write(tmp_path / "a.mts", np.empty((0, 3, 4)), samples)
        assert totals(open_gradients(path, "positions", N_ATOMS)) == {}

    @pytest.mark.parametrize("order", ["file", "shuffled"])
    @pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<i4"])
    def test_types(self, tmp_path: Path, order: str, dtype: str) -> None:
        values = (10 * gradients_of(8, 3, 4)).astype(dtype)
        moves = MOVES if order == "file" else MOVES[::-1]
        path = write(tmp_path / "a.mts", values, labels(["sample", "system", "atom"], moves))
        gradients = open_gradients(path, "positions", N_ATOMS)
        assert gradients.dtype == (np.float32 if dtype == "<f4" else np.float64)
        for part in gradients.parts(0, 3):
            assert part.values.dtype == gradients.dtype
            assert part.values.dtype.isnative
        check(totals(gradients), sums_by_move(values.astype(np.float64), moves))

    @given(
        st.permutations(range(8)), st.permutations(range(6)), st.integers(1, 9), st.integers(1, 9)
    )
    def test_order_of_rows_and_gradients_does_not_matter(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        order: list[int],
        row_order: list[int],
        n_labels: int,
        n_values: int,
    ) -> None:
        values = gradients_of(8, 3, 4)
        place = {row: i for i, row in enumerate(row_order)}
        moves = [(place[MOVES[i][0]], *MOVES[i][1:]) for i in order]
        rows = labels(["system", "atom"], [ROWS[i] for i in row_order])
        folder = tmp_path_factory.mktemp("order")
        path = write(
            folder / "a.mts", values[order], labels(["sample", "system", "atom"], moves), rows=rows
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gradient_labels, "_LABELS", n_labels)
            patch.setattr(mts_gradients, "_PART_BYTES", n_values * 3 * 4 * 8)
            gradients = open_gradients(path, "positions", N_ATOMS)
            structures = [move[1] for move in moves]
            in_order = structures == sorted(structures)
            assert gradients.notes == (() if in_order else ("gradients reordered by their labels",))
            for part in gradients.parts(0, 3):
                assert len(part.values) <= n_values
            check(totals(gradients), sums_by_move(values, MOVES))
            # Structures 1 and 2 alone: the fourth and later gradients.
            check(totals(gradients, 1, 3), sums_by_move(values[3:], MOVES[3:]))


class TestStrain:
    def test_rows_of_atoms(self, tmp_path: Path) -> None:
        values = gradients_of(6, 3, 3, 4)
        path = write(tmp_path / "a.mts", values, range_labels("sample", 6), name="strain")
        flat = values.reshape(6, 9, 4)
        expected = {(0, -1): flat[:2].sum(0), (1, -1): flat[2], (2, -1): flat[3:].sum(0)}
        check(totals(open_gradients(path, "strain", N_ATOMS)), expected)

    def test_rows_of_structures(self, tmp_path: Path) -> None:
        values = gradients_of(2, 3, 3, 4)
        path = write(
            tmp_path / "a.mts",
            values,
            labels(["sample"], [2, 0]),
            rows=range_labels("system", 3),
            name="strain",
        )
        expected = {(2, -1): values[0].reshape(9, 4), (0, -1): values[1].reshape(9, 4)}
        check(totals(open_gradients(path, "strain", N_ATOMS)), expected)


class TestSeveralBlocks:
    def block(self, values: np.ndarray, moves: list[tuple[int, int, int]]) -> MtsBlock:
        gradient = MtsBlock(values, labels(["sample", "system", "atom"], moves))
        rows = labels(["system", "atom"], ROWS)
        return MtsBlock(np.ones((6, values.shape[-1])), rows, (("positions", gradient),))

    def test_each_has_gradients_of_its_own(self, tmp_path: Path) -> None:
        one, other = gradients_of(8, 3, 4), gradients_of(2, 3, 3, seed=1).astype(np.float32)
        blocks = [self.block(one, MOVES), self.block(other, MOVES[2:4])]
        path = write_mts(tmp_path / "a.mts", TWO_KEYS, blocks)
        gradients = open_gradients(path, "positions", N_ATOMS)
        assert (gradients.n_features, gradients.dtype) == (7, np.float64)
        expected = sums_by_move(np.pad(one, ((0, 0), (0, 0), (0, 3))), MOVES)
        for place, value in sums_by_move(other, MOVES[2:4]).items():
            expected[place][:, 4:] += value
        check(totals(gradients), expected)

    def test_block_without_gradients_is_refused(self, tmp_path: Path) -> None:
        one = self.block(gradients_of(8, 3, 4), MOVES)
        blocks = [one, MtsBlock(one.values, one.samples)]
        path = write_mts(tmp_path / "a.mts", TWO_KEYS, blocks)
        with pytest.raises(FeatureError, match="block has no such gradients") as caught:
            open_gradients(path, "positions", N_ATOMS)
        assert caught.value.where == f"{path}, block o3_lambda=1, gradients 'positions'"


class TestRefusals:
    @pytest.mark.parametrize(
        ("move", "message", "expected"),
        [
            ((6, 2, 0), "label 'sample' of a gradient is out of range", "0 to 5"),
            ((-1, 2, 0), "label 'sample' of a gradient is out of range", "0 to 5"),
            ((2, 1, 1), "label 'atom' of a gradient is out of range", "0 to 0"),
            ((2, 1, -1), "label 'atom' of a gradient is out of range", "0 to 0"),
            ((2, 2, 0), "another system than its row", "system 1"),
        ],
    )
    def test_labels_of_what_is_not_there(
        self, tmp_path: Path, move: tuple[int, int, int], message: str, expected: str
    ) -> None:
        moves = [*MOVES[:3], move]
        path = write(
            tmp_path / "a.mts", gradients_of(4, 3, 2), labels(["sample", "system", "atom"], moves)
        )
        with pytest.raises(FeatureError, match=message) as caught:
            open_gradients(path, "positions", N_ATOMS)
        assert caught.value.expected == expected
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "names"),
        [("positions", ["sample"]), ("positions", ["atom"]), ("strain", ["system"])],
    )
    def test_labels_that_are_absent(self, tmp_path: Path, name: str, names: list[str]) -> None:
        axes = (3,) if name == "positions" else (3, 3)
        path = write(tmp_path / "a.mts", gradients_of(1, *axes, 2), labels(names, [0]), name=name)
        with pytest.raises(FormatError, match="gradients lack a label") as caught:
            open_gradients(path, name, N_ATOMS)
        assert caught.value.got == names[0]

    @pytest.mark.parametrize("shape", [(8, 4, 4), (8, 3, 3, 4), (8, 4), (7, 3, 4)])
    def test_axes_that_do_not_fit(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        samples = labels(["sample", "system", "atom"], MOVES)
        rows = labels(["system", "atom"], ROWS)
        gradient = MtsBlock(np.ones(shape), samples)
        block = MtsBlock(np.ones((6, 4)), rows, (("positions", gradient),))
        path = write_mts(tmp_path / "a.mts", ONE_KEY, [block])
        with pytest.raises(FormatError, match="do not have the axes") as caught:
            open_gradients(path, "positions", N_ATOMS)
        assert caught.value.expected == "shape (8, 3, 4)"
        assert caught.value.got == f"shape {shape}"

    def test_compressed_gradients(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.mts", gradients_of(8, 3, 4), labels(["sample", "system", "atom"], MOVES)
        )
        packed = tmp_path / "packed.mts"
        with (
            zipfile.ZipFile(path) as source,
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name in source.namelist():
                archive.writestr(name, source.read(name))
        with pytest.raises(FormatError, match="mts file is compressed"):
            open_gradients(packed, "positions", N_ATOMS)


def test_opening_reads_no_gradients(tmp_path: Path) -> None:
    n_moves = 2000
    moves = np.zeros((n_moves, 3), dtype=int)
    values = np.zeros((n_moves, 3, 400))  # 19 MB
    path = write(tmp_path / "a.mts", values, labels(["sample", "system", "atom"], moves))
    tracemalloc.start()
    try:
        gradients = open_gradients(path, "positions", N_ATOMS)
        next(gradients.parts(0, 3))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e6
