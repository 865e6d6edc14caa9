"""Writes docs/results.md from docs/measurements; a measurement that is missing is said to be missing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rationale.reproduce.measure import measurements_directory

_HEAD = """# Results

Written by `make reproduce` and `make fresh` from the figures in `docs/measurements`; do not edit.
"""


def write_results() -> Path:
    """Writes docs/results.md and returns its path."""
    sections = [_HEAD, _classifier(), _conservation(), _speed(), _fresh()]
    path = measurements_directory().parent / "results.md"
    path.write_text("\n".join(sections), encoding="utf-8")
    return path


def _read(name: str) -> dict[str, Any] | None:
    path = measurements_directory() / f"{name}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _section(title: str, figures: dict[str, Any] | None, rows: Sequence[tuple[str, ...]], remark: str = "") -> str:
    if figures is None:
        return f"## {title}\n\nNot measured yet.\n"
    head, *body = rows
    table = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in body)]
    lines = [f"## {title}", "", *(f"| {line} |" for line in table), ""]
    lines += [remark, ""] if remark else []
    where = figures["where"]
    lines += [f"Measured {where['date']} on {where['processor']}, {where['system']}; {where['versions']}.", ""]
    return "\n".join(lines)


def _classifier() -> str:
    figures = _read("mnist-classifier")
    if figures is None:
        return _section("MNIST: the classifier", None, [])
    shipped, again = figures["shipped"], figures["retrained"]
    rows = [
        ("LeNet, 10,000 test digits", "right", "accuracy"),
        ("weights in `weights/mnist`", f"{shipped['right']:,}", f"**{shipped['accuracy']:.2%}**"),
        ("trained anew by this run", f"{again['right']:,}", f"{again['accuracy']:.2%}"),
    ]
    same = "identical bit for bit to" if figures["identical"] else "not identical to"
    remark = (
        f"The new weights are {same} those in `weights/mnist`. Training: {figures['updates']:,} updates in "
        f"{figures['training_seconds'] / 60:.1f} minutes; accuracy on the 10,000 validation digits, which alone guided "
        f"choices, {figures['validation_accuracy']:.2%}. The test digits were used for this table only."
    )
    return _section("MNIST: the classifier", figures, rows, remark)


def _conservation() -> str:
    figures = _read("mnist-conservation")
    names = [name for name in figures or {} if name != "where"]
    rows: list[tuple[str, ...]] = [("composite", "largest residual of any layer, as a share of f(x)")]
    rows += [(f"`{name}`", f"{(figures or {})[name]:.1e}") for name in names]
    remark = "Over all 10,000 test digits: received − passed on − biases − stabiliser; the bar is 1e-4."
    return _section("MNIST: does every layer's account close?", figures, rows, remark)


def _speed() -> str:
    figures = _read("mnist-speed")
    if figures is None:
        return _section("MNIST: speed", None, [])
    one, whole = figures["explain_one"], figures["explain_test_set"]
    memory = " / ".join(f"{whole[key]:.0f}" for key in ("third", "two_thirds", "end"))
    rows = [
        ("command", "measured", "bar"),
        (
            "`rationale explain` on one digit, start-up included",
            f"median {one['median']:.2f} s, least {one['least']:.2f} s of {one['runs']:.0f}",
            "2 s",
        ),
        (
            "`rationale batch heatmaps --composite epsilon-plus`, 10,000 test digits",
            f"{whole['seconds']:.1f} s",
            "60 s",
        ),
        ("its memory after a third / two thirds / all of that time", f"{memory} MiB", "flat"),
    ]
    return _section("MNIST: speed", figures, rows)


def _fresh() -> str:
    figures = _read("fresh-machine")
    if figures is None:
        return _section("From a fresh clone", None, [])
    rows: list[tuple[str, ...]] = [("step", "time", "bar")]
    rows += [(step["what"], f"{step['seconds']:.0f} s", step.get("bar", "")) for step in figures["steps"]]
    return _section("From a fresh clone", figures, rows, figures["remark"])
