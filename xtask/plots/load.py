"""Draws a run of `black_friday.py` as an SVG image.

    python load.py run report.svg

Reads `run_stats_history.csv`, which Locust wrote, and `run_pipeline.csv` if there is one.
"""

import csv
import sys
from pathlib import Path

from diagram import COLORS, legend, plt, save, style


def rows(path: Path) -> list[dict]:
    """The lines of a table."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def numbers(table: list[dict], column: str) -> list[float]:
    """A column. Values that Locust has not computed yet are NaN."""
    return [float(row[column]) if row[column] not in ("", "N/A") else float("nan") for row in table]


def rates(times: list[float], totals: list[float]) -> list[float]:
    """The increase of a total per second."""
    steps = zip(times, times[1:], totals, totals[1:])
    return [float("nan"), *((after - before) / (end - start) for start, end, before, after in steps)]


def panel(axes, title: str, unit: str, lines: list[tuple[str, list[float], list[float]]]):
    """One diagram."""
    for color, (label, times, values) in zip(COLORS, lines):
        axes.plot(times, values, label=label, color=color, linewidth=1.3)
    style(axes, title, unit)
    if len(lines) > 1:
        legend(axes, len(lines))


def main(prefix: str, image: str):
    """Reads the tables and draws the image."""
    load = [row for row in rows(Path(f"{prefix}_stats_history.csv")) if row["Name"] == "Aggregated"]
    start = float(load[0]["Timestamp"])
    times = [float(row["Timestamp"]) - start for row in load]
    panels = [
        ("Users", "users", [("users", times, numbers(load, "User Count"))]),
        ("Requests", "1/s", [
            ("answered", times, numbers(load, "Requests/s")),
            ("failed", times, numbers(load, "Failures/s")),
        ]),
        ("Time to the answer", "ms", [
            (label, times, numbers(load, column))
            for label, column in (("median", "50%"), ("95 %", "95%"), ("99 %", "99%"))
        ]),
    ]  # fmt: skip
    pipeline = Path(f"{prefix}_pipeline.csv")
    if pipeline.exists():
        table = rows(pipeline)
        at = [time - start for time in numbers(table, "time_s")]
        panels += [
            ("Counted sales", "1/s", [("counted", at, rates(at, numbers(table, "records")))]),
            ("Sales in Kafka that are not counted yet", "sales", [("lag", at, numbers(table, "lag"))]),
        ]
        if any(row["cpu_s"] for row in table):
            memory = [value / 2**20 for value in numbers(table, "memory_bytes")]
            panels += [
                ("Processor time", "cores", [("cores", at, rates(at, numbers(table, "cpu_s")))]),
                ("Memory", "MiB", [("resident", at, memory)]),
            ]
    figure, all_axes = plt.subplots(len(panels), sharex=True, figsize=(9, 1.7 * len(panels)))
    for axes, (title, unit, lines) in zip(all_axes, panels):
        panel(axes, title, unit, lines)
    all_axes[-1].set_xlabel("time, s", fontsize=9)
    save(figure, image)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: load.py PREFIX IMAGE.svg")
    main(*sys.argv[1:])
