from __future__ import annotations

import itertools
import re
import sys

import numpy as np
import pytest

from prcli.errors import RequestError
from prcli.numerics.calibration import Sample, binned_means
from prcli.numerics.reliability import isolines
from prcli.report import errors_plot, style
from prcli.report.errors_plot import error_figure
from prcli.report.regularizer_plot import Panel, regularizer_figure, singular_value_figure
from prcli.report.reliability_plot import Series, reliability_figure
from prcli.report.selection_plot import HistogramLine, rigidity_histogram
from prcli.report.style import FORMATS, require_matplotlib, save_figure

matplotlib = pytest.importorskip("matplotlib")


def drawn(n_rows=300, factor=1.0):
    g = np.random.default_rng(0)
    sigma = np.exp(g.normal(size=n_rows))
    return sigma * g.normal(size=n_rows), factor * sigma


def lines_of(axes):
    """Points of the lines of some axes by label, unlabelled ones under their number."""
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


# Errors against uncertainties.


def test_dots_are_errors_over_sigma():
    residuals, sigma = drawn()
    upper = error_figure(residuals, sigma, "energies", "eV").axes[0]
    dots = upper.get_lines()[0].get_xydata()
    order = np.argsort(sigma, kind="stable")
    expected = np.column_stack([sigma, np.abs(residuals)])[order]
    np.testing.assert_array_equal(dots, expected)
    assert upper.get_xscale() == upper.get_yscale() == "log"
    assert upper.get_xlabel() == "estimated error of energies, eV"


def test_isolines_are_multiples_of_sigma():
    upper = error_figure(*drawn(), "energies", "eV").axes[0]
    slopes = [line.get_ydata()[0] / line.get_xdata()[0] for line in upper.get_lines()[1:]]
    expected = [bound for bounds in isolines() for bound in bounds]
    np.testing.assert_allclose(slopes, [*expected, 1.0])
    assert [text.get_text() for text in upper.get_legend().get_texts()] == [
        "rows",
        "68.3, 95.4, 99.7 %",
        "y = x",
    ]


def test_means_are_those_of_bins():
    residuals, sigma = drawn(90)
    lower = error_figure(residuals, sigma, "forces", "eV/Å").axes[1]
    squares, variances = binned_means(Sample(residuals, sigma**2))
    points = lines_of(lower)["means of 9 rows"]
    np.testing.assert_array_equal(points, np.column_stack([variances, squares]))
    diagonal = lines_of(lower)["y = x"]
    np.testing.assert_array_equal(diagonal[:, 0], diagonal[:, 1])
    assert lower.get_ylabel() == "squared error, (eV/Å)²"


def test_errors_of_zero_are_not_drawn():
    residuals, sigma = drawn(40)
    residuals[:10] = 0.0
    upper, _ = error_figure(residuals, sigma, "energies", "eV").axes
    assert len(upper.get_lines()[0].get_xydata()) == 30


def test_many_rows_are_thinned_and_that_is_said(monkeypatch):
    monkeypatch.setattr(errors_plot, "MOST_DOTS", 100)
    upper = error_figure(*drawn(301), "energies", "eV").axes[0]
    assert upper.get_legend().get_texts()[0].get_text() == "one of 4 rows"
    assert len(upper.get_lines()[0].get_xydata()) == 76


@pytest.mark.parametrize("n_rows", [1, 2])
def test_few_rows_can_be_drawn(n_rows, tmp_path):
    save_figure(error_figure(*drawn(n_rows), "energies", "eV"), tmp_path / "a", "png")


# Reliability.


def test_reliability_curve_ends_in_the_corners():
    residuals, sigma = drawn()
    axes = reliability_figure([Series("after", residuals, sigma)]).axes[0]
    diagonal, curve = (line.get_xydata() for line in axes.get_lines())
    np.testing.assert_array_equal(diagonal, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(curve[[0, -1]], [[0, 0], [1, 1]])
    assert np.all(np.diff(curve, axis=0) >= 0.0)


def test_large_uncertainties_lie_above_the_diagonal():
    series = [Series("wide", *drawn(factor=3.0)), Series("narrow", *drawn(factor=0.3))]
    lines = reliability_figure(series).axes[0].get_lines()
    for line, sign in zip(lines[1:], (1.0, -1.0), strict=True):
        points = line.get_xydata()[20:-20]
        assert np.all(sign * (points[:, 1] - points[:, 0]) > 0.0)


def test_dashed_curve_shares_the_colour_of_the_next():
    pairs = [Series("before", *drawn(), dashed=True), Series("after", *drawn())]
    lines = reliability_figure(pairs + pairs).axes[0].get_lines()[1:]
    assert [line.get_linestyle() for line in lines] == ["--", "-", "--", "-"]
    assert [line.get_color() for line in lines] == ["C0", "C0", "C1", "C1"]
    assert lines[0].get_label().startswith("before (area 0.0")


# The regularizer.


def test_panels_share_the_regularizer():
    regularizers = np.array([1e-3, 1e-2, 1e-1])
    panels = [
        Panel("cost", {"nll": np.array([1.0, np.inf, 2.0])}),
        Panel("numbers", {"a": np.arange(1.0, 4.0), "b": np.ones(3)}, logarithmic=True),
    ]
    figure = regularizer_figure(regularizers, panels, 2e-2)
    one, other = figure.axes
    np.testing.assert_array_equal(lines_of(one)["nll"][:, 1], [1.0, np.nan, 2.0])
    assert (one.get_yscale(), other.get_yscale()) == ("linear", "log")
    assert one.get_xscale() == "log"
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["best"]
    assert [text.get_text() for text in other.get_legend().get_texts()] == ["a", "b"]
    assert one.get_lines()[-1].get_xdata() == [2e-2, 2e-2]


def test_no_line_where_nothing_is_chosen():
    figure = regularizer_figure(np.array([1.0, 2.0]), [Panel("x", {"y": np.ones(2)})])
    assert len(figure.axes[0].get_lines()) == 1


def test_singular_values_are_drawn_with_what_is_added_to_them():
    values = np.array([2.0, 1.0, 1e-3, 1e-30, 0.0])
    axes = singular_value_figure(values, 3, 1e-4).axes[0]
    lines = lines_of(axes)
    expected = [[1, 2.0], [2, 1.0], [3, 1e-3], [4, 1e-30]]
    np.testing.assert_array_equal(lines["singular values"], expected)
    assert lines["ς in use"][0, 1] == pytest.approx(1e-2)
    assert lines["rank 3"][0, 0] == 3.5
    assert axes.get_ylim()[0] == pytest.approx(2e-18)


def test_regularizer_of_zero_is_no_line():
    labels = lines_of(singular_value_figure(np.array([2.0, 1.0]), 2, 0.0).axes[0])
    assert list(labels) == ["singular values"]


# Files and style.


@pytest.mark.parametrize("file_format", FORMATS)
def test_files_are_reproducible(tmp_path, file_format):
    contents = []
    for name in ("one.part", "other.part"):
        path = tmp_path / name
        save_figure(error_figure(*drawn(), "energies", "eV"), path, file_format)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith({"png": b"\x89PNG", "svg": b"<?xml"}[file_format])


@pytest.mark.parametrize("low", [-2.0, -1.92])
@pytest.mark.parametrize("decades", [0.1, 0.5, 1.0, 1.7, 2.4, 4.0, 9.0])
def test_numbers_of_logarithmic_axes_do_not_overlap(low, decades, tmp_path):
    edges = np.linspace(low, low + decades, 9)
    figure = rigidity_histogram(edges, [HistogramLine("a", np.arange(8))])
    save_figure(figure, tmp_path / "f.png", "png")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [each for each in axes.xaxis.get_ticklabels(which="both") if each.get_text()]
    shown = [each for each in labels if edges[0] <= np.log10(each.get_position()[0]) <= edges[-1]]
    places = sorted((box.x0, box.x1) for box in (each.get_window_extent() for each in shown))
    assert len(places) >= 2
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(places))


def test_style_is_used_and_left_behind():
    before = dict(matplotlib.rcParams)
    with style.style():
        assert matplotlib.rcParams["svg.hashsalt"] == "prcli"
        cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    assert dict(matplotlib.rcParams) == before
    # Okabe and Ito's colours, which people with any colour vision can tell apart.
    assert [colour.removeprefix("#") for colour in cycle[:3]] == ["0072B2", "D55E00", "009E73"]


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RequestError, match=re.escape("prcli[report]")):
        require_matplotlib()


def test_no_module_imports_matplotlib_by_itself():
    import subprocess

    code = (
        "import sys; import prcli.workflows.calibrate_run, prcli.workflows.regularizer_report; "
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
