"""A page that opens anywhere: one HTML file, its data, its style and its program inside it."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PARTS = Path(__file__).with_name("page")

#: The program, in the order in which its parts need each other.
_SCRIPTS = ("basics", "axes", "charts", "map", "tables", "viewer", "page")

#: Nothing may be fetched: what is not in the file does not exist for it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
#: The viewer compiles functions for its plots, and keeps pictures of its own making.
_VIEWER_POLICY = (
    _POLICY + " 'unsafe-eval'; img-src data: blob:; font-src data:; worker-src blob:; "
    "connect-src data: blob:"
)


def render_page(content: Mapping[str, Any], bundle: str | None = None) -> str:
    """Write a page.

    Parameters
    ----------
    content : mapping
        ``title``, ``sentences``, ``health``, ``request`` and ``provenance`` become text of the
        page; everything becomes data of its program, which shows what it knows: ``objective``,
        ``distribution``, ``map``, ``comparison``, ``picks``, ``targets``, ``viewer``.
    bundle : str, optional
        Program of chemiscope, for the structures of ``viewer``.

    Returns
    -------
    page : str
        Texts of users stand in it as text, whatever they hold.
    """
    has_viewer = bundle is not None and content.get("viewer") is not None
    inside = {
        "policy": _VIEWER_POLICY if has_viewer else _POLICY,
        "title": html.escape(str(content["title"])),
        "style": _read("page.css"),
        "summary": _paragraphs(content["sentences"]),
        "health": _list(content["health"]),
        "provenance": _folded("Request and numbers", _facts(content["request"]))
        + _origin(content.get("provenance")),
        "data": json_in_html({**content, "viewer": _thin_viewer(content.get("viewer"))}),
        # Not run until somebody wants to see structures.
        "bundle": f'<script type="text/plain" id="chemiscope">{bundle}</script>'
        if has_viewer
        else "",
        "script": '"use strict";\n(() => {\n' + "\n".join(map(_read_script, _SCRIPTS)) + "})();",
    }
    # In one pass: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: inside[match[1]], _read("page.html"))


def json_in_html(content: object) -> str:
    """Write JSON that ends no script element; numbers that are not finite become null."""
    text = json.dumps(_known(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _known(content: object) -> object:
    if isinstance(content, Mapping):
        return {name: _known(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_known(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _thin_viewer(viewer: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Leave out environments, one for each atom, that the page can list by itself."""
    if viewer is None or "environments" not in viewer:
        return None if viewer is None else dict(viewer)
    thin = {name: value for name, value in viewer.items() if name != "environments"}
    return thin | {"cutoff": viewer["environments"][0]["cutoff"]}


def _read(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8").rstrip("\n")


def _read_script(name: str) -> str:
    return _read(f"{name}.js") + "\n"


def _paragraphs(sentences: Iterable[str]) -> str:
    return "\n".join(f"    <p>{html.escape(text)}</p>" for text in sentences)


def _list(sentences: Iterable[str]) -> str:
    items = "\n".join(f"      <li>{html.escape(text)}</li>" for text in sentences)
    return f"    <ul>\n{items}\n    </ul>"


def _facts(rows: Iterable[Sequence[str]]) -> str:
    """Names and values."""
    lines = [
        f'      <tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows
    ]
    return '    <table class="facts">\n' + "\n".join(lines) + "\n    </table>\n"


def _origin(provenance: Mapping[str, Any] | None) -> str:
    if provenance is None:
        return '    <p class="note">Provenance was not recorded (--no-provenance).</p>'
    inputs = [(path, f"{size} bytes, {digest}") for path, size, digest in provenance["inputs"]]
    listed = _folded("Inputs", _facts(inputs)) if inputs else ""
    return _facts(provenance["facts"]) + listed


def _folded(title: str, inside: str) -> str:
    """Fold something away that few look at."""
    return f"    <details><summary>{html.escape(title)}</summary>\n{inside}    </details>\n"
