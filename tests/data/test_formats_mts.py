"""The mts format: blocks, labels, and the order of rows."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mts_file import MtsBlock, labels, range_labels, write_mts

from prcli.data import sample_order
from prcli.data.formats import open_array
from prcli.data.sample_order import SampleLabels, sorting_order
from prcli.errors import FeatureError, FormatError, InputFileError
from prcli.records import Block

ONE_KEY = labels(["_"], [0])
TWO_KEYS = labels(["o3_lambda", "species"], [[0, 1], [0, 6]])
#: Atoms of structures of 2, 1 and 3 atoms.
ATOM_LABELS = [[0, 0], [0, 1], [1, 0], [2, 0], [2, 1], [2, 2]]


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(6, 4))


def write_one(
    folder: Path, values: np.ndarray, samples: np.ndarray, **options: tuple[tuple[str, MtsBlock]]
) -> Path:
    return write_mts(folder / "no_suffix", ONE_KEY, [MtsBlock(values, samples, **options)])


class TestOneBlock:
    def test_reads_structures(self, tmp_path: Path, rows: np.ndarray) -> None:
        with open_array(write_one(tmp_path, rows, range_labels("system", 6))) as array:
            assert array.shape == (6, 4)
            assert array.notes == ()
            assert array.blocks is None
            np.testing.assert_array_equal(array.read(1, 5), rows[1:5])
            np.testing.assert_array_equal(array.sample_structure, np.arange(6))

    def test_reads_atoms(self, tmp_path: Path, rows: np.ndarray) -> None:
        samples = labels(["system", "atom"], ATOM_LABELS)
        with open_array(write_one(tmp_path, rows, samples)) as array:
            assert array.notes == ()
            assert array.sample_structure is not None
            assert array.sample_structure.dtype == np.int64
            np.testing.assert_array_equal(array.sample_structure, [0, 0, 1, 2, 2, 2])
            np.testing.assert_array_equal(array.read(0, 6), rows)

    def test_squeezes_components(self, tmp_path: Path, rows: np.ndarray) -> None:
        single = rows.astype(np.float32)[:, np.newaxis, :]
        with open_array(write_one(tmp_path, single, range_labels("structure", 6))) as array:
            assert array.notes == ("float32 source", "component axis of length 1 squeezed")
            np.testing.assert_array_equal(array.read(2, 4), single[2:4, 0])

    def test_refuses_components_that_rotate(self, tmp_path: Path) -> None:
        path = write_one(tmp_path, np.ones((2, 3, 4)), range_labels("system", 2))
        with pytest.raises(FeatureError, match="not a table of feature rows"):
            open_array(path)

    def test_names_its_gradients(self, tmp_path: Path, rows: np.ndarray) -> None:
        gradient = MtsBlock(rows[:2], labels(["sample", "atom"], [[0, 0], [1, 0]]))
        path = write_one(
            tmp_path, rows, range_labels("system", 6), gradients=(("positions", gradient),)
        )
        with open_array(path) as array:
            assert array.gradient_names == ("positions",)
            assert array.notes == ()
            np.testing.assert_array_equal(array.read(0, 6), rows)

    def test_is_no_array_of_gradients(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = write_one(tmp_path, rows, range_labels("system", 6))
        with pytest.raises(FormatError, match="no array of gradients") as caught:
            open_array(path, components=(3,))
        assert "--features FILE --gradients" in str(caught.value)

    def test_says_that_labels_are_absent(self, tmp_path: Path, rows: np.ndarray) -> None:
        samples = labels(["molecule"], np.arange(6)[::-1])
        with open_array(write_one(tmp_path, rows, samples)) as array:
            assert array.notes == ("no labels of structures: rows taken in the order of the file",)
            assert array.sample_structure is None
            np.testing.assert_array_equal(array.read(0, 6), rows)


class TestOrder:
    def test_reorders_structures(self, tmp_path: Path, rows: np.ndarray) -> None:
        samples = labels(["system"], [3, 0, 5, 1, 2, 4])
        with open_array(write_one(tmp_path, rows, samples)) as array:
            assert array.notes == ("rows reordered by their labels (system)",)
            np.testing.assert_array_equal(array.read(0, 4), rows[[1, 3, 4, 0]])
            np.testing.assert_array_equal(array.read(4, 6), rows[[5, 2]])
            np.testing.assert_array_equal(array.sample_structure, np.arange(6))

    def test_reorders_atoms(self, tmp_path: Path, rows: np.ndarray) -> None:
        shuffled = np.random.default_rng(2).permutation(6)
        samples = labels(["structure", "atom"], np.array(ATOM_LABELS)[shuffled])
        with open_array(write_one(tmp_path, rows[shuffled], samples)) as array:
            assert array.notes == ("rows reordered by their labels (structure, atom)",)
            np.testing.assert_array_equal(array.read(0, 6), rows)
            np.testing.assert_array_equal(array.sample_structure, [0, 0, 1, 2, 2, 2])

    @pytest.mark.parametrize(
        ("names", "rows_of_labels", "message"),
        [
            (["system"], [0, 1, 3], "structure 2 is missing"),
            (["system"], [3, 1, 2], "structure 0 is missing"),
            (["system"], [0, 1, 1], "rows carry the same label"),
            (["system"], [-1, 0, 1], "row has a negative label"),
            (["system", "atom"], [[0, 0], [2, 0], [2, 1]], "structure 1 is missing"),
            (["system", "atom"], [[1, 0], [1, 1], [2, 0]], "structure 0 is missing"),
            (["system", "atom"], [[0, 0], [0, 2], [1, 0]], "structure 0 atom 1 is missing"),
            (["system", "atom"], [[0, 0], [1, 1], [1, 2]], "structure 1 atom 0 is missing"),
            (["system", "atom"], [[0, 1], [0, 2], [1, 0]], "structure 0 atom 0 is missing"),
            (["system", "atom"], [[0, 0], [1, 0], [0, 0]], "rows carry the same label"),
            (["system", "atom"], [[0, -1], [0, 0], [0, 1]], "row has a negative label"),
        ],
    )
    def test_refuses_gaps(
        self, tmp_path: Path, names: list[str], rows_of_labels: list[object], message: str
    ) -> None:
        path = write_one(tmp_path, np.ones((3, 2)), labels(names, rows_of_labels))
        with pytest.raises(FeatureError, match=message) as caught:
            open_array(path)
        assert str(path) in str(caught.value)

    @given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 7), st.randoms())
    def test_order_sorts_in_blocks_of_any_length(
        self, n_atoms: list[int], n_block: int, random: object
    ) -> None:
        pairs = [(s, a) for s, n in enumerate(n_atoms) for a in range(n)]
        shuffled = list(pairs)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sample_order, "_ROWS", n_block)
            found = SampleLabels.of(labels(["system", "atom"], shuffled), "f.mts")
            assert found is not None
            order = sorting_order(found)
        assert (order is None) == (shuffled == pairs)
        assert [shuffled[i] for i in (range(len(pairs)) if order is None else order)] == pairs


class TestSeveralBlocks:
    def test_joins_columns(self, tmp_path: Path, rows: np.ndarray) -> None:
        samples = labels(["system"], [5, 4, 3, 2, 1, 0])
        blocks = [MtsBlock(rows[:, np.newaxis, :n], samples) for n in (4, 3)]
        with open_array(write_mts(tmp_path / "a.mts", TWO_KEYS, blocks)) as array:
            assert array.blocks == (
                Block("o3_lambda=0/species=1", 4),
                Block("o3_lambda=0/species=6", 3),
            )
            assert array.notes == (
                "component axis of length 1 squeezed",
                "rows reordered by their labels (system)",
            )
            joined = np.hstack([rows, rows[:, :3]])[::-1]
            np.testing.assert_array_equal(array.read(0, 6), joined)
            np.testing.assert_array_equal(array.read(2, 4), joined[2:4])

    def test_joins_types(self, tmp_path: Path, rows: np.ndarray) -> None:
        samples = range_labels("system", 6)
        blocks = [MtsBlock(rows, samples), MtsBlock(rows.astype(np.float32), samples)]
        with open_array(write_mts(tmp_path / "a.mts", TWO_KEYS, blocks)) as array:
            assert array.dtype == np.float64
            assert array.notes == ("float32 source",)
            np.testing.assert_array_equal(array.read(0, 6)[:, 4:], rows.astype(np.float32))

    def test_refuses_labels_of_other_names(self, tmp_path: Path, rows: np.ndarray) -> None:
        blocks = [
            MtsBlock(rows, range_labels("system", 6)),
            MtsBlock(rows, labels(["system", "atom"], ATOM_LABELS)),
        ]
        path = write_mts(tmp_path / "a.mts", TWO_KEYS, blocks)
        with pytest.raises(FeatureError, match="labels of different names") as caught:
            open_array(path)
        assert caught.value.got == "system and system, atom"

    def test_compares_labels_beyond_the_first_rows(
        self, tmp_path: Path, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("prcli.data.mts_archive._COMPARED_ROWS", 4)
        other = labels(["system"], [0, 1, 2, 3, 5, 4])
        blocks = [MtsBlock(rows, range_labels("system", 6)), MtsBlock(rows, other)]
        with open_array(write_mts(tmp_path / "a.mts", TWO_KEYS, blocks)) as array:
            np.testing.assert_array_equal(array.read(4, 6)[:, 4:], rows[[5, 4]])


class TestDamage:
    def test_refuses_map_without_blocks(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.mts", "w") as archive:
            archive.writestr("blocks/", "")
            with archive.open("keys.npy", "w") as member:
                np.save(member, labels(["_"], []))
        with pytest.raises(FeatureError, match="holds no blocks"):
            open_array(tmp_path / "a.mts")

    def test_refuses_missing_block(self, tmp_path: Path, rows: np.ndarray) -> None:
        block = MtsBlock(rows, range_labels("system", 6))
        path = write_mts(tmp_path / "a.mts", TWO_KEYS, [block])
        with pytest.raises(FormatError, match="missing from the mts file") as caught:
            open_array(path)
        assert caught.value.expected == "blocks/1/values.npy"

    def test_refuses_labels_that_do_not_fit(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = write_one(tmp_path, rows, range_labels("system", 5))
        with pytest.raises(FormatError, match="labels and values of a block do not fit"):
            open_array(path)

    def test_refuses_labels_without_names(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = write_one(tmp_path, rows, np.arange(6))
        with pytest.raises(FormatError, match="labels are not a structured array"):
            open_array(path)

    def test_refuses_compressed_file(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = write_one(tmp_path, rows, range_labels("system", 6))
        packed = tmp_path / "packed.mts"
        with (
            zipfile.ZipFile(path) as source,
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name in source.namelist():
                archive.writestr(name, source.read(name))
        with pytest.raises(FormatError, match="mts file is compressed"):
            open_array(packed)

    def test_refuses_truncated_file(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = write_one(tmp_path, rows, range_labels("system", 6))
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(InputFileError, match="zip archive is truncated"):
            open_array(path)

    def test_refuses_array_name(self, tmp_path: Path, rows: np.ndarray) -> None:
        path = write_one(tmp_path, rows, range_labels("system", 6))
        with pytest.raises(FormatError, match="not chosen by name"):
            open_array(path, array="blocks/0")


class TestParity:
    def test_writer_gives_the_bytes_of_metatensor(self, tmp_path: Path, rows: np.ndarray) -> None:
        mts = pytest.importorskip("metatensor")

        def true_labels(fields: np.ndarray) -> object:
            return mts.Labels(list(fields.dtype.names), fields.view("<i4").reshape(fields.size, -1))

        def true_block(block: MtsBlock) -> object:
            made = mts.TensorBlock(
                values=np.ascontiguousarray(block.values),
                samples=true_labels(block.samples),
                components=[
                    true_labels(range_labels(f"c{i}", length))
                    for i, length in enumerate(block.values.shape[1:-1])
                ],
                properties=true_labels(range_labels("properties", block.values.shape[-1])),
            )
            for name, gradient in block.gradients:
                made.add_gradient(name, true_block(gradient))
            return made

        samples = labels(["system", "atom"], ATOM_LABELS)
        at = labels(["sample", "atom"], [[0, 0], [1, 0]])
        blocks = [
            MtsBlock(values, samples, (("positions", MtsBlock(values[:2], at)),))
            for values in (rows[:, np.newaxis, :], rows[:, np.newaxis, :3])
        ]
        ours = write_mts(tmp_path / "ours.mts", TWO_KEYS, blocks)
        true_map = mts.TensorMap(true_labels(TWO_KEYS), [true_block(block) for block in blocks])
        true_map.save(str(tmp_path / "true.mts"))
        assert ours.read_bytes() == (tmp_path / "true.mts").read_bytes()

        shutil.copy(tmp_path / "true.mts", tmp_path / "renamed.npy")
        with open_array(tmp_path / "renamed.npy") as array:
            first, second = (np.asarray(block.values) for block in true_map.blocks())
            np.testing.assert_array_equal(array.read(0, 6), np.hstack([first[:, 0], second[:, 0]]))
