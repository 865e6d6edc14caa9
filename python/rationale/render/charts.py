"""Charts of measurements. They want matplotlib: `pip install 'rationale[charts]'`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rationale.errors import OutputError
from rationale.render.fonts import FAMILIES

INK, QUIET, GRID = "#1f2430", "#6b7280", "#e5e7eb"
# Told apart with any kind of colour blindness, also in grey (after Okabe and Ito).
SERIES = ("#9b1c31", "#2166ac", "#e08214", "#1b7837", "#7b3294", "#35978f", "#c51b7d", "#8c510a")
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": INK,
    "figure.dpi": 100,
    "savefig.dpi": 160,
}


@dataclass(frozen=True)
class Dot:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One curve; a band is drawn where `low` and `high` are given."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def dot_chart(
    path: Path,
    title: str,
    panels: Mapping[str, Mapping[str, Dot]],
    *,
    highlighted: Sequence[str] = (),
    chance: Mapping[str, float] | None = None,
    note: str = "",
) -> Path:
    """A row of panels that share their rows: by panel title, by row name, a dot with its interval.

    Args:
        path: the PNG.
        title: over all panels.
        panels: the rows of the first panel, from the top, order all.
        highlighted: rows drawn in red.
        chance: by panel title, a line to compare with.
        note: under the panels.
    """
    names = list(next(iter(panels.values())))
    with _figure(path, title, len(panels), 0.24 * len(names) + 1.3, 2.5, note, sharey=True) as axes:
        for axis, (name, rows) in zip(axes, panels.items(), strict=True):
            for place, row in enumerate(names):
                if row not in rows:
                    continue
                dot, colour = rows[row], SERIES[0] if row in highlighted else SERIES[1]
                axis.plot([dot.low, dot.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
                axis.plot(dot.mean, place, "o", color=colour, markersize=4)
            if chance and name in chance:
                axis.axvline(chance[name], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
            axis.set_title(name)
            axis.grid(axis="x")
            axis.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.4, -0.6)
    return path


def line_chart(
    path: Path,
    title: str,
    panels: Mapping[str, Mapping[str, Line]],
    *,
    x_label: str,
    y_label: str,
    ticks: Sequence[str] | None = None,
    percent: bool = False,
    share_y: bool = True,
    note: str = "",
) -> Path:
    """A row of panels of curves, by panel title and curve name; one legend for all.

    Args:
        path: the PNG.
        title: over all panels.
        panels: by title, the curves by name, drawn in the same colour everywhere.
        x_label, y_label: of the axes.
        ticks: names of the places 0, 1, 2, … on the x axis.
        percent: both axes are shares.
        share_y: all panels have the same y axis.
        note: under the panels.
    """
    from matplotlib.ticker import PercentFormatter

    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    colours = {name: SERIES[number % len(SERIES)] for number, name in enumerate(names)}
    width = 7.0 if len(panels) == 1 else 3.0 if share_y else 4.0
    with _figure(path, title, len(panels), 3.3, width, note, sharey=share_y, legend=names) as axes:
        for axis, (name, rows) in zip(axes, panels.items(), strict=True):
            for place, (row, line) in enumerate(rows.items()):
                dashed = names.index(row) >= len(SERIES)
                width = 1.4 + 2.4 * (1 - place / max(1, len(rows) - 1))  # where curves coincide, those under it show
                axis.plot(line.x, line.y, "--" if dashed else "-", color=colours[row], linewidth=width, label=row)
                if line.low is not None and line.high is not None:
                    axis.fill_between(line.x, line.low, line.high, color=colours[row], alpha=0.15, linewidth=0)
            axis.set_title(name)
            axis.set_xlabel(x_label)
            axis.grid()
            if ticks:
                crowded = {"rotation": 90} if len(ticks) > 8 else {}
                axis.set_xticks(range(len(ticks)), ticks, **crowded)
            if percent:
                axis.xaxis.set_major_formatter(PercentFormatter(1.0))
                axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes[0].set_ylabel(y_label)
    return path


@cache
def _families() -> list[str]:
    """The fonts that are there, of those that together have the signs of most scripts."""
    from matplotlib.font_manager import get_font_names

    there = set(get_font_names())
    return [name for name in FAMILIES if name in there]


@contextmanager
def _figure(
    path: Path, title: str, panels: int, height: float, width: float, note: str, legend: Sequence[str] = (), **more: Any
) -> Iterator[Any]:
    """The axes of a row of panels; the figure is saved in the end."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError("charts want matplotlib: pip install 'rationale[charts]'") from error
    with rc_context({**_STYLE, "font.family": _families()}):
        margin = 1.6 if "sharey" in more and not legend else 0.6
        across = max(
            panels * width + margin, 0.11 * len(title), 0 if legend else 0.06 * len(note)
        )  # inches, for all text
        figure = Figure(figsize=(across, height + 0.5), layout="constrained")
        FigureCanvasAgg(figure)  # a canvas of its own: the backend of who calls stays as it is
        grid = figure.subplots(1, panels, squeeze=False, **more)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        yield grid[0]
        if legend:
            found = {
                name: handle for axis in grid[0] for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
            }
            figure.legend(
                [found[name] for name in legend],
                legend,
                loc="outside lower left",
                ncols=min(len(legend), max(2, int(panels * width / 1.5))),
                frameon=False,
                title=note,
                title_fontsize=8,
                alignment="left",
            )
        elif note:
            figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=QUIET)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata={"Software": None})
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def matrix_chart(path: Path, title: str, counts: Any, names: Sequence[str], *, note: str = "") -> Path:
    """A confusion matrix: shares of each row in shades, counts as numbers.

    Args:
        path: the PNG.
        title: over it.
        counts: int (classes, classes), true classes in rows.
        names: of the classes.
        note: under it.
    """
    side = max(2.6, 0.36 * len(names))
    with _figure(path, title, 1, side + 0.9, side + 1.8, note) as axes:
        (axis,) = axes
        shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                if count:
                    colour = "white" if shares[row, column] > 0.6 else INK
                    axis.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=8)
        axis.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0)
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        axis.tick_params(length=0)
    return path


def reliability_chart(
    path: Path, title: str, confidence: Sequence[float], right: Sequence[float], counts: Sequence[int], note: str = ""
) -> Path:
    """How often the classifier is right against how sure it was, by bins; the diagonal is perfect.

    Args:
        path: the PNG.
        title: over it.
        confidence, right, counts: of each bin: mean confidence, share right, pictures; NaN where a bin is empty.
        note: under it.
    """
    with _figure(path, title, 1, 3.4, 4.6, note) as axes:
        (axis,) = axes
        axis.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        filled = [place for place, count in enumerate(counts) if count]
        axis.plot([confidence[p] for p in filled], [right[p] for p in filled], "-", color=SERIES[1], linewidth=1.5)
        for place in filled:
            size = 20 + 300 * counts[place] / sum(counts)
            axis.scatter(confidence[place], right[place], s=size, color=SERIES[1], alpha=0.85, zorder=3)
            axis.annotate(
                f"{counts[place]}",
                (confidence[place], right[place]),
                textcoords="offset points",
                xytext=(0, -14),
                ha="center",
                fontsize=8,
                color=QUIET,
            )
        axis.set_xlim(-0.02, 1.04)
        axis.set_ylim(-0.02, 1.04)
        axis.set_xlabel("confidence")
        axis.set_ylabel("share right")
        axis.grid()
    return path
