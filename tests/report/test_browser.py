"""The page in a real browser.

Needs Chromium, which Debian has: ``apt-get install chromium``. Where it is not found the tests
are skipped, or fail if PRCLI_BROWSER is "required"; "none" skips them, any other value names the
program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prcli.report.page import render_page

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "sample_data"
#: What somebody may have written into comment lines.
NASTY = "</script><script>document.title='gone'</script> & 'quoted' \u7d50\u6676 \u00e9t\u00e9"
#: WebGL without a graphics card.
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
SECONDS = 1000


def find_chromium():
    """Path of the browser; skips, or fails, where there is none."""
    asked = os.environ.get("PRCLI_BROWSER", "")
    if asked == "none":
        pytest.skip("PRCLI_BROWSER says that there is no browser that runs")
    names = ["chromium", "chromium-browser", "google-chrome"]
    named = [asked] if asked not in ("", "required") else names
    path = next(filter(None, map(shutil.which, named)), None)
    if path is None:
        reason = "there is no Chromium; install it with `apt-get install chromium`"
        (pytest.fail if asked else pytest.skip)(reason)
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A result directory of the sample data, with a pool of which the comments are strange."""
    folder = tmp_path_factory.mktemp("page")
    pool = (SAMPLE / "pool.xyz").read_text()
    assert "config_type=bulk" in pool
    (folder / "pool.xyz").write_text(
        pool.replace("config_type=bulk", f'config_type="{NASTY}"'), encoding="utf-8"
    )
    sets = [f"--{name}={SAMPLE / name}.h5" for name in ("train", "target", "pool")]
    done = subprocess.run(
        [sys.executable, "-m", "prcli", "select", *sets, "-n", "6", "-o", "out", "--audit"]
        + ["--report", "--structures", "pool.xyz", "--audit-seeds", "2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = find_chromium()
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=[*SOFTWARE, "--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser, result):
    """Open the page at a size; at the end nothing may have gone wrong or out."""
    faults, requests, contexts = [], [], []

    def open_page(width=1200, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto((result / "report.html").as_uri())
        page.wait_for_selector("html[data-state=ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    address = (result / "report.html").as_uri()
    own = ("data:", f"blob:{address.split('/')[0]}", "blob:null")
    assert faults == []
    assert [url for url in requests if url != address and not url.startswith(own)] == []


def cells(page, section, column):
    """Texts of a column of a table."""
    heads = page.locator(f"#{section} th").all_inner_texts()
    place = [head.rstrip(" ▴▾") for head in heads].index(column) + 1
    return page.locator(f"#{section} tr.row td:nth-child({place})").all_inner_texts()


def test_all_sections_are_shown(opened):
    page = opened()
    for name in ("summary", "objective", "distribution", "map", "structures", "picks", "targets"):
        assert page.locator(f"#{name}").is_visible(), name
    assert len(page.locator("#picks tr.row").all()) == 6
    assert page.locator("#objective .legend span").count() == 4
    assert page.locator("#map canvas").get_attribute("data-shown") == str(40 + 24 + 60)


def test_requests_and_faults_would_be_seen(browser):
    """The check of the other tests can fail."""
    page = browser.new_page()
    seen, faults = [], []
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: faults.append(message.text))
    page.set_content("<img src='http://127.0.0.1:9/a.png'><script>console.error('b')</script>")
    page.close()
    assert seen == ["http://127.0.0.1:9/a.png"]
    assert "b" in faults


def test_strange_comments_are_text(opened):
    page = opened()
    assert "selected from" in page.title()
    assert cells(page, "picks", "config_type") == [NASTY] * 6


def test_tables_are_sorted(opened):
    page = opened()
    gains = [float(text) for text in cells(page, "picks", "gain")]
    head = page.locator("#picks th", has_text="gain").locator("button")
    head.click()
    assert [float(text) for text in cells(page, "picks", "gain")] == sorted(gains)
    head.click()
    assert [float(text) for text in cells(page, "picks", "gain")] == sorted(gains, reverse=True)
    assert page.locator("#picks th[aria-sort=descending]").count() == 1


def test_tables_are_filtered(opened):
    page = opened()
    formulas = cells(page, "picks", "formula")
    page.fill("#picks input", f"{formulas[2].lower()}  pool.xyz")
    assert cells(page, "picks", "formula") == [f for f in formulas if f == formulas[2]]
    page.fill("#picks input", "nothing of that kind")
    assert page.locator("#picks tr.row").count() == 0
    assert "0 of 6" in page.locator("#picks .bar").inner_text()


def test_hover_over_a_pick_tells_what_it_is(opened):
    page = opened()
    page.locator("#objective circle").nth(1).hover()
    lines = page.locator("#tip p").all_inner_texts()
    frame, formula = cells(page, "picks", "frame")[0], cells(page, "picks", "formula")[0]
    assert lines[0] == "pr, pick 1"
    assert lines[1].endswith(f"pool.xyz, frame {frame}")
    assert lines[2] == f"{formula}, {NASTY}"
    assert lines[3] == f"gain {cells(page, 'picks', 'gain')[0]}"
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_hidden()


def told_over(page, selector, step_x, step_y):
    """What the box beside the pointer says at points of a chart, as lists of lines."""
    page.locator(selector).scroll_into_view_if_needed()
    return page.evaluate(
        """([selector, stepX, stepY]) => {
            const node = document.querySelector(selector);
            const box = node.getBoundingClientRect();
            const told = new Map();
            for (let x = box.left + 1; x < box.right; x += stepX) {
                for (let y = box.top + 1; y < box.bottom; y += stepY) {
                    node.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y }));
                    const tip = document.getElementById("tip");
                    const lines = [...tip.querySelectorAll("p")].map((p) => p.textContent);
                    if (!tip.hidden) told.set(lines.join("\\n"), lines);
                }
            }
            return [...told.values()];
        }""",
        [selector, step_x, step_y],
    )


def test_hover_over_the_map_tells_what_it_is(opened):
    page = opened()
    told = told_over(page, "#map canvas", 12, 16)
    texts = {line for lines in told for line in lines}
    assert {"training set", "target", "candidate, not picked"} <= texts
    gains = dict(zip(cells(page, "picks", "rank"), cells(page, "picks", "gain"), strict=True))
    picked = [lines for lines in told if lines[2].startswith("pick ")]
    assert picked
    for lines in picked:
        rank = lines[2].removeprefix("pick ").split(",")[0]
        assert lines[2] == f"pick {rank}, gain {gains[rank]}"
        # The store has a column of kinds, which goes before the comment line.
        assert lines[1] == f"{cells(page, 'picks', 'formula')[int(rank) - 1]}, bulk"


def test_sets_of_the_map_can_be_hidden_and_parts_enlarged(opened):
    page = opened()
    canvas = page.locator("#map canvas")
    page.locator("#map label", has_text="candidates").locator("input").uncheck()
    assert canvas.get_attribute("data-shown") == str(40 + 24 + 6)
    assert page.locator("#map button").is_hidden()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.up()
    page.locator("#map button").click()
    assert page.locator("#map button").is_hidden()


def test_histogram_counts_targets(opened):
    told = told_over(opened(), "#distribution svg", 4, 1000)
    for when in (1, 2):
        assert sum(int(lines[when].split(": ")[1]) for lines in told) == 24


def test_numbers_of_a_narrow_axis_differ(browser, tmp_path):
    content = {
        "kind": "selection", "title": "t", "sentences": [], "health": [], "request": [],
        "objective": {"label": "o", "note": "", "series": []},
        "distribution": {
            "edges": [-0.1922, -0.1862, -0.1803], "series": [{"name": "before", "counts": [1, 1]}]
        },
        "picks": {"columns": [], "rows": [[]]},
    }  # fmt: skip
    (tmp_path / "page.html").write_text(render_page(content), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("html[data-state=ready]")
    texts = page.locator("#distribution svg text[text-anchor=middle]").all_text_contents()
    numbers = [text for text in texts if text[0].isdigit()]
    assert len(set(numbers)) == len(numbers) >= 2
    assert page.locator("#picks .bar").inner_text().strip() == "1 pick"
    page.close()


def test_phone_needs_no_sideways_scrolling(opened):
    page = opened(390, 800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_dark_and_light(opened):
    def paper(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    page = opened(color_scheme="dark")
    dark = paper(page)
    page.click("#theme")
    light = paper(page)
    assert light == "rgb(255, 255, 255)" != dark
    page.click("#theme")
    assert paper(page) == dark
    page.emulate_media(media="print")
    assert paper(page) == "rgb(255, 255, 255)"


def test_paper_has_what_the_screen_tells_by_colour_and_nothing_to_press(opened, tmp_path):
    page = opened(color_scheme="dark")
    folded = page.locator("details").count()
    assert folded
    page.pdf(path=tmp_path / "page.pdf")
    assert page.locator("details[open]").count() == folded
    page.emulate_media(media="print", color_scheme="dark")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(style.format("#objective .legend i", "printColorAdjust")) == "exact"
    assert page.evaluate(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    for name in ("#objective .choice", "#map .legend input", "#theme", "#picks .bar input"):
        assert page.locator(name).first.is_hidden(), name


def test_structures_turn(opened):
    pytest.importorskip("chemiscope")
    page = opened()
    page.locator("#structures button").click(timeout=120 * SECONDS)
    page.wait_for_selector(".viewer[data-state]", timeout=120 * SECONDS)
    assert page.locator(".viewer").get_attribute("data-state") == "ready"
    assert page.locator("#viewer-structure").locator("canvas").count() >= 1
    assert page.locator(".problem").count() == 0
