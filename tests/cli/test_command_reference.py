"""The commands in the README are those of the code."""

from __future__ import annotations

import re

import pytest
from command_reference import BEGIN, END, README, leaves, render, replaced

AGAIN = "the README tells of other commands than there are: python tests/cli/command_reference.py"


def words(text):
    """Words of a text: another version may break lines elsewhere."""
    return text.split()


def test_readme_tells_of_the_commands_that_there_are():
    section = README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert words(section) == words(render().split(BEGIN)[1].split(END)[0]), AGAIN


def test_every_option_and_example_is_in_it():
    section = render()
    for leaf in leaves():
        place = section.index(f"<code>prcli {leaf.name} ")
        own = section[place : section.index("</details>", place)]
        for records in leaf.options.values():
            for names, _ in records:
                long = re.search(r"--[\w-]+", names)[0]
                assert re.search(rf"{long}(?![\w-])", own), f"{leaf.name} {long}"
        assert f"prcli {leaf.name} " in own.split("Example")[1]


def test_what_is_shared_is_told_once():
    section = render()
    assert section.count("Only warnings and errors.") == 1
    assert section.count("TOML file with a section per command") == 1


def test_only_the_section_is_replaced():
    text = f"before\n{BEGIN}\nold\n{END}\nafter \\1\n"
    assert (
        replaced(text, f"{BEGIN}\nnew \\1\n{END}")
        == f"before\n{BEGIN}\nnew \\1\n{END}\nafter \\1\n"
    )
    with pytest.raises(ValueError, match="no section"):
        replaced("nothing", "")
