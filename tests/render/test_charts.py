"""Charts must be drawn from plain numbers, and say what is missing where they cannot be."""

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rationale.errors import OutputError
from rationale.render.charts import Dot, Line, dot_chart, line_chart
from rationale.render.gallery import gallery


def test_dots_lie_where_their_numbers_are(tmp_path: Path) -> None:
    panels = {"one": {"a": Dot(0.1, 0.0, 0.2), "b": Dot(0.9, 0.8, 1.0)}, "two": {"a": Dot(0, 0, 0)}}
    pixels = np.array(Image.open(dot_chart(tmp_path / "dots.png", "Title", panels, highlighted=["b"])).convert("RGB"))
    red = np.argwhere((pixels == (155, 28, 49)).all(axis=-1))
    blue = np.argwhere((pixels == (33, 102, 172)).all(axis=-1))
    assert red[:, 0].min() > blue[:, 0].max()  # b is under a
    assert red[:, 1].min() > blue[blue[:, 1] < pixels.shape[1] / 2, 1].max()  # and further right


def test_lines_are_drawn_in_one_colour_on_every_panel(tmp_path: Path) -> None:
    panels = {name: {"first": Line([0, 1], [0, 1]), "second": Line([0, 1], [1, 0])} for name in ("one", "two")}
    path = line_chart(tmp_path / "deep" / "lines.png", "Title", panels, x_label="x", y_label="y")
    pixels = np.array(Image.open(path).convert("RGB"))
    for colour in ((155, 28, 49), (33, 102, 172)):
        columns = np.argwhere((pixels == colour).all(axis=-1))[:, 1]
        assert columns.min() < pixels.shape[1] / 2 < columns.max()


def test_a_notebooks_own_figures_stay_as_they_are(tmp_path: Path) -> None:
    """After a chart of ours, the user's next figure must still show up where it did, in the style that it had."""
    chart = 'line_chart(Path("c.png"), "T", {"one": {"a": Line([0, 1], [0, 1])}}, x_label="x", y_label="y")'
    code = f"""
import matplotlib
matplotlib.use("svg")
from matplotlib import pyplot
before = (matplotlib.get_backend(), dict(matplotlib.rcParams), pyplot.get_fignums(), pyplot.isinteractive())
from pathlib import Path
import rationale, rationale.cli
from rationale.render.charts import Line, line_chart
{chart}
assert before == (matplotlib.get_backend(), dict(matplotlib.rcParams), pyplot.get_fignums(), pyplot.isinteractive())
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *more: Any, **kinds: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return usual(name, *more, **kinds)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OutputError, match=r"rationale\[charts\]"):
        dot_chart(tmp_path / "dots.png", "Title", {"one": {"a": Dot(0, 0, 0)}})


def test_a_chart_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        dot_chart(tmp_path / "file" / "dots.png", "Title", {"one": {"a": Dot(0, 0, 0)}})


@pytest.mark.parametrize("shape", [(28, 28), (227, 227, 3), (300, 500, 3)])
def test_a_gallery_has_a_tile_for_each_heatmap(shape: tuple[int, ...]) -> None:
    maps = {f"map {number}": np.full(shape[:2], sign, float) for number, sign in enumerate([1, -1, 1, 1, 1, 1])}
    picture = gallery(np.zeros(shape, np.uint8), maps, columns=4)
    assert (picture == (103, 0, 31)).all(axis=-1).sum() > 4 * (picture == (5, 48, 97)).all(axis=-1).sum() > 0
