from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import (
    atoms_for,
    counts_of,
    frames_of,
    species_of,
    split_frames,
    sums_of,
    write_frames,
)
from mts_file import MtsBlock, labels, write_mts

COUNTS = counts_of(6, 4)
ATOMS = atoms_for(COUNTS, 4, 4)
SUMS = sums_of(ATOMS, COUNTS)
MEANS = SUMS / COUNTS[:, np.newaxis]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(Path("s.xyz"), frames_of(COUNTS, seed=4))
    np.save("atoms.npy", ATOMS)
    return tmp_path


@pytest.fixture
def imports(prcli):
    def run(*arguments, output="o.h5", stdin=b""):
        outcome = prcli("features", "import", *arguments, "-o", output, stdin=stdin)
        assert outcome.code == 0, outcome.err
        assert outcome.out == b""
        return outcome

    return run


@pytest.fixture
def refuses(fails):
    def run(*arguments, code=1, stdin=b""):
        before = sorted(Path().iterdir())
        message = fails("features", "import", *arguments, "-o", "o.h5", code=code, stdin=stdin)
        assert sorted(Path().iterdir()) == before
        return message

    return run


@pytest.mark.parametrize(
    ("convention", "rows"), [("per-atom", ATOMS), ("mean", MEANS), ("sum", SUMS)]
)
@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
def test_every_format_in_every_convention(imports, convention, rows, kind):
    path, array = Path(f"f.{kind}"), []
    if kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, other=np.zeros((3, 2)), feats=rows)
        array = ["--array", "feats"]
    else:
        with h5py.File(path, "w") as file:
            file["a/b"] = rows
        array = ["--array", "a/b"]
    imports("s.xyz", "--features", path, *array, "--convention", convention)
    with h5py.File("o.h5") as file:
        assert file.attrs["format"] == "prcli-features"
        assert file.attrs["convention"] == ("sum" if convention == "sum" else "mean")
        assert ("atoms/features" in file) == (convention == "per-atom")
        expected = SUMS if convention == "sum" else MEANS
        np.testing.assert_allclose(file["structures/features"][...], expected, rtol=1e-14)
        np.testing.assert_array_equal(file["structures/n_atoms"][...], COUNTS)
        numbers = species_of(frames_of(COUNTS, seed=4))
        np.testing.assert_array_equal(file["atoms/species"][...], numbers)
        if convention == "per-atom":
            np.testing.assert_array_equal(file["atoms/features"][...], ATOMS)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
def test_column_of_the_structures(imports, suffix):
    name = f"f.xyz{suffix}"
    write_frames(Path(name), frames_of(COUNTS, seed=4, atoms=ATOMS))
    imports(name, "--feature-key", "feats")
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["atoms/features"][...], ATOMS)


@pytest.mark.parametrize("convention", ["mean", "sum"])
def test_vector_of_the_comment_line(imports, convention):
    comments = [f'vec="{" ".join(map(repr, row.tolist()))}"' for row in SUMS]
    write_frames(Path("f.xyz"), frames_of(COUNTS, comments=comments))
    imports("f.xyz", "--feature-key", "vec", "--convention", convention)
    with h5py.File("o.h5") as file:
        assert file.attrs["convention"] == convention
        np.testing.assert_array_equal(file["structures/features"][...], SUMS)


def test_slice_takes_structures_that_the_features_belong_to(imports, refuses):
    chosen = [4, 2, 0]
    np.save("f.npy", MEANS[chosen])
    imports("s.xyz@4::-2", "--features", "f.npy", "--convention", "mean")
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["structures/features"][...], MEANS[chosen])
        np.testing.assert_array_equal(file["source/frame"][...], chosen)
    Path("o.h5").unlink()
    np.save("f.npy", MEANS)
    assert "3" in refuses("s.xyz@4::-2", "--features", "f.npy", "--convention", "mean")


def test_structures_on_stdin(imports):
    content = Path("s.xyz").read_bytes()
    imports("-", "--features", "atoms.npy", "--convention", "per-atom", stdin=content)
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["atoms/features"][...], ATOMS)


def test_summary_on_stderr(imports):
    outcome = imports("s.xyz", "--features", "atoms.npy", "--convention", "per-atom")
    for text in ("o.h5", "6 structures", f"{COUNTS.sum()} atoms", "4 features", "float64"):
        assert text in outcome.err


def test_blocks(imports, refuses):
    command = ("s.xyz", "--features", "atoms.npy", "--convention", "per-atom", "--blocks")
    assert "5" in refuses(*command, "nu1:1,nu2:4")
    assert refuses(*command, "nu1,nu2")
    imports(*command, "nu1:1,nu2:3")
    with h5py.File("o.h5") as file:
        assert "nu1" in str(file.attrs["blocks"])


def test_float32_is_kept_and_reported(imports):
    np.save("f.npy", ATOMS.astype(np.float32))
    outcome = imports("s.xyz", "--features", "f.npy", "--convention", "per-atom")
    assert "float32" in outcome.err
    with h5py.File("o.h5") as file:
        assert file["atoms/features"].dtype == np.float32
        # Means over atoms have more digits than their atoms.
        assert file["structures/features"].dtype == np.float64


def test_eight_decimals_are_reported(imports):
    write_frames(Path("f.xyz"), frames_of(COUNTS, atoms=ATOMS.round(8)))
    assert "8 decimals" in imports("f.xyz", "--feature-key", "feats").err
    write_frames(Path("g.xyz"), frames_of(COUNTS, atoms=ATOMS))
    outcome = imports("g.xyz", "--feature-key", "feats", output="p.h5")
    assert "decimals" not in outcome.err


def test_components_of_length_one_are_squeezed(imports):
    np.save("f.npy", ATOMS[:, np.newaxis, :])
    imports("s.xyz", "--features", "f.npy", "--convention", "per-atom")
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["atoms/features"][...], ATOMS)


def test_convention_is_never_guessed(refuses):
    message = refuses("s.xyz", "--features", "atoms.npy")
    assert "--convention" in message
    assert "mean, sum or per-atom" in message


@pytest.mark.parametrize("convention", ["mean", "sum"])
def test_convention_is_checked(refuses, convention):
    message = refuses("s.xyz", "--features", "atoms.npy", "--convention", convention)
    for text in ("atoms.npy", "6", str(COUNTS.sum())):
        assert text in message


def test_features_come_from_one_place(refuses):
    message = refuses("s.xyz", code=2)
    assert "--features" in message
    assert "--feature-key" in message
    refuses("s.xyz", "--features", "atoms.npy", "--feature-key", "pos", code=2)


def test_column_is_per_atom(refuses):
    message = refuses("s.xyz", "--feature-key", "pos", "--convention", "mean")
    assert "'pos' is a per-atom column" in message


def test_vector_needs_a_convention(refuses):
    write_frames(Path("f.xyz"), frames_of([1, 1], comments=['v="1 2"']))
    assert "--convention mean or sum" in refuses("f.xyz", "--feature-key", "v")
    refuses("f.xyz", "--feature-key", "v", "--convention", "per-atom")


def test_absent_key_lists_the_keys(refuses):
    message = refuses("s.xyz", "--feature-key", "soap")
    for text in ("s.xyz, frame 0", "'soap'", "pos", "energy", "task"):
        assert text in message


def test_key_absent_in_a_later_frame(refuses):
    frames = frames_of(COUNTS, atoms=ATOMS)
    frames[3] = split_frames(Path("s.xyz").read_bytes())[3]
    write_frames(Path("f.xyz"), frames)
    message = refuses("f.xyz", "--feature-key", "feats")
    for text in ("f.xyz, frame 3", "feats", "pos"):
        assert text in message


def test_vector_absent_in_a_later_frame(refuses):
    write_frames(Path("f.xyz"), frames_of([1, 2], comments=['v="1 2"', "w=3"]))
    message = refuses("f.xyz", "--feature-key", "v", "--convention", "mean")
    for text in ("f.xyz, frame 1", "'v'", "w"):
        assert text in message


def test_width_that_changes(refuses):
    write_frames(Path("f.xyz"), frames_of([1, 2], comments=['v="1 2"', 'v="1 2 3"']))
    message = refuses("f.xyz", "--feature-key", "v", "--convention", "mean")
    for text in ("f.xyz, frame 1", "2 numbers", "3 numbers"):
        assert text in message


def test_vector_of_words(refuses):
    write_frames(Path("f.xyz"), frames_of([1, 2], comments=["v=bulk"]))
    message = refuses("f.xyz", "--feature-key", "v", "--convention", "mean")
    assert "f.xyz, frame 0" in message
    assert "'bulk'" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite(refuses, value):
    rows = ATOMS.copy()
    atom = int(np.cumsum(COUNTS)[2])
    rows[atom, 1] = value
    np.save("f.npy", rows)
    message = refuses("s.xyz", "--features", "f.npy", "--convention", "per-atom")
    for text in ("f.npy", "column 1", "s.xyz, frame 3, atom 0"):
        assert text in message
    assert "--skip-invalid" in message


def test_structures_that_are_not_finite_are_left_out_and_listed(imports):
    rows = MEANS.copy()
    rows[[1, 4], 2] = np.nan
    np.save("f.npy", rows)
    outcome = imports("s.xyz", "--features", "f.npy", "--convention", "mean", "--skip-invalid")
    assert "2 structures left out" in outcome.err
    assert "frames 1, 4" in outcome.err
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["structures/features"][...], MEANS[[0, 2, 3, 5]])
        np.testing.assert_array_equal(file["source/frame"][...], [0, 2, 3, 5])
        assert len(file["atoms/species"]) == COUNTS[[0, 2, 3, 5]].sum()


def test_nothing_finite_is_refused(refuses):
    np.save("f.npy", np.full_like(MEANS, np.nan))
    command = ("s.xyz", "--features", "f.npy", "--convention", "mean", "--skip-invalid")
    assert "no structure has finite features" in refuses(*command)


def test_pickles_are_refused(imports, refuses):
    # What numpy reads from this file would run code of the file's choosing.
    np.save("f.npy", np.array([row for row in MEANS], dtype=object), allow_pickle=True)
    message = refuses("s.xyz", "--features", "f.npy", "--convention", "mean")
    assert "--allow-pickle" in message
    imports("s.xyz", "--features", "f.npy", "--convention", "mean", "--allow-pickle")


def test_several_arrays_need_a_name(refuses):
    np.savez("f.npz", one=MEANS, two=SUMS)
    message = refuses("s.xyz", "--features", "f.npz", "--convention", "mean")
    for text in ("--array", "one", "two"):
        assert text in message
    message = refuses("s.xyz", "--features", "f.npz", "--convention", "mean", "--array", "three")
    for text in ("three", "one", "two"):
        assert text in message


def test_existing_output_is_refused(imports, fails):
    Path("o.h5").write_text("mine")
    command = ("s.xyz", "--features", "atoms.npy", "--convention", "per-atom")
    assert "--overwrite" in fails("features", "import", *command, "-o", "o.h5")
    assert Path("o.h5").read_text() == "mine"
    imports(*command, "--overwrite")
    assert h5py.is_hdf5("o.h5")


def test_standard_output_is_no_place_for_a_store(fails):
    command = ("s.xyz", "--features", "atoms.npy", "--convention", "per-atom", "-o", "-")
    assert "standard output" in fails("features", "import", *command, code=2)
    assert not Path("-").exists()


def test_without_provenance_equal_input_gives_equal_bytes(imports, folder, monkeypatch):
    command = ("s.xyz", "--features", "atoms.npy", "--convention", "per-atom", "--no-provenance")
    imports(*command)
    Path("elsewhere").mkdir()
    for name in ("s.xyz", "atoms.npy"):
        Path("elsewhere", name).write_bytes(Path(name).read_bytes())
    monkeypatch.chdir(folder / "elsewhere")
    imports(*command)
    assert Path("o.h5").read_bytes() == (folder / "o.h5").read_bytes()


def test_provenance(imports):
    imports("s.xyz", "--features", "atoms.npy", "--convention", "per-atom")
    with h5py.File("o.h5") as file:
        found = json.loads(file.attrs["provenance"])
    command = "prcli features import s.xyz --features atoms.npy --convention per-atom -o o.h5"
    assert found["command"] == command
    assert [Path(entry["path"]).name for entry in found["inputs"]] == ["s.xyz", "atoms.npy"]
    assert found["inputs"][0]["size"] == Path("s.xyz").stat().st_size
    assert found["time"].endswith("Z")


def test_imported_store_copies_frames(imports, prcli):
    frames = frames_of(COUNTS, seed=4, newline="\r\n", atoms=ATOMS)
    write_frames(Path("f.xyz.gz"), frames)
    imports("f.xyz.gz", "--feature-key", "feats")
    outcome = prcli(
        *("select", "--train", "o.h5@:3", "--target", "o.h5@3", "--pool", "o.h5@:1:-1"),
        *("-n", "2", "-o", "-"),
    )
    table = prcli(
        *("select", "--train", "o.h5@:3", "--target", "o.h5@3", "--pool", "o.h5@:1:-1", "-n", "2")
    )
    assert outcome.out == b"".join(frames[int(i)] for i in table.column("frame"))


CELL = 'Lattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3'
GRADIENTS = np.random.default_rng(5).normal(size=(int(COUNTS.sum()), 3, 4))
STRAINS = np.random.default_rng(6).normal(size=(len(COUNTS), 3, 3, 4))


def periodic_frames():
    return write_frames(Path("p.xyz"), frames_of(COUNTS, seed=4, comments=[CELL]))


def test_gradients_become_rows(imports):
    periodic_frames()
    np.save("r.npy", GRADIENTS)
    np.save("e.npy", STRAINS)
    outcome = imports(
        *("p.xyz", "--features", "atoms.npy", "--convention", "per-atom"),
        *("--position-gradients", "r.npy", "--strain-gradients", "e.npy"),
    )
    n_force_rows, n_stress_rows = 3 * COUNTS.sum(), 6 * len(COUNTS)
    assert f"{n_force_rows} force rows, {n_stress_rows} stress rows" in outcome.err
    with h5py.File("o.h5") as file:
        kind = file["gradients/kind"][...]
        rows = file["gradients/rows"][...]
        np.testing.assert_array_equal(rows[kind == 1], -GRADIENTS.reshape(-1, 4))
        stresses = rows[kind == 2].reshape(-1, 6, 4)
        np.testing.assert_allclose(stresses[:, 1], STRAINS[:, 1, 1] / 120, rtol=1e-15)
        shear = (STRAINS[:, 1, 2] + STRAINS[:, 2, 1]) / 240
        np.testing.assert_allclose(stresses[:, 3], shear, rtol=1e-15)
        owners = file["gradients/structure"][...]
        np.testing.assert_array_equal(np.bincount(owners), 3 * COUNTS + 6)


def test_gradients_of_an_mts_file(imports, refuses):
    rows = [(i, k) for i, count in enumerate(COUNTS) for k in range(count)]
    moves = [(j, i, k) for j, (i, k) in enumerate(rows)]
    gradient = MtsBlock(GRADIENTS, labels(["sample", "system", "atom"], moves))
    features = MtsBlock(ATOMS, labels(["system", "atom"], rows), (("positions", gradient),))
    write_mts(Path("f.mts"), labels(["_"], [0]), [features])
    command = ("s.xyz", "--features", "f.mts", "--convention", "per-atom")
    assert "gradients in the file are not read without --gradients" in imports(*command).err
    Path("o.h5").unlink()
    imports(*command, "--gradients")
    with h5py.File("o.h5") as file:
        np.testing.assert_array_equal(file["gradients/rows"][...], -GRADIENTS.reshape(-1, 4))
    Path("o.h5").unlink()
    np.save("r.npy", GRADIENTS)
    message = refuses(*command, "--gradients", "--force-rows", "r.npy")
    assert "either --force-rows or --gradients" in message


def test_reduced_gradients(imports):
    np.save("r.npy", -GRADIENTS)
    imports(
        *("s.xyz", "--features", "atoms.npy", "--convention", "per-atom"),
        *("--force-rows", "r.npy", "--reduce-gradients"),
    )
    with h5py.File("o.h5") as file:
        assert file["gradients"].attrs["reduced"]
        assert len(file["gradients/rows"]) == np.minimum(3 * COUNTS, 4).sum()


def test_gradients_that_are_not_finite_are_left_out(imports, refuses):
    gradients = GRADIENTS.copy()
    gradients[COUNTS[0], 1, 2] = np.nan
    np.save("r.npy", gradients)
    command = ("s.xyz", "--features", "atoms.npy", "--convention", "per-atom")
    message = refuses(*command, "--force-rows", "r.npy")
    for text in ("r.npy, column 2, for s.xyz, frame 1, atom 0, axis y", "--skip-invalid"):
        assert text in message
    outcome = imports(*command, "--force-rows", "r.npy", "--skip-invalid")
    assert "1 structure left out because a feature or gradient is not finite: frame 1\n" in (
        outcome.err
    )


def test_gradients_of_other_structures(refuses):
    np.save("r.npy", GRADIENTS[1:])
    message = refuses(
        *("s.xyz", "--features", "atoms.npy", "--convention", "per-atom"),
        *("--position-gradients", "r.npy"),
    )
    for text in ("r.npy", f"3 for each of {COUNTS.sum()} atoms", f"{3 * COUNTS.sum() - 3} rows"):
        assert text in message


def test_group_without_command_shows_help(prcli):
    outcome = prcli("features", "--help")
    assert outcome.code == 0
    assert "import" in outcome.text
