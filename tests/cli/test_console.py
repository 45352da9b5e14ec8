from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from prcli.cli.console import emit_bytes, emit_table, session
from prcli.cli.main import cli

COLUMNS = ("name", "count", "value")
BATCHES = [
    {
        "name": np.array(["a", "[red]b[/red]"], dtype=object),
        "count": np.array([1, 20]),
        "value": np.array([1 / 3, np.inf]),
    },
    {
        "name": np.array([":smile: \\"], dtype=object),
        "count": np.array([300]),
        "value": np.array([np.nan]),
    },
]


class Terminal:
    """A standard output that claims to be a terminal."""

    def __init__(self, stream):
        self._stream = stream

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._stream, name)


def test_tsv_in_a_pipe(capsys):
    emit_table(None, COLUMNS, BATCHES)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "name\tcount\tvalue",
        "a\t1\t0.3333333333333333",
        "[red]b[/red]\t20\tinf",
        ":smile: \\\\\t300\tnan",
    ]


def test_table_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    monkeypatch.setenv("TERM", "dumb")
    emit_table(None, COLUMNS, BATCHES)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "count", "value"],
        ["a", "1", "0.333333"],
        ["[red]b[/red]", "20", "inf"],
        [":smile:", "\\", "300", "nan"],
    ]


def test_table_in_a_pipe_is_not_cut(capsys):
    batch = {"name": np.array(["x" * 500], dtype=object), "count": np.array([1])}
    emit_table("table", ("name", "count"), [batch])
    assert "x" * 500 in capsys.readouterr().out


def test_table_without_rows_has_its_header(capsys):
    empty = {name: np.empty(0) for name in COLUMNS}
    for kind in ("tsv", "table"):
        emit_table(kind, COLUMNS, [empty])
        assert capsys.readouterr().out.split() == list(COLUMNS)


def test_bytes_are_written_as_they_are(capsysbinary):
    emit_bytes([b"\xff\r\n", b"\x00"])
    assert capsysbinary.readouterr().out == b"\xff\r\n\x00"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "prcli: said\nprcli: warning: minded\n"),
        ({"quiet": True}, "prcli: warning: minded\n"),
        ({"verbose": True}, "prcli: whispered\nprcli: said\nprcli: warning: minded\n"),
    ],
)
def test_messages_go_to_stderr(capsys, options, expected):
    logger = logging.getLogger("prcli.somewhere")
    with session(**{"quiet": False, "verbose": False, "threads": None} | options):
        logger.debug("whispered")
        logger.info("said")
        logger.warning("minded")
    logger.warning("nobody listens any more")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == expected


def test_no_progress_bars_outside_a_terminal(capsys):
    with session(quiet=False, verbose=False, threads=None) as progress:
        progress("score", 1, 2)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_bars_on_a_terminal_stay_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    with session(quiet=False, verbose=False, threads=None) as progress:
        progress("score", 1, 2)
        progress("unheard of", 1, None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", [(), ("hessian",), ("score",), ("select",), ("info",)])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_goes_to_stdout(prcli, command, flag):
    outcome = prcli(*command, flag)
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.text.startswith(f"Usage: prcli {' '.join(command)}".rstrip())


def test_version(prcli):
    from prcli import __version__

    assert prcli("--version").text == f"prcli, version {__version__}\n"


def test_every_command_has_the_common_options_and_long_names():
    commands = [cli.get_command(None, name) for name in cli.list_commands(None)]
    commands += [
        command.get_command(None, "import") for command in commands if hasattr(command, "commands")
    ]
    for command in commands:
        if hasattr(command, "commands"):
            continue
        options = [p.opts for p in command.params if p.param_type_name == "option"]
        assert all(any(name.startswith("--") for name in names) for names in options)
        names = {name for names in options for name in names}
        assert {"--config", "--quiet", "--verbose", "--threads"} <= names
