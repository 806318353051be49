"""Draws the results of `cargo xtask bench` as SVG images.

    python bench.py target/bench/results/accept.json …

Writes `accept.svg` beside `accept.json`: a diagram for each figure, with medians, and bars from the
lowest to the highest value.
"""

import json
import sys
from pathlib import Path

from diagram import COLORS, legend, plt, save, style

LABELS_MAX = 4
"""The most labels of cases that are written beside each other. More are rotated."""


def points(report: dict, contender: str, figure: str) -> list[tuple[dict, dict]]:
    """The cases of a contender that have a figure, with the figure."""
    return [
        (row["case"], row["figures"][figure])
        for row in report["rows"]
        if row["contender"] == contender and figure in row["figures"]
    ]


def errors(spreads: list[dict]) -> list[list[float]]:
    """The distances from the medians to the lowest and the highest values."""
    return [
        [spread["median"] - spread["min"] for spread in spreads],
        [spread["max"] - spread["median"] for spread in spreads],
    ]


def lines(axes, report: dict, figure: str, contenders: list[str]):
    """A line for each contender, over what varies."""
    for color, contender in zip(COLORS, contenders):
        of = points(report, contender, figure)
        if not of:
            continue
        spreads = [spread for _, spread in of]
        axes.errorbar(
            [case["x"] for case, _ in of],
            [spread["median"] for spread in spreads],
            yerr=errors(spreads),
            label=contender,
            color=color,
            linewidth=1.3,
            marker="o",
            markersize=3,
            capsize=2,
        )
    axes.set_xscale("log")
    axes.set_xlabel(report["x_axis"], fontsize=9)


def bars(axes, report: dict, figure: str, contenders: list[str]):
    """A group of bars for each case that has the figure."""
    rows = [row for row in report["rows"] if figure in row["figures"]]
    labels = list(dict.fromkeys(row["case"]["label"] for row in rows))
    width = 0.8 / len(contenders)
    for index, (color, contender) in enumerate(zip(COLORS, contenders)):
        of = points(report, contender, figure)
        spreads = [spread for _, spread in of]
        at = [labels.index(case["label"]) + (index - (len(contenders) - 1) / 2) * width for case, _ in of]
        heights = [spread["median"] for spread in spreads]
        axes.bar(at, heights, width, yerr=errors(spreads), label=contender, color=color, capsize=2)
    names = [label.replace(", ", "\n") for label in labels]
    if len(labels) > LABELS_MAX:
        axes.set_xticks(range(len(labels)), names, fontsize=8, rotation=30, ha="right")
    else:
        axes.set_xticks(range(len(labels)), names, fontsize=8)


def draw(path: Path):
    """Draws one file."""
    report = json.loads(path.read_text())
    contenders = list(dict.fromkeys(row["contender"] for row in report["rows"]))
    columns = report["columns"]
    rows = (len(columns) + 1) // 2
    figure, grid = plt.subplots(rows, 2, figsize=(11, 2.8 * rows), squeeze=False)
    all_axes = list(grid.flat)
    for axes, column in zip(all_axes, columns):
        plot = lines if report["x_axis"] else bars
        plot(axes, report, column["figure"], contenders)
        style(axes, column["heading"], "")
    for axes in all_axes[len(columns) :]:
        axes.axis("off")
    # A figure may be missing in all rows, or in those of some contenders.
    named = max(all_axes, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    if not report["x_axis"]:
        # Room above the bars.
        named.set_ylim(top=1.5 * named.get_ylim()[1])
    legend(named, 3)
    figure.suptitle(report["title"], fontsize=11)
    save(figure, str(path.with_suffix(".svg")))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: bench.py RESULTS.json …")
    for argument in sys.argv[1:]:
        draw(Path(argument))
