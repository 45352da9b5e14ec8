from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import split_frames

from prcli.data.hessian_file import read_hessian

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def config(workplace):
    def write(text: str) -> Path:
        path = workplace / "run.toml"
        path.write_text(text)
        return path

    return write


SELECT = """
[select]
train = "train.h5"
target = ["target.h5"]
pool = ["pool.h5@:6", "pool.h5@6:"]
n-to-select = 3
"""


def test_file_stands_for_the_options(prcli, config):
    sets = ("--train", "train.h5", "--target", "target.h5", "--pool", "pool.h5")
    expected = prcli("select", *sets, "-n", "3")
    assert prcli("select", "--config", config(SELECT)).out == expected.out


def test_dashes_and_underscores_are_alike(prcli, config):
    text = SELECT.replace("n-to-select", "n_to_select")
    assert len(prcli("select", "--config", config(text)).table) == 4


def test_command_line_wins(prcli, config):
    path = config(SELECT + 'where = "n_atoms > 99"\n')
    assert prcli("select", "--config", path).code == 1
    outcome = prcli("select", "-n", "2", "--config", path, "--where", "n_atoms > 0")
    assert len(outcome.table) == 3


def test_pool_of_the_command_line_replaces_that_of_the_file(prcli, config):
    outcome = prcli("select", "--config", config(SELECT), "--pool", "pool.h5@:3")
    assert {int(i) for i in outcome.column("frame")} == {0, 1, 2}


def test_arguments_may_stand_in_the_file(prcli, config):
    path = config('[hessian]\ninputs = ["train.h5@:4", "train.h5@4:"]\noutput = "h.h5"\n')
    assert prcli("hessian", "--config", path).code == 0
    assert read_hessian("h.h5").n_structures == 10
    path = config('[score]\nhessian = "h.h5"\ndata = "pool.h5"\ntop = 2\n')
    assert len(prcli("score", "--config", path).table) == 3


def test_argument_of_the_command_line_wins(prcli, config):
    path = config('[hessian]\ninputs = ["absent.h5"]\noutput = "h.h5"\n')
    assert prcli("hessian", "train.h5", "--config", path).code == 0


def test_nested_commands_have_nested_sections(prcli, config):
    path = config('[features.import]\nfeature-key = "pos"\noutput = "pos.h5"\nquiet = true\n')
    outcome = prcli("features", "import", "train.xyz", "--config", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert Path("pos.h5").exists()


def test_shared_sections(prcli, config):
    path = config(SELECT + '[output]\nformat = "jsonl"\n[loss]\nenergy = "total"\n')
    lines = prcli("select", "--config", path).text.splitlines()
    assert [json.loads(line)["rank"] for line in lines] == [1, 2, 3]
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--config", path).code == 0
    assert read_hessian("h.h5").energy == "total"


def test_own_section_goes_before_the_shared(prcli, config):
    path = config('[hessian]\nenergy = "per-atom"\n[loss]\nenergy = "total"\n')
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--config", path).code == 0
    assert read_hessian("h.h5").energy == "per-atom"


def test_sections_of_other_commands_are_left_alone(prcli, config):
    path = config(
        "[score]\nanything = 1\n[calibrate]\nx = 2\n[features.compute.soap]\ncutoff = 5\n"
    )
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--config", path).code == 0


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("[hessian]\nregulariser = 1\n", ["'regulariser'", "[hessian]", "'regularizer'"]),
        ("[hessian]\nn = 1\n", ["'n'", "[hessian]"]),
        ("[hessian]\nconfig = 'x.toml'\n", ["'config'"]),
        ("[hessian]\nhelp = true\n", ["'help'"]),
        ("[output]\noverwritten = true\n", ["'overwritten'", "[output]", "'overwrite'"]),
        ("[loss]\nenergi = 'total'\n", ["'energi'", "[loss]", "'energy'"]),
        ("[hesian]\nscale = 1\n", ["[hesian]", "[hessian]"]),
        ("[features.imprt]\nquiet = true\n", ["[features.imprt]", "[features.import]"]),
        ("[features]\nquiet = true\n", ["[features.quiet]"]),
        ("scale = 1\n", ["scale"]),
        ("hessian = 1\n", ["hessian is not a section"]),
        ("[hessian]\nscale = [1, 2]\n", ["scale", "single value"]),
        ("[hessian]\nscale = {a = 1}\n", ["scale", "single value"]),
        ("[hessian]\ninputs = {a = 1}\n", ["inputs", "single value"]),
        ("[hessian]\noverwrite = 'maybe'\n", ["overwrite", "true or false", "maybe"]),
        ("[hessian\n", ["not valid TOML"]),
        ("[hessian]\nscale = 1\nscale = 2\n", ["not valid TOML"]),
    ],
)
def test_what_cannot_be_understood_is_refused(fails, config, text, texts):
    message = fails("hessian", "train.h5", "-o", "h.h5", "--config", config(text))
    for each in ["run.toml", *texts]:
        assert each in message
    assert not Path("h.h5").exists()


@pytest.mark.parametrize("value", ["2.5", "true", "'many'"])
def test_number_of_the_wrong_kind_is_a_usage_error(fails, config, value):
    path = config(SELECT.replace("n-to-select = 3", f"n-to-select = {value}"))
    assert "--n-to-select" in fails("select", "--config", path, code=2)


def test_word_that_is_no_choice_is_a_usage_error(fails, config):
    path = config(SELECT + "objective = 'best'\n")
    assert "mean-log-pr" in fails("select", "--config", path, code=2)


def test_flags_may_be_set_to_false(prcli, config):
    Path("h.h5").write_text("mine")
    command = ("hessian", "train.h5", "-o", "h.h5", "--config")
    assert prcli(*command, config("[output]\noverwrite = false\n")).code == 1
    assert prcli(*command, config("[output]\noverwrite = true\n")).code == 0


@pytest.mark.parametrize("text", ["provenance = false", "no-provenance = true"])
def test_either_form_of_a_switch(prcli, config, text):
    path = config(f"[output]\n{text}\n")
    assert prcli("hessian", "train.h5", "-o", "h.h5", "--config", path).code == 0
    assert prcli("hessian", "train.h5", "-o", "i.h5", "--no-provenance").code == 0
    assert Path("h.h5").read_bytes() == Path("i.h5").read_bytes()
    path = config("[output]\nno-provenance = false\n")
    assert prcli("hessian", "train.h5", "-o", "j.h5", "--config", path).code == 0
    assert Path("j.h5").read_bytes() != Path("i.h5").read_bytes()


def test_missing_file_is_refused(fails):
    assert "absent.toml" in fails("hessian", "train.h5", "-o", "h.h5", "--config", "absent.toml")


def test_missing_option_is_still_a_usage_error(fails, config):
    path = config(SELECT.replace("n-to-select = 3", ""))
    assert "--n-to-select" in fails("select", "--config", path, code=2)


def test_output_directory_from_the_file(prcli, config):
    path = config(SELECT + 'output = "out"\nannotate = true\n')
    assert prcli("select", "--config", path).code == 0
    frames = split_frames(Path("out/selected.xyz").read_bytes())
    assert all(b"prcli_rank=" in frame for frame in frames)
