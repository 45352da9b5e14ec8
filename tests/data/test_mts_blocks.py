"""Several blocks of an mts file: rows brought together, columns shared or side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mts_file import MtsBlock, labels, range_labels, write_mts

from prcli.data.formats import open_array
from prcli.errors import FeatureError
from prcli.records import Block

#: Structures of 3, 1 and 2 atoms, and the type of each atom.
ATOM_LABELS = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [2, 0], [2, 1]])
TYPES = np.array([6, 1, 6, 1, 8, 6])
ROWS = np.random.default_rng(0).normal(size=(6, 4))
SHARED = "blocks of each center_type fill the same columns, in rows of their atoms"
SIDE_BY_SIDE = "blocks are columns side by side; what is absent from a block is zero"
ADDED = "blocks of each center_type are added up, column by column"


def block_of(chosen: np.ndarray, values: np.ndarray = ROWS) -> MtsBlock:
    samples = labels(["system", "atom"], ATOM_LABELS[chosen])
    return MtsBlock(values[chosen][:, np.newaxis, :], samples)


def by_type(values: np.ndarray = ROWS) -> list[MtsBlock]:
    return [block_of(np.flatnonzero(TYPES == number), values) for number in (1, 6, 8)]


def write(folder: Path, names: list[str], keys: object, blocks: list[MtsBlock]) -> Path:
    return write_mts(folder / "a.mts", labels(names, keys), blocks)


def test_blocks_of_centre_types_are_rows_of_one_table(tmp_path: Path) -> None:
    path = write(tmp_path, ["center_type"], [1, 6, 8], by_type())
    with open_array(path) as array:
        assert array.shape == (6, 4)
        assert array.blocks is None
        assert not array.is_added
        assert array.notes == ("component axis of length 1 squeezed", SHARED)
        np.testing.assert_array_equal(array.read(0, 6), ROWS)
        np.testing.assert_array_equal(array.read(2, 4), ROWS[2:4])
        np.testing.assert_array_equal(array.sample_structure, ATOM_LABELS[:, 0])


def test_other_keys_are_columns_side_by_side(tmp_path: Path) -> None:
    chosen = [np.array([5, 0, 3]), np.array([1, 2, 3, 4])]
    blocks = [block_of(each) for each in chosen]
    with open_array(write(tmp_path, ["neighbor_type"], [1, 6], blocks)) as array:
        assert array.blocks == (Block("neighbor_type=1", 4), Block("neighbor_type=6", 4))
        assert array.notes[-1] == SIDE_BY_SIDE
        expected = np.zeros((6, 8))
        expected[chosen[0], :4] = ROWS[chosen[0]]
        expected[chosen[1], 4:] = ROWS[chosen[1]]
        np.testing.assert_array_equal(array.read(0, 6), expected)


def test_centre_and_other_keys(tmp_path: Path) -> None:
    keys = [[centre, other] for centre in (1, 6, 8) for other in (0, 1)]
    blocks = [block_of(np.flatnonzero(TYPES == c), ROWS * (1 + 10 * other)) for c, other in keys]
    path = write(tmp_path, ["center_type", "neighbor_type"], keys, blocks)
    with open_array(path) as array:
        assert array.blocks == (Block("neighbor_type=0", 4), Block("neighbor_type=1", 4))
        assert array.notes[1:] == (SHARED, SIDE_BY_SIDE)
        np.testing.assert_array_equal(array.read(0, 6), np.hstack([ROWS, 11 * ROWS]))


def test_other_properties_are_columns_of_their_own(tmp_path: Path) -> None:
    blocks = by_type()
    wide = MtsBlock(blocks[1].values[:, :, :3], blocks[1].samples)
    path = write(tmp_path, ["center_type"], [1, 6, 8], [blocks[0], wide, blocks[2]])
    with open_array(path) as array:
        assert array.blocks == (Block("center_type=1", 4), Block("center_type=6", 3))
        expected = np.zeros((6, 7))
        expected[TYPES != 6, :4] = ROWS[TYPES != 6]
        expected[TYPES == 6, 4:] = ROWS[TYPES == 6, :3]
        np.testing.assert_array_equal(array.read(0, 6), expected)


@pytest.mark.parametrize("all_structures", [True, False])
def test_rows_of_structures_are_added(tmp_path: Path, all_structures: bool) -> None:
    first = np.arange(3) if all_structures else np.array([2, 0])
    blocks = [
        MtsBlock(ROWS[first], labels(["system"], first)),
        MtsBlock(ROWS[3:], range_labels("system", 3)),
    ]
    expected = ROWS[3:].copy()
    expected[first] += ROWS[first]
    with open_array(write(tmp_path, ["center_type"], [1, 6], blocks)) as array:
        assert array.is_added
        assert array.notes == (ADDED,)
        np.testing.assert_allclose(array.read(0, 3), expected, rtol=1e-15)


def test_block_without_rows(tmp_path: Path) -> None:
    empty = MtsBlock(np.empty((0, 4)), labels(["system", "atom"], np.empty((0, 2), int)))
    blocks = [block_of(np.arange(6)), empty]
    with open_array(write(tmp_path, ["neighbor_type"], [1, 6], blocks)) as array:
        np.testing.assert_array_equal(array.read(0, 6), np.hstack([ROWS, np.zeros((6, 4))]))


def test_all_blocks_without_rows(tmp_path: Path) -> None:
    empty = MtsBlock(np.empty((0, 4)), labels(["system", "atom"], np.empty((0, 2), int)))
    path = write(tmp_path, ["neighbor_type"], [1, 6], [empty, empty])
    with pytest.raises(FeatureError, match="array is empty"):
        open_array(path)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([[0, 1, 2], [3, 5]], "structure 2 atom 0 is missing"),
        ([[0, 1, 2], [4, 5]], "structure 1 is missing"),
        ([[0, 1, 2, 3], [3, 4, 5]], "rows carry the same label"),
        ([[0, 1, 2, 2], [3, 4, 5]], "rows carry the same label"),
    ],
)
def test_refuses_gaps_and_repetitions(
    tmp_path: Path, chosen: list[list[int]], message: str
) -> None:
    blocks = [block_of(np.array(each)) for each in chosen]
    path = write(tmp_path, ["center_type"], [1, 6], blocks)
    with pytest.raises(FeatureError, match=message) as caught:
        open_array(path)
    assert str(path) in str(caught.value)


def test_refuses_rows_without_labels(tmp_path: Path) -> None:
    blocks = [MtsBlock(ROWS[:n], range_labels("molecule", n)) for n in (6, 5)]
    path = write(tmp_path, ["neighbor_type"], [1, 6], blocks)
    with pytest.raises(FeatureError, match="no label of their structure"):
        open_array(path)


@settings(max_examples=50)
@given(st.data())
def test_any_order_of_rows_and_any_run(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("mts")
    n_atoms = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    pairs = np.array([(s, a) for s, n in enumerate(n_atoms) for a in range(n)])
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    kinds = rng.integers(0, 3, size=len(pairs))
    others = rng.random((2, len(pairs))) < 0.7
    values = rng.normal(size=(2, len(pairs), 3))
    others[0] |= ~others[1]
    keys, blocks = [], []
    expected = np.zeros((len(pairs), 6))
    for kind in range(3):
        for other in range(2):
            chosen = rng.permutation(np.flatnonzero((kinds == kind) & others[other]))
            expected[chosen, 3 * other : 3 * other + 3] = values[other][chosen]
            keys.append([kind, other])
            samples = labels(["system", "atom"], pairs[chosen])
            blocks.append(MtsBlock(values[other][chosen], samples))
    with open_array(write(folder, ["center_type", "neighbor_type"], keys, blocks)) as array:
        start = data.draw(st.integers(0, len(pairs)))
        stop = data.draw(st.integers(start, len(pairs)))
        np.testing.assert_array_equal(array.read(start, stop), expected[start:stop])


def test_agrees_with_metatensor(tmp_path: Path) -> None:
    mts = pytest.importorskip("metatensor")
    keys = [[centre, other] for centre in (1, 6, 8) for other in (0, 1)]
    made = []
    for centre, other in keys:
        block = block_of(np.flatnonzero(TYPES == centre), ROWS * (1 + 10 * other))
        samples = np.ascontiguousarray(block.samples).view("<i4").reshape(-1, 2)
        made.append(
            mts.TensorBlock(
                values=np.ascontiguousarray(block.values[:, 0]),
                samples=mts.Labels(["system", "atom"], samples),
                components=[],
                properties=mts.Labels.range("n", 4),
            )
        )
    true = mts.TensorMap(mts.Labels(["center_type", "neighbor_type"], np.array(keys)), made)
    true.save(str(tmp_path / "a.mts"))
    merged = true.keys_to_samples("center_type").keys_to_properties("neighbor_type").block()
    order = np.lexsort(merged.samples.values[:, 1::-1].T)
    with open_array(tmp_path / "a.mts") as array:
        np.testing.assert_array_equal(array.read(0, 6), merged.values[order])
