"""Small structures around atoms of a large one: which atoms, what they gain, what they inherit."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from large_structures import around, disordered
from radial_features import REACH

import prcli
from prcli.data.atom_scores import read_atom_scores
from prcli.errors import FormatError, InputFileError, MismatchError, RequestError
from prcli.workflows import embed_features
from prcli.workflows.embed import embed
from prcli.workflows.embed_frames import embedded_frames
from prcli.workflows.embed_output import embedding_table
from prcli.workflows.embed_request import ChoiceOptions, EmbedRequest
from prcli.workflows.inputs import InputOptions

RADIAL = InputOptions(featurizer={"featurizer": "python:radial_features:radial"})
CRYSTAL = "CSi:zincblende:4.36"
REGULARIZER = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training set, its Hessian, and a large structure with labels."""
    path = tmp_path_factory.mktemp("embed")
    train = [disordered("cubic", seed=seed)[:40] for seed in range(12)]
    for atoms in train:
        atoms.pbc = False
    write(path / "train.xyz", train, format="extxyz")
    large = disordered("skewed", seed=99, spread=1.0)
    large.info |= {"config_type": "melt", "energy": -3.5, "temperature": 300, "note": "a b"}
    rng = np.random.default_rng(5)
    large.new_array("forces", rng.normal(size=(len(large), 3)))
    large.new_array("masses", rng.uniform(11.0, 13.0, len(large)))
    large.new_array("label", rng.choice(["a", "b"], len(large)))
    write(path / "large.xyz", large, format="extxyz")
    return path


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def record(folder):
    return prcli.hessian(folder / "train.xyz", inputs=RADIAL, regularizer=REGULARIZER)


@pytest.fixture
def request_of(record):
    def make(**changes):
        plain = EmbedRequest("large.xyz", cutoff=REACH, hessian=record, inputs=RADIAL)
        return replace(plain, **changes)

    return make


def lpr_with(record, added, atoms):
    """LPR of atoms of the large structure by a Hessian of its own."""
    write("added.xyz", added, format="extxyz")
    more = prcli.hessian(
        ["train.xyz", "added.xyz"],
        inputs=RADIAL,
        energy=record.energy,
        intercept=record.intercept.kind,
        scale=record.scale,
        regularizer=REGULARIZER,
        allow_duplicates=True,
    )
    return prcli.score(more, "large.xyz", per="atom", inputs=RADIAL).rigidity[list(atoms)]


def scores_of(record):
    return prcli.score(record, "large.xyz", per="atom", inputs=RADIAL).rigidity


def small_of(embedding, name, draw=0):
    (small,) = [each for each in embedding.small if (each.name, each.draw) == (name, draw)]
    return small


@pytest.mark.parametrize("strategy", ["carve", "periodic", "high-symmetry"])
def test_gains_are_those_of_a_hessian_with_the_structure(request_of, record, strategy):
    embedding = embed(request_of(atoms=(17,), strategies=(strategy,), crystal=CRYSTAL, n_draws=2))
    before = embedding.lpr[17]
    assert before == pytest.approx(scores_of(record)[17], rel=1e-9)
    crystal = embedding.crystal.atoms
    for draw in range(1 if strategy == "carve" else 2):
        small = small_of(embedding, strategy, draw)
        (alone,) = lpr_with(record, [small.template.atoms], [17]) / before - 1.0
        assert small.gain_alone == pytest.approx(alone, rel=1e-6)
        both = [crystal, small.template.atoms] if strategy == "high-symmetry" else None
        expected = alone if both is None else lpr_with(record, both, [17])[0] / before - 1.0
        assert small.gain == pytest.approx(expected, rel=1e-6)


def test_crystal_and_the_whole_structure_gain_what_they_would(request_of, record):
    embedding = embed(request_of(atoms=(17, 60), crystal=CRYSTAL))
    before = np.array([embedding.lpr[17], embedding.lpr[60]])
    alone = lpr_with(record, [embedding.crystal.atoms], (17, 60)) / before - 1.0
    assert small_of(embedding, "crystal").gain == pytest.approx(alone.mean(), rel=1e-6)
    whole = embed(request_of(lowest=1)).whole_gain
    (centre,) = embed(request_of(lowest=1)).centres
    large = read("large.xyz")
    (expected,) = lpr_with(record, [large], [centre]) / scores_of(record)[centre] - 1.0
    assert whole == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("energy", "intercept"), [("total", "none"), ("per-atom", "atom"), ("total", "species")]
)
def test_rows_are_those_of_the_hessian(energy, intercept):
    record = prcli.hessian(
        "train.xyz", inputs=RADIAL, energy=energy, intercept=intercept, regularizer=REGULARIZER
    )
    request = EmbedRequest("large.xyz", cutoff=REACH, hessian=record, inputs=RADIAL, atoms=(17,))
    embedding = embed(request)
    assert embedding.lpr[17] == pytest.approx(scores_of(record)[17], rel=1e-9)
    for small in embedding.small:
        (after,) = lpr_with(record, [small.template.atoms], [17])
        assert small.gain == pytest.approx(after / embedding.lpr[17] - 1.0, rel=1e-6)


def test_gains_count_forces_where_the_loss_does(folder):
    pytest.importorskip("featomic")
    hypers = {
        "featurizer": "soap",
        "cutoff": {"radius": 3.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        "density": {"type": "Gaussian", "width": 0.4},
        "basis": {
            "type": "TensorProduct",
            "max_angular": 1,
            "radial": {"type": "Gto", "max_radial": 1},
        },
    }
    soap = InputOptions(featurizer=hypers, gradients="force", per_species=False)
    record = prcli.hessian("train.xyz", inputs=soap, regularizer=1e-4)
    embedding = embed(EmbedRequest("large.xyz", hessian=record, inputs=soap, atoms=(17,)))
    assert embedding.geometry.cutoff == 3.0
    small = small_of(embedding, "periodic")
    write("added.xyz", [small.template.atoms], format="extxyz")
    more = prcli.hessian(
        ["train.xyz", "added.xyz"], inputs=soap, scale=record.scale, regularizer=1e-4
    )
    plain = replace(soap, gradients=None)
    before, after = (
        prcli.score(each, "large.xyz", per="atom", inputs=plain).rigidity[17]
        for each in (record, more)
    )
    assert small.gain == pytest.approx(after / before - 1.0, rel=1e-6)
    assert embedding.whole_gain is None
    chosen = embed(replace(embedding.request, choice=ChoiceOptions(n_to_choose=1)))
    (best,) = chosen.small
    assert best.gain == max(each.gain for each in embedding.small)
    assert best.picked_lpr == pytest.approx(before * (1.0 + best.gain), rel=1e-9)


def test_best_come_first(request_of):
    embedding = embed(request_of(crystal=CRYSTAL, n_draws=3))
    gains = [small.gain for small in embedding.small]
    assert len(gains) == 1 + 3 + 3 + 1
    assert gains == sorted(gains, reverse=True)
    assert [small.rank for small in embedding.small] == list(range(1, 9))


def test_choice_raises_the_lowest_rigidity_as_a_hessian_with_the_picks_says(request_of, record):
    choice = ChoiceOptions(n_to_choose=3)
    embedding = embed(request_of(lowest=2, n_draws=3, choice=choice))
    assert [small.pick for small in embedding.small] == [1, 2, 3]
    added = [small.template.atoms for small in embedding.small]
    for n, small in enumerate(embedding.small, 1):
        lowest = lpr_with(record, added[:n], embedding.centres).min()
        assert small.picked_lpr == pytest.approx(lowest, rel=1e-6)


def test_first_choice_for_one_atom_is_the_best_alone(request_of):
    every = embed(request_of(n_draws=4))
    chosen = embed(request_of(n_draws=4, choice=ChoiceOptions(n_to_choose=1)))
    assert chosen.small[0].gain == every.small[0].gain
    assert chosen.small[0].rank == 1


def test_choice_stops_where_more_hardly_pay(request_of):
    choice = ChoiceOptions(n_to_choose=8, stop_gain=1e6)
    assert len(embed(request_of(n_draws=8, choice=choice)).small) == 1
    choice = ChoiceOptions(n_to_choose=8, stop_pr=0.0)
    assert len(embed(request_of(n_draws=8, choice=choice)).small) == 0


def test_least_rigid_atom_is_the_one_that_scores_lowest(request_of, record):
    assert embed(request_of()).centres == (int(np.argmin(scores_of(record))),)


def test_lowest_atoms_are_not_neighbours_of_one_another(request_of, record):
    embedding = embed(request_of(lowest=5, separation=6.0, strategies=("carve",)))
    lpr, large = scores_of(record), read("large.xyz")
    expected: list[int] = []
    for atom in np.argsort(lpr).tolist():
        if all(large.get_distance(atom, other, mic=True) > 6.0 for other in expected):
            expected.append(atom)
    assert embedding.centres == tuple(expected[:5])


def test_a_table_or_a_column_says_as_much_as_the_model(request_of, record):
    lpr = scores_of(record)
    large = read("large.xyz")
    rows = [
        f"0\tlarge.xyz\t0\t{atom}\t{large.symbols[atom]}\t{float(lpr[atom])!r}\t1"
        for atom in np.argsort(lpr)[:20].tolist()
    ]
    header = "index\tsource\tframe\tatom\tspecies\tlpr\trank"
    others = [line.replace("large.xyz", "else.xyz") for line in reversed(rows)]
    with open("lpr.tsv", "w") as file:
        file.write("\n".join([header, *others, *rows]) + "\n")
    with open("one_source.tsv", "w") as file:
        file.write("\n".join([header, *rows]) + "\n")
    large.new_array("prcli_lpr", lpr)
    large.new_array("reversed", -lpr)
    write("with_lpr.xyz", large, format="extxyz")
    least, most = int(np.argmin(lpr)), int(np.argmax(lpr))
    plain = EmbedRequest("large.xyz", cutoff=REACH)
    assert embed(replace(plain, lpr="lpr.tsv")).centres == (least,)
    assert embed(replace(plain, structure="with_lpr.xyz")).centres == (least,)
    with_key = replace(plain, structure="with_lpr.xyz", lpr_key="reversed")
    assert embed(with_key).centres == (most,)
    with pytest.raises(RequestError, match="the table has no row for the structure"):
        embed(replace(plain, structure="train.xyz@3", lpr="lpr.tsv"))
    with pytest.raises(MismatchError, match="the table is one of other atoms"):
        embed(replace(plain, structure="train.xyz@0", lpr="one_source.tsv"))


def test_pieces_tell_the_same_as_the_whole(request_of, monkeypatch):
    whole = embed(request_of(lowest=2))
    monkeypatch.setattr(embed_features, "WHOLE_BYTES", 0)
    monkeypatch.setattr(embed_features, "_PIECE_ATOMS", 30)
    cut = embed(request_of(lowest=2))
    assert cut.centres == whole.centres
    assert cut.whole_gain == pytest.approx(whole.whole_gain, rel=1e-9)
    for one, other in zip(cut.small, whole.small, strict=True):
        assert one.gain == pytest.approx(other.gain, rel=1e-9)
        assert one.feature_change < 1e-12


def test_features_of_the_atom_are_unchanged(request_of, caplog):
    with caplog.at_level(logging.INFO, logger="prcli"):
        embedding = embed(request_of(crystal=CRYSTAL, lowest=3))
    changes = [small.feature_change for small in embedding.small if small.name != "crystal"]
    assert max(changes) < 1e-12
    assert "features of the atoms in question: changed by at most" in caplog.text
    assert "off in" not in caplog.text


def test_cutoff_shorter_than_what_the_featurizer_sees_is_noticed(request_of, caplog):
    embedding = embed(request_of(cutoff=2.5, strategies=("carve",)))
    assert embedding.small[0].feature_change > 1e-3
    assert "the featurizer sees farther than 2.5 angstrom" in caplog.text


def test_a_draw_is_the_same_whichever_others_are_made():
    plain = EmbedRequest("large.xyz", cutoff=REACH, atoms=(17,), crystal=CRYSTAL, seed=4)
    alone = embed(plain)
    among = embed(replace(plain, atoms=(60, 17), n_draws=3))
    for name in ("periodic", "high-symmetry"):
        (one,) = [s for s in alone.small if s.name == name]
        (other,) = [s for s in among.small if (s.name, s.centre, s.draw) == (name, 17, 0)]
        assert np.array_equal(one.template.atoms.positions, other.template.atoms.positions)
    moved = embed(replace(plain, seed=5))
    one, other = (small_of(each, "periodic").template.atoms for each in (alone, moved))
    assert not np.allclose(one.positions, other.positions)


def frames_of(embedding):
    with open("small.xyz", "wb") as file:
        file.writelines(embedded_frames(embedding))
    return read("small.xyz", ":")


def test_frames_hold_the_structures_to_the_last_digit_and_say_where_they_are_from():
    plain = EmbedRequest("large.xyz", cutoff=REACH, atoms=(17,), crystal=CRYSTAL, seed=3, n_draws=2)
    embedding = embed(plain)
    frames = frames_of(embedding)
    assert [frame.info["prcli_strategy"] for frame in frames] == [
        *("carve", "periodic", "periodic", "crystal", "high-symmetry", "high-symmetry")
    ]
    large = read("large.xyz")
    for frame, small in zip(frames, embedding.small, strict=True):
        if small.name == "crystal":
            assert "prcli_atom" not in frame.info
            continue
        assert np.array_equal(frame.positions, small.template.atoms.positions)
        assert frame.info["prcli_source"] == "large.xyz"
        assert (frame.info["prcli_frame"], frame.info["prcli_atom"]) == (0, 17)
        assert (frame.info["prcli_draw"], frame.info["prcli_seed"]) == (small.draw, 3)
        assert frame.arrays["prcli_role"][0] == "centre"
        fixed, origin = frame.arrays["prcli_fixed"], frame.arrays["prcli_origin"]
        assert np.array_equal(frame.arrays["prcli_role"] != "buffer", fixed)
        ours = origin >= 0
        assert np.array_equal(frame.numbers[ours], large.numbers[origin[ours]])
        assert around(frame, 0, REACH) == around(large, 17, REACH)


def test_labels_stay_where_they_are_true(caplog):
    write("crystal.xyz", bulk("CSi", "zincblende", a=4.36), format="extxyz")
    with open("crystal.xyz") as file:
        text = file.read().replace("pbc=", "energy=-9.5 pbc=")
    with open("crystal.xyz", "w") as file:
        file.write(text)
    plain = EmbedRequest("large.xyz", cutoff=REACH, atoms=(17,), crystal="crystal.xyz")
    with caplog.at_level(logging.INFO, logger="prcli"):
        frames = frames_of(embed(plain))
    assert "only: energy, temperature, forces, label (--keep" in caplog.text
    large = read("large.xyz")
    for frame in frames:
        if frame.info["prcli_strategy"] == "crystal":
            assert frame.get_potential_energy() == -9.5
            continue
        assert frame.calc is None
        assert {"temperature", "energy"}.isdisjoint(frame.info)
        assert (frame.info["config_type"], frame.info["note"]) == ("melt", "a b")
        assert {"forces", "label"}.isdisjoint(frame.arrays)
        origin = frame.arrays["prcli_origin"]
        ours = origin >= 0
        masses = large.arrays["masses"][origin[ours]]
        assert np.array_equal(frame.arrays["masses"][ours], masses)
        assert np.all(frame.arrays["masses"][~ours] > 12.0)


def test_more_is_inherited_on_request():
    plain = EmbedRequest("large.xyz", cutoff=REACH, atoms=(17,), crystal=CRYSTAL)
    frames = frames_of(embed(replace(plain, keep=("temperature", "label"))))
    large = read("large.xyz")
    for frame in frames:
        if frame.info["prcli_strategy"] == "crystal":
            continue
        assert frame.info["temperature"] == 300
        origin, label = frame.arrays["prcli_origin"], frame.arrays["label"]
        ours = origin >= 0
        assert np.array_equal(label[ours], large.arrays["label"][origin[ours]])
        assert set(label[~ours]) <= {"none"}


def test_table_says_what_structures_are_made_of():
    plain = EmbedRequest("large.xyz", cutoff=REACH, atoms=(17,), crystal=CRYSTAL)
    embedding = embed(plain)
    table = embedding_table(embedding)
    assert list(table["strategy"]) == ["carve", "periodic", "crystal", "high-symmetry"]
    assert list(table["n_atoms"])[2] == 2
    periodic = small_of(embedding, "periodic").template.atoms
    mass = periodic.get_masses().sum() * 1.66053906892
    assert table["density"][1] == pytest.approx(mass / periodic.get_volume(), rel=1e-4)
    assert table["density"][0] is None
    assert table["formula"][2] == "CSi"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"atoms": (-1,)}, "there is no such atom"),
        ({"atoms": (100_000,)}, r"there is no such atom(.|\n)*expected: 0 to"),
        ({"cutoff": None}, "it is not known how large an environment is"),
        ({"cutoff": 9.0}, "larger than the cell"),
        ({"structure": "train.xyz"}, r"one structure is needed at a time(.|\n)*train.xyz@-1"),
        ({"structure": "train.xyz@50"}, "slice is out of range"),
        ({"atoms": ()}, "it is not known which atom is the least rigid"),
        ({"atoms": (), "lpr_key": "nothing"}, "column 'nothing' is absent"),
        ({"atoms": (), "lpr_key": "forces"}, "rigidities of atoms are one number each"),
        ({"keep": ("nothing",)}, "neither a key nor a column 'nothing' to inherit"),
        ({"crystal": "Unobtainium"}, "is neither a file nor a name"),
        ({"crystal": CRYSTAL, "repeat": (1, 1, 1)}, "supercell of the crystal is too small"),
        ({"contact": 2.6, "max_tries": 5}, "no displacements keep all atoms apart, after 5 tries"),
    ],
)
def test_what_cannot_be_done_is_refused(changes, message):
    plain = EmbedRequest("large.xyz", cutoff=REACH, atoms=(17,))
    with pytest.raises((RequestError, ValueError), match=message):
        embed(replace(plain, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_draws": 0}, "-n must be at least 1"),
        ({"lowest": 0}, "--lowest must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"separation": -1.0}, "--separation must be a length"),
        ({"separation": float("inf")}, "--separation must be a length"),
        ({"strategies": ()}, "no strategy is named"),
        ({"strategies": ("cut",)}, "strategy is not known"),
        ({"strategies": ("high-symmetry",)}, "embedding in a crystal needs one"),
        ({"atoms": (1,), "lpr": "lpr.tsv"}, "atoms are named in more than one way"),
        ({"atoms": (1,), "lowest": 2}, "atoms are named in more than one way"),
        ({"hessian": "a.hessian"}, "gains need a Hessian and a featurizer"),
        ({"inputs": RADIAL}, "gains need a Hessian and a featurizer"),
        ({"choice": ChoiceOptions(n_to_choose=2)}, "structures are chosen by what they gain"),
        ({"cutoff": -1.0}, "--cutoff is not valid"),
    ],
)
def test_requests_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        replace(EmbedRequest("large.xyz"), **changes)


def test_files_that_are_no_structure_are_refused(folder):
    (folder / "none.xyz").write_text("0\n\n")
    with pytest.raises(RequestError, match="the structure has no atoms"):
        embed(EmbedRequest("none.xyz", cutoff=REACH, atoms=(0,)))
    prcli.write_hessian("h.hessian", prcli.hessian(np.eye(3)), None, overwrite=True)
    with pytest.raises(FormatError, match="a structure file is needed"):
        embed(EmbedRequest("h.hessian", cutoff=REACH, atoms=(0,)))


def test_more_atoms_apart_than_there_are_are_refused(request_of):
    with pytest.raises(RequestError, match="fewer atoms so far apart than are wanted"):
        embed(request_of(lowest=5, separation=30.0))


def test_more_choices_than_structures_are_refused(request_of):
    with pytest.raises(RequestError, match=r"fewer structures than are to be chosen(.|\n)*most 3"):
        embed(request_of(n_draws=2, choice=ChoiceOptions(n_to_choose=4)))


def test_stopping_rules_need_a_choice():
    with pytest.raises(RequestError, match="--stop-gain means nothing without --choose"):
        ChoiceOptions(stop_gain=0.5)
    with pytest.raises(RequestError, match="--choose must be at least 1"):
        ChoiceOptions(n_to_choose=0)
    with pytest.raises(RequestError, match="--stop-pr must not be negative"):
        ChoiceOptions(n_to_choose=1, stop_pr=float("nan"))


def test_another_model_than_that_of_the_hessian_is_refused(request_of):
    other = {"featurizer": "python:radial_features:radial", "elements": [6, 14, 1]}
    with pytest.raises(MismatchError):
        embed(request_of(inputs=InputOptions(featurizer=other)))


def test_tables_that_are_not_of_atoms_are_refused(tmp_path):
    table = tmp_path / "t.tsv"
    table.write_text("index\tpr\n0\t1.5\n")
    with pytest.raises(FormatError, match="not one of rigidities of atoms"):
        read_atom_scores(table, 0)
    table.write_text("source\tframe\tatom\tspecies\tlpr\na\t0\t1\tC\tx\n")
    with pytest.raises(FormatError, match=r"row of the table cannot be understood(.|\n)*line 2"):
        read_atom_scores(table, 0)
    table.write_text("source\tframe\tatom\tspecies\tlpr\na\t0\t1\n")
    with pytest.raises(FormatError, match="row does not fit the header"):
        read_atom_scores(table, 0)
    with pytest.raises(InputFileError, match="file cannot be read"):
        read_atom_scores(tmp_path / "absent.tsv", 0)
