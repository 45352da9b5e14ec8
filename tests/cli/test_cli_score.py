from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import counts_of, gradients_of, split_frames, write_store

from prcli.data.hessian_file import read_hessian, write_hessian

pytestmark = pytest.mark.usefixtures("hessian")


@pytest.fixture
def hessian(workplace, prcli):
    assert prcli("hessian", "train.h5", "-o", "h.h5").code == 0
    return workplace


@pytest.fixture
def calibrated(hessian):
    from dataclasses import replace

    write_hessian("c.h5", replace(read_hessian("h.h5"), alpha_energy=0.125), None)
    return "c.h5"


def expected_rigidities(rows: np.ndarray) -> np.ndarray:
    """1/(g H⁻¹ g) with H written out, from the file's numbers."""
    record = read_hessian("h.h5")
    factor = record.R["energy"] / record.scale
    matrix = factor.T @ factor + record.regularizer * np.eye(len(factor))
    g = rows / record.scale
    return 1.0 / np.einsum("ij,ij->i", g, np.linalg.solve(matrix, g.T).T)


def test_columns_of_structures(prcli):
    outcome = prcli("score", "h.h5", "pool.h5")
    assert outcome.table[0] == ["index", "source", "frame", "n_atoms", "pr", "rank"]
    assert len(outcome.table) == 13


def test_least_rigid_first(prcli):
    outcome = prcli("score", "h.h5", "pool.h5")
    values = [float(text) for text in outcome.column("pr")]
    assert values == sorted(values)
    assert outcome.column("rank") == [str(i) for i in range(1, 13)]
    assert set(outcome.column("source")) == {"pool.xyz"}


def test_values_are_those_of_the_formula(prcli):
    with h5py.File("pool.h5") as file:
        rows = file["structures/features"][...]
        n_atoms = file["structures/n_atoms"][...]
    outcome = prcli("score", "h.h5", "pool.h5", "--order", "file")
    expected = expected_rigidities(rows)
    np.testing.assert_allclose(np.array(outcome.column("pr"), float), expected, rtol=1e-10)
    assert outcome.column("index") == outcome.column("frame") == [str(i) for i in range(12)]
    assert outcome.column("n_atoms") == [str(n) for n in n_atoms]


def test_index_counts_the_set_and_frame_the_file(prcli):
    outcome = prcli("score", "h.h5", "pool.h5@2:9:3", "target.h5@::-1", "--order", "file")
    assert outcome.column("index") == [str(i) for i in range(7)]
    assert outcome.column("frame") == ["2", "5", "8", "3", "2", "1", "0"]
    assert outcome.column("source") == ["pool.xyz"] * 3 + ["target.xyz"] * 4


def test_columns_of_atoms(prcli):
    outcome = prcli("score", "h.h5", "target.h5", "--per", "atom", "--order", "file")
    assert outcome.table[0] == ["index", "source", "frame", "atom", "species", "lpr", "rank"]
    with h5py.File("target.h5") as file:
        rows = file["atoms/features"][...]
        counts = file["structures/n_atoms"][...]
    np.testing.assert_allclose(
        np.array(outcome.column("lpr"), float), expected_rigidities(rows), rtol=1e-10
    )
    assert outcome.column("atom") == [str(k) for n in counts for k in range(n)]
    symbols = [
        line.split()[0].decode()
        for frame in split_frames(Path("target.xyz").read_bytes())
        for line in frame.splitlines()[2:]
    ]
    assert outcome.column("species") == symbols


@pytest.mark.parametrize(
    ("energy", "per", "name"),
    [
        ("per-atom", "structure", "sigma_eV_per_atom"),
        ("total", "structure", "sigma_eV"),
        ("per-atom", "atom", "sigma_eV"),
    ],
)
def test_calibrated_hessian_adds_sigma(prcli, hessian, energy, per, name):
    from dataclasses import replace

    prcli("hessian", "train.h5", "-o", "e.h5", "--energy", energy)
    write_hessian("c.h5", replace(read_hessian("e.h5"), alpha_energy=0.125), None)
    outcome = prcli("score", "c.h5", "pool.h5", "--per", per)
    assert outcome.table[0][-1] == name
    rigidity = np.array(outcome.column("pr" if per == "structure" else "lpr"), float)
    np.testing.assert_allclose(np.array(outcome.column(name), float), 0.125 / np.sqrt(rigidity))


def test_other_numbers_end_the_calibration(prcli, calibrated):
    for option in (("--regularizer", "1e-3"), ("--scale", "3")):
        outcome = prcli("score", calibrated, "pool.h5", *option)
        assert outcome.code == 0
        assert outcome.table[0][-1] == "rank", option
        assert "calibration" in outcome.err


def test_rebuilding_with_other_numbers_ends_the_calibration(prcli, calibrated):
    outcome = prcli("hessian", calibrated, "-o", "d.h5", "--regularizer", "1e-3")
    assert "calibration" in outcome.err
    assert read_hessian("d.h5").alpha_energy is None


def test_top_and_below(prcli):
    everything = prcli("score", "h.h5", "pool.h5").table
    assert prcli("score", "h.h5", "pool.h5", "--top", "3").table == everything[:4]
    limit = everything[5][4]
    below = prcli("score", "h.h5", "pool.h5", "--below", limit).table
    assert below == everything[:5]
    both = prcli("score", "h.h5", "pool.h5", "--below", limit, "--top", "2", "--order", "file")
    assert sorted(both.column("rank")) == ["1", "2"]
    assert prcli("score", "h.h5", "pool.h5", "--below", "0").table == everything[:1]


def test_above(prcli):
    everything = prcli("score", "h.h5", "pool.h5").table
    limit = everything[5][4]
    assert prcli("score", "h.h5", "pool.h5", "--above", limit).table[1:] == everything[6:]
    between = prcli("score", "h.h5", "pool.h5", "--above", limit, "--below", everything[8][4])
    assert between.table[1:] == everything[6:8]
    assert prcli("score", "h.h5", "pool.h5", "--above", limit, "--top", "1").table[1:] == [
        everything[6]
    ]


def test_limits_of_sigma(prcli, calibrated):
    everything = prcli("score", calibrated, "pool.h5").table
    limit = everything[5][-1]
    above = prcli("score", calibrated, "pool.h5", "--above-sigma", limit)
    assert above.table[1:] == everything[1:5]
    assert min(map(float, above.column("sigma_eV_per_atom"))) > float(limit)
    below = prcli("score", calibrated, "pool.h5", "--below-sigma", limit)
    assert below.table[1:] == everything[6:]
    # Those without the ending are of the rigidity, calibrated or not.
    plain = prcli("score", calibrated, "pool.h5", "--below", everything[5][4])
    assert plain.table[1:] == everything[1:5]


def test_limits_of_sigma_need_calibration(prcli, fails, calibrated):
    assert "prcli calibrate" in fails("score", "h.h5", "pool.h5", "--above-sigma", "0.1")
    # Another regularizer ends the calibration.
    command = ("score", calibrated, "pool.h5", "--above-sigma", "0.1", "--regularizer", "1e-3")
    assert "not calibrated" in fails(*command)


def test_top_below_one_is_refused(fails):
    assert "--top" in fails("score", "h.h5", "pool.h5", "--top", "0")


@pytest.mark.parametrize("per", ["structure", "atom"])
def test_formats_hold_the_same_numbers(prcli, per):
    command = ("score", "h.h5", "pool.h5", "--per", per)
    tsv = prcli(*command, "--format", "tsv")
    assert prcli(*command).out == tsv.out
    found = list(csv.reader(io.StringIO(prcli(*command, "--format", "csv").text)))
    assert found == tsv.table
    rows = [json.loads(line) for line in prcli(*command, "--format", "jsonl").text.splitlines()]
    assert [list(row) for row in rows] == [tsv.table[0]] * len(rows)
    name = "pr" if per == "structure" else "lpr"
    assert [row[name] for row in rows] == [float(text) for text in tsv.column(name)]
    assert [repr(row[name]) for row in rows] == tsv.column(name)
    text = prcli(*command, "--format", "table").text
    assert text.splitlines()[0].split() == tsv.table[0]
    assert len(text.splitlines()) == len(tsv.table)


def test_rows_of_zeros_are_spelled_inf(prcli):
    with h5py.File("pool.h5", "r+") as file:
        del file.attrs["content_digest"]
        file["structures/features"][4] = 0.0
    outcome = prcli("score", "h.h5", "pool.h5", "--order", "file")
    assert outcome.column("pr")[4] == "inf"
    assert outcome.column("rank")[4] == "12"
    assert "1 row is zero" in outcome.err
    line = prcli("score", "h.h5", "pool.h5", "--format", "jsonl").text.splitlines()[-1]
    assert json.loads(line)["pr"] == "inf"


def test_training_structures_are_warned_of(prcli):
    outcome = prcli("score", "h.h5", "pool.h5", "train.h5@:4")
    assert outcome.code == 0
    assert "warning: 4 of 16 structures of the scored set are in the training set" in outcome.err


def test_write_adds_keys_and_touches_nothing_else(prcli):
    outcome = prcli("score", "h.h5", "pool.h5@::5", "target.h5", "--write", "w.xyz", "--order=file")
    assert outcome.code == 0
    sources = {name: split_frames(Path(name).read_bytes()) for name in ("pool.xyz", "target.xyz")}
    written = split_frames(Path("w.xyz").read_bytes())
    assert len(written) == len(outcome.table) - 1
    for row, frame in zip(outcome.table[1:], written, strict=True):
        original = sources[row[1]][int(row[2])]
        assert frame.count(b" prcli_pr=") == 1
        assert frame.replace(b" prcli_pr=" + row[4].encode(), b"") == original


def test_write_adds_sigma_of_a_calibrated_hessian(prcli, calibrated):
    outcome = prcli("score", calibrated, "target.h5", "--write", "w.xyz", "--order", "file")
    for frame, sigma in zip(
        split_frames(Path("w.xyz").read_bytes()),
        outcome.column("sigma_eV_per_atom"),
        strict=True,
    ):
        assert f" prcli_sigma={sigma}".encode() in frame.splitlines()[1]


def test_write_adds_one_column_of_atoms(prcli):
    outcome = prcli(
        "score", "h.h5", "target.h5", "--per", "atom", "--write", "w.xyz", "--order=file"
    )
    values = iter(outcome.column("lpr"))
    originals = split_frames(Path("target.xyz").read_bytes())
    for frame, original in zip(split_frames(Path("w.xyz").read_bytes()), originals, strict=True):
        head, line, *rows = frame.splitlines()
        assert head == original.splitlines()[0]
        assert line.replace(b":prcli_lpr:R:1", b"") == original.splitlines()[1]
        for row, before in zip(rows, original.splitlines()[2:], strict=True):
            assert row.startswith(before)
            assert row[len(before) :].split() == [next(values).encode()]


def test_plain_frames_get_properties(prcli):
    frame = b"2\r\nno keys at all\r\nC 0 0 0\r\nH 0 0 1\r\n"
    Path("plain.xyz").write_bytes(frame)
    prcli_rows = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]])
    np.save("plain.npy", prcli_rows)
    command = ("features", "import", "plain.xyz", "--features", "plain.npy")
    assert prcli(*command, "--convention", "per-atom", "-o", "plain.h5").code == 0
    assert prcli("score", "h.h5", "plain.h5", "--per", "atom", "--write", "w.xyz").code == 0
    head, line, *rows = Path("w.xyz").read_bytes().split(b"\r\n")
    assert head == b"2"
    assert b"Properties=species:S:1:pos:R:3:prcli_lpr:R:1" in line
    assert rows[0].startswith(b"C 0 0 0 ")


def test_written_file_can_be_scored_and_written_again(prcli):
    prcli("score", "h.h5", "target.h5", "--write", "w.xyz")
    again = prcli("score", "h.h5", "target.h5", "--structures", "w.xyz", "--write", "v.xyz")
    assert again.code == 0
    assert Path("v.xyz").read_bytes() == Path("w.xyz").read_bytes()


def test_existing_output_is_refused(prcli, fails):
    Path("w.xyz").write_text("mine")
    assert "--overwrite" in fails("score", "h.h5", "pool.h5", "--write", "w.xyz")
    assert Path("w.xyz").read_text() == "mine"
    assert prcli("score", "h.h5", "pool.h5", "--write", "w.xyz", "--overwrite").code == 0


def test_standard_output_carries_the_table(fails):
    assert "--write" in fails("score", "h.h5", "pool.h5", "--write", "-")
    assert not Path("-").exists()


def test_source_that_has_changed_is_refused_before_work(fails):
    with open("pool.xyz", "ab") as file:
        file.write(b"\n")
    message = fails("score", "h.h5", "pool.h5", "--write", "w.xyz")
    assert "pool.xyz" in message
    assert "--structures" in message
    assert not Path("w.xyz").exists()


def test_table_needs_no_structures_file(prcli):
    Path("pool.xyz").unlink()
    assert prcli("score", "h.h5", "pool.h5").column("source")[0] == "pool.xyz"


def test_atoms_need_features_of_atoms(fails):
    write_store(Path("means.h5"), per_atom=False)
    message = fails("score", "h.h5", "means.h5", "--per", "atom")
    assert "means.h5" in message
    assert "per-atom" in message


def test_other_width_is_refused(fails):
    write_store(Path("wide.h5"), n_features=4)
    message = fails("score", "h.h5", "wide.h5")
    for text in ("wide.h5", "3 features", "4 features"):
        assert text in message


def test_other_blocks_are_refused(prcli, fails):
    from prcli.records import Block

    for name, blocks in (("one", [Block("a", 1), Block("b", 2)]), ("two", [Block("c", 3)])):
        write_store(Path(f"{name}.h5"), blocks=blocks)
    prcli("hessian", "one.h5", "-o", "b.h5")
    message = fails("score", "b.h5", "two.h5")
    assert "a:1,b:2" in message
    assert "c:3" in message


@pytest.mark.parametrize("name", ["pool.h5", "pool.xyz", "absent.h5"])
def test_first_argument_must_be_a_hessian_file(fails, name):
    assert name in fails("score", name, "pool.h5")


def test_hessian_as_data_is_refused(fails):
    assert "a prcli Hessian file" in fails("score", "h.h5", "h.h5")


def test_features_on_stdin(prcli):
    from builders import atoms_for, frames_of

    counts = counts_of(4, 2)
    content = b"".join(frames_of(counts, seed=2, atoms=atoms_for(counts, 3, 2)))
    piped = prcli("score", "h.h5", "-", "--feature-key", "feats", "--order=file", stdin=content)
    assert piped.code == 0, piped.err
    stored = prcli("score", "h.h5", "target.h5", "--order", "file")
    np.testing.assert_allclose(
        np.array(piped.column("pr"), float), np.array(stored.column("pr"), float), rtol=1e-9
    )
    assert set(piped.column("source")) == {"-"}
    assert piped.column("frame") == ["0", "1", "2", "3"]
    sliced = prcli(
        "score", "h.h5", "--feature-key=feats", "--order=file", "--", "-@1::2", stdin=content
    )
    assert sliced.column("pr") == piped.column("pr")[1::2]


def test_stdin_is_read_once_per_command(fails):
    assert "once" in fails(
        "score", "h.h5", "-", "-", "--feature-key", "feats", stdin=b"1\n\nC 0 0 0\n"
    )


@pytest.fixture
def forces(hessian, prcli):
    """Structures of which 0, 1, 3 and 4 have forces and 1 and 3 stresses; a Hessian of all."""
    train = gradients_of(counts_of(8, 5), 3, 5)
    write_store(Path("gtrain.h5"), 8, seed=5, gradients=train)
    given = gradients_of(counts_of(6, 4), 3, 4, forces=[0, 1, 3, 4], stresses=[1, 3])
    write_store(Path("g.h5"), 6, seed=4, xyz=Path("g.xyz"), gradients=given)
    command = ("hessian", "gtrain.h5", "-o", "gh.h5", "--force-weight", "0.5")
    assert prcli(*command, "--stress-weight", "0.25").code == 0
    return given


def covariances(given: dict, kind: int, n_components: int, **weights: float) -> np.ndarray:
    """G H⁻¹ Gᵀ of every force or stress, with H written out from the file's numbers."""
    record = read_hessian("gh.h5")
    weights = {"energy": 1.0, "force": 0.5, "stress": 0.25} | weights
    matrix = record.regularizer * np.eye(3)
    for name, factor in record.R.items():
        matrix += weights[name] * factor.T @ factor / record.scale**2
    rows = given["gradients"][given["gradient_kind"] == kind] / record.scale
    groups = rows.reshape(-1, n_components, 3)
    return groups @ np.linalg.solve(matrix, groups.transpose(0, 2, 1))


def numbers(outcome, name: str) -> np.ndarray:
    return np.array(outcome.column(name), float)


def test_columns_of_forces(prcli, forces):
    outcome = prcli("score", "gh.h5", "g.h5", "--per", "force", "--order", "file")
    assert outcome.code == 0
    names = ["index", "source", "frame", "atom", "axis", "pr", "rank", "trace"]
    assert outcome.table[0] == names
    assert "warning: 2 of 6 structures have no force rows and are left out" in outcome.err
    counts = counts_of(6, 4)[[0, 1, 3, 4]]
    n_rows = 3 * int(counts.sum())
    structures = np.repeat([0, 1, 3, 4], 3 * counts).astype(str).tolist()
    assert outcome.column("index") == outcome.column("frame") == structures
    assert outcome.column("source") == ["g.xyz"] * n_rows
    assert outcome.column("atom") == [str(k) for n in counts for k in range(n) for _ in "xyz"]
    assert outcome.column("axis") == ["x", "y", "z"] * (n_rows // 3)
    expected = covariances(forces, 1, 3)
    variances = np.diagonal(expected, axis1=1, axis2=2).ravel()
    np.testing.assert_allclose(numbers(outcome, "pr"), 1.0 / variances, rtol=1e-9)
    traces = np.repeat(np.trace(expected, axis1=1, axis2=2), 3)
    np.testing.assert_allclose(numbers(outcome, "trace"), traces, rtol=1e-9)
    ranks = np.argsort(np.argsort(-variances)) + 1
    assert numbers(outcome, "rank").tolist() == ranks.tolist()


def test_columns_of_stresses(prcli, forces):
    outcome = prcli("score", "gh.h5", "g.h5", "--per", "stress", "--order", "file")
    assert outcome.table[0] == ["index", "source", "frame", "component", "pr", "rank", "trace"]
    assert "4 of 6 structures have no stress rows" in outcome.err
    assert outcome.column("index") == outcome.column("frame") == ["1"] * 6 + ["3"] * 6
    assert outcome.column("component") == ["xx", "yy", "zz", "yz", "xz", "xy"] * 2
    expected = covariances(forces, 2, 6)
    variances = np.diagonal(expected, axis1=1, axis2=2).ravel()
    np.testing.assert_allclose(numbers(outcome, "pr"), 1.0 / variances, rtol=1e-9)
    traces = np.repeat(np.trace(expected, axis1=1, axis2=2), 6)
    np.testing.assert_allclose(numbers(outcome, "trace"), traces, rtol=1e-9)


def test_slices_of_forces(prcli, forces):
    whole = prcli("score", "gh.h5", "g.h5", "--per", "force", "--order", "file").table[1:]
    outcome = prcli("score", "gh.h5", "g.h5@4::-1", "--per", "force", "--order", "file")
    assert list(dict.fromkeys(outcome.column("frame"))) == ["4", "3", "1", "0"]
    assert list(dict.fromkeys(outcome.column("index"))) == ["0", "1", "3", "4"]
    place, pr = slice(2, 5), 5
    known = {tuple(row[place]): float(row[pr]) for row in whole}
    for row in outcome.table[1:]:
        assert float(row[pr]) == pytest.approx(known[tuple(row[place])], rel=1e-12)


def test_weight_of_forces_on_the_command_line(prcli, forces):
    command = ("score", "gh.h5", "g.h5", "--per", "force", "--order", "file")
    outcome = prcli(*command, "--force-weight", "2")
    assert "overridden" in outcome.err
    variances = np.diagonal(covariances(forces, 1, 3, force=2.0), axis1=1, axis2=2).ravel()
    np.testing.assert_allclose(numbers(outcome, "pr"), 1.0 / variances, rtol=1e-9)


@pytest.mark.parametrize(
    ("per", "name"), [("force", "sigma_eV_per_A"), ("stress", "sigma_eV_per_A3")]
)
def test_calibrated_hessian_adds_sigma_of_its_kind(prcli, forces, per, name):
    from dataclasses import replace

    alphas = {"alpha_force": 0.25, "alpha_stress": 0.0625}
    write_hessian("gc.h5", replace(read_hessian("gh.h5"), **alphas), None)
    outcome = prcli("score", "gc.h5", "g.h5", "--per", per)
    assert outcome.table[0][-1] == name
    expected = alphas[f"alpha_{per}"] / np.sqrt(numbers(outcome, "pr"))
    np.testing.assert_allclose(numbers(outcome, name), expected, rtol=1e-14)


@pytest.mark.parametrize("per", ["force", "stress"])
def test_formats_of_gradients_hold_the_same_numbers(prcli, forces, per):
    command = ("score", "gh.h5", "g.h5", "--per", per)
    tsv = prcli(*command)
    rows = [json.loads(line) for line in prcli(*command, "--format", "jsonl").text.splitlines()]
    assert [list(row) for row in rows] == [tsv.table[0]] * len(rows)
    for name in tsv.table[0]:
        assert [str(row[name]) for row in rows] == tsv.column(name)
    assert list(csv.reader(io.StringIO(prcli(*command, "--format", "csv").text))) == tsv.table


def test_top_and_below_of_forces(prcli, forces):
    command = ("score", "gh.h5", "g.h5", "--per", "force")
    everything = prcli(*command).table
    assert prcli(*command, "--top", "4").table == everything[:5]
    assert prcli(*command, "--below", everything[7][5]).table == everything[:7]
    in_file = prcli(*command, "--top", "4", "--order", "file").table
    assert in_file[1:] == sorted(everything[1:5], key=lambda row: (int(row[0]), row[3], row[4]))


def test_write_adds_three_numbers_an_atom(prcli, forces):
    command = ("score", "gh.h5", "g.h5", "--per", "force", "--order", "file")
    outcome = prcli(*command, "--write", "w.xyz")
    values = iter(outcome.column("pr"))
    originals = split_frames(Path("g.xyz").read_bytes())
    written = split_frames(Path("w.xyz").read_bytes())
    for index, (frame, original) in enumerate(zip(written, originals, strict=True)):
        head, line, *atoms = frame.splitlines()
        assert head == original.splitlines()[0]
        assert line.replace(b":prcli_force_pr:R:3", b"") == original.splitlines()[1]
        for atom, before in zip(atoms, original.splitlines()[2:], strict=True):
            expected = [next(values) if index in (0, 1, 3, 4) else "nan" for _ in "xyz"]
            assert atom.startswith(before)
            assert atom[len(before) :].decode().split() == expected
    again = prcli(*command, "--structures", "w.xyz", "--write", "v.xyz")
    assert again.code == 0
    assert Path("v.xyz").read_bytes() == Path("w.xyz").read_bytes()


def test_stresses_are_not_written(forces, fails):
    message = fails("score", "gh.h5", "g.h5", "--per", "stress", "--write", "w.xyz")
    assert "--per force" in message
    assert not Path("w.xyz").exists()


@pytest.mark.parametrize("per", ["force", "stress"])
def test_gradients_are_needed_for_forces(forces, fails, per):
    message = fails("score", "gh.h5", "pool.h5", "--per", per)
    for text in ("pool.h5", f"no {per} rows", "prcli features import", "--gradients"):
        assert text in message


def test_reduced_gradients_have_no_single_forces(forces, fails):
    given = gradients_of(counts_of(6, 4), 3, 4, reduced=True)
    write_store(Path("r.h5"), 6, seed=4, gradients=given)
    message = fails("score", "gh.h5", "r.h5", "--per", "force")
    for text in ("r.h5, structure", "reduced", "--reduce-gradients"):
        assert text in message
