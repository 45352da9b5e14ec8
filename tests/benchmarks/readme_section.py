"""Put a measured table into the README: ``python tests/benchmarks/readme_section.py table.tsv``.

The section between the two marks of the README is replaced; nothing else is touched.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from growth import VARIABLES
from tsv_table import Row, of_section, read_table
from workloads import OBJECTIVES

README = Path(__file__).parents[2] / "README.md"

BEGIN = "<!-- measured: begin; made by tests/benchmarks/readme_section.py -->"
END = "<!-- measured: end -->"

#: Share of the processors that other processes may take.
QUIET = 0.1


def render(rows: Sequence[Row]) -> str:
    """Write the table as people read it."""
    parts = [_machine(rows), _limits(rows), _growth(rows), _peers(rows), _model(rows)]
    return "\n\n".join([BEGIN, *parts, END])


def replaced(text: str, section: str) -> str:
    """Text of a README with its section replaced.

    Raises
    ------
    ValueError
        If the marks are not there once.
    """
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError("the README has no section of measurements, or several")
    return pattern.sub(lambda _: section, text)


def _machine(rows: Sequence[Row]) -> str:
    facts = {row.item: row for row in of_section(rows, "machine")}
    taken = float(facts["processors taken"].value)
    doubt = "" if taken <= QUIET else " **That is too much: the times below are rough.**"
    return (
        f"Measured on {facts['processors'].value:.0f} processors {facts['processor'].value} with "
        f"{facts['largest cache'].value:.0f} MiB of cache and "
        f"{facts['memory'].value:.0f} GiB of memory, "
        f"{facts['linear algebra'].value}; other processes took {taken:.0%} of the time."
        f"{doubt}"
    )


def _limits(rows: Sequence[Row]) -> str:
    limits, shares = of_section(rows, "limit"), of_section(rows, "share")
    threads = sorted({row.threads or 1 for row in limits})
    lines = _header(["", *(_threads(n) for n in threads)])
    for item in dict.fromkeys(row.item for row in limits):
        found = [row for row in limits if row.item == item]
        lines.append(_line([item, *(f"{row.value:.3g} {row.unit}" for row in found)]))
    for item in dict.fromkeys(row.item for row in shares):
        found = [row for row in shares if row.item == item]
        values = [_share(float(row.value)) for row in found]
        lines.append(_line([f"{_code(item)}, share {found[0].unit}", *values]))
    return "\n".join(["**Limits of the machine, and what prcli gets of them**", "", *lines])


def _growth(rows: Sequence[Row]) -> str:
    growth = {row.item: row for row in of_section(rows, "growth")}
    variables = ["C", "T", "D", "picks", "threads"]
    lines = _header(["time grows with the power", *variables])
    for command in VARIABLES:
        found = [growth.get(f"{command}: {variable}") for variable in variables]
        lines.append(_line([f"`{command}`", *(_exponent(row) for row in found)]))
    base = growth[f"select {OBJECTIVES[0]}: C"]
    title = (
        f"**Growth** around {base.C:,} candidates or rows (C), {base.T} targets (T), {base.D} "
        f"features (D) and {base.picks} picks; the range is that of single rounds"
    )
    return "\n".join([title, "", *lines])


def _share(value: float) -> str:
    """Write a share; picks that take less than runs differ have none."""
    return "too short to tell" if math.isnan(value) else f"{value:.0%}"


def _exponent(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{float(row.value):.2f} ({row.low:.2f} to {row.high:.2f})"


def _peers(rows: Sequence[Row]) -> str:
    peers = of_section(rows, "peer")
    agreement = {
        (row.item.removesuffix(": agreement"), row.C): row
        for row in peers
        if row.item.endswith(": agreement")
    }
    timed = [row for row in peers if not row.item.endswith(": agreement")]
    lines = _header(["peer", "C × T × D, picks", "its time / prcli's", "times", "agreement"])
    for row in timed:
        size = f"{row.C:,} × {row.T} × {row.D}, {row.picks}"
        ratio = row.value if isinstance(row.value, str) else f"{row.value:.3g}"
        lines.append(
            _line([row.item, size, ratio, row.note, _agreed(agreement.get((row.item, row.C)))])
        )
    title = "**Peers**, each at the nearest thing that it can do, on the same features and threads"
    return "\n".join([title, "", *lines])


def _agreed(row: Row | None) -> str:
    if row is None:
        return "another objective"
    if row.unit == "relative difference":
        return f"equal to {float(row.value):.0e}"
    return f"first {float(row.value):.0f} {row.unit}"


def _model(rows: Sequence[Row]) -> str:
    predicted = {row.item: row for row in of_section(rows, "prediction")}
    assumed = {row.item: row for row in of_section(rows, "assumption")}
    forecast = of_section(rows, "forecast")
    lines = _header(["command", "predicted / measured, here", "forecast", "of which"])
    for row in forecast:
        ratio = float(predicted[row.item].value)
        lines.append(
            _line([f"`{row.item}`", f"{ratio:.2f}", f"{float(row.value):,.0f} s", row.note])
        )
    size = next(row for row in forecast if row.T)
    title = (
        f"**Cost model**, fitted to the runs above: a run that it has not seen, and a forecast "
        f"for {size.C:,} structures × {size.D} features ({size.T:,} targets, {size.picks} picks) "
        f"on {float(assumed['ranks'].value):.0f} ranks of one thread, if a rank reads "
        f"{_amount(assumed['memory bandwidth of a rank'])} from memory, all together "
        f"{_amount(assumed['file system, all ranks'])} from files, and messages take "
        f"{_amount(assumed['network latency'])} and {_amount(assumed['network bandwidth'])}"
    )
    loops = (
        "Shares, growth and costs of selections are those of the compiled loops, which large pools "
        "get; peers are compared with what prcli does by itself. `log-det` looks at as many "
        "candidates as the features ask for: its prediction counts them, its forecast lets every "
        "pick look at all, which is the most that it can cost."
    )
    return "\n".join([title, "", *lines, "", loops])


def _amount(row: Row) -> str:
    return f"{float(row.value):g} {row.unit}"


def _threads(n_threads: int) -> str:
    return f"{n_threads} thread" if n_threads == 1 else f"{n_threads} threads"


def _code(item: str) -> str:
    command, _, rest = item.partition(":")
    return f"`{command}`{rest}"


def _header(cells: Sequence[str]) -> list[str]:
    return [_line(cells), "|" + "---|" * len(cells)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Replace the section of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--readme", type=Path, default=README)
    options = parser.parse_args(arguments)
    text = options.readme.read_text(encoding="utf-8")
    section = render(read_table(options.table))
    options.readme.write_text(replaced(text, section), encoding="utf-8")


if __name__ == "__main__":
    main()
