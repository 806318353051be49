"""What all images have in common."""

import matplotlib

matplotlib.use("svg")
# The same data results in the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "doorbuster"
import matplotlib.pyplot as plt  # noqa: E402

COLORS = ["#1f6feb", "#d29922", "#cf222e", "#2da44e", "#8250df", "#57606a"]


def style(axes, title: str, unit: str):
    """The title, the unit and the grid of a diagram, which begins at zero."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(unit, fontsize=9)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)


def legend(axes, columns: int):
    """The names of the lines, in a row."""
    axes.legend(fontsize=8, frameon=False, ncols=columns)


def save(figure, image: str):
    """Writes the image, without the date."""
    figure.tight_layout()
    figure.savefig(image, metadata={"Date": None})
    plt.close(figure)
