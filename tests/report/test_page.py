from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from prcli.report import chemiscope_file
from prcli.report.chemiscope_file import find_bundle
from prcli.report.page import json_in_html, render_page

NASTY = '</script><script>alert("x")</script> & <b>it\'s</b> {{data}} été 結晶 \u2028'
EMPTY = {"columns": [], "rows": []}


def content(**parts):
    return {
        "kind": "selection",
        "title": "t",
        "sentences": ["asked", "chosen"],
        "health": ["well"],
        "request": [["n", "1"]],
        "provenance": None,
        "objective": {"label": "o", "series": [], "note": ""},
        "picks": EMPTY,
        **parts,
    }


class Page(HTMLParser):
    """Elements, and the text of each script."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.text, self._open = [], {}, "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self._open = dict(attributes).get("id", "program")
            self.scripts[self._open] = ""

    def handle_endtag(self, tag):
        if tag == "script":
            self._open = None

    def handle_data(self, text):
        if self._open is not None:
            self.scripts[self._open] += text
        else:
            self.text += text


@pytest.mark.parametrize("key", ["title", "sentences", "health", "request"])
def test_texts_of_users_are_text(key):
    value = {"title": NASTY, "request": [[NASTY, NASTY]]}.get(key, [NASTY])
    page = Page(render_page(content(**{key: value})))
    assert list(page.scripts) == ["data", "program"]
    assert NASTY in page.text
    assert json.loads(page.scripts["data"])[key] == value


def test_provenance_is_text():
    facts = {"facts": [["command", NASTY]], "inputs": [[NASTY, "1", "x"]]}
    page = Page(render_page(content(provenance=facts)))
    assert list(page.scripts) == ["data", "program"]
    assert page.text.count(NASTY) == 2


def test_data_survive_the_page():
    given = {"a": [1.5, float("nan"), float("inf"), NASTY], "b": {"c": None}}
    text = json_in_html(given)
    assert "<" not in text
    assert json.loads(text) == {"a": [1.5, None, None, NASTY], "b": {"c": None}}


def test_page_names_no_address_and_forbids_all():
    text = render_page(content())
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}
    page = Page(text)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert not [a for _, a in page.tags if "src" in a or "href" in a]
    assert "{{" not in text


def test_same_content_gives_the_same_page():
    assert render_page(content()) == render_page(content())


def test_program_of_the_viewer_is_there_only_with_structures():
    viewer = {"structures": [], "environments": [{"structure": 0, "center": 0, "cutoff": 4.0}]}
    page = Page(render_page(content(viewer=viewer), "let a = 1 < 2;"))
    assert page.scripts["chemiscope"] == "let a = 1 < 2;"
    assert json.loads(page.scripts["data"])["viewer"] == {"structures": [], "cutoff": 4.0}
    assert "chemiscope" not in Page(render_page(content(), "let a;")).scripts
    assert "chemiscope" not in Page(render_page(content(viewer=viewer), None)).scripts


def test_missing_program_of_the_viewer_is_said(monkeypatch, caplog):
    monkeypatch.setattr(chemiscope_file, "find_spec", lambda name: None)
    with caplog.at_level("INFO"):
        assert find_bundle() is None
    assert "prcli[report]" in caplog.text


@pytest.mark.parametrize("text", [None, "", "a</SCRIPT>b", "<!-- <script>"])
def test_program_that_no_page_can_hold_is_left_out(text, monkeypatch, tmp_path, caplog):
    class Found:
        submodule_search_locations = (str(tmp_path),)

    path = tmp_path / "sphinx" / "static" / "chemiscope.min.js"
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(chemiscope_file, "find_spec", lambda name: Found())
    assert find_bundle() is None
    assert str(path) in caplog.text
