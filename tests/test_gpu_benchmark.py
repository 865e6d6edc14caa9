"""The benchmark for cards, as far as a machine without one can run it: all of it, on a small network."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu, marks
from rationale.errors import RationaleError
from rationale.network import device
from tests import networks
from tests.conftest import ROOT


@pytest.mark.skipif(device.card_count() > 0, reason="there is a card here")
def test_without_a_card_it_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("benchmarks.gpu: GPU 0 was asked for, but ")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch and zennit are not here: make peers")
def test_a_dry_run_measures_all_and_fills_the_page(tmp_path: Path) -> None:
    """LeNet on the processor; zennit in its own process finds the same relevance."""
    page = tmp_path / "gpu.md"
    before = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    page.write_text(before, encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.gpu", "--cpu", "--rounds", "1", "--page", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    after = page.read_text(encoding="utf-8")
    head, _, rest = before.partition(gpu.BEGIN)
    assert after.startswith(head + gpu.BEGIN)
    assert after.endswith(marks.END + rest.partition(marks.END)[2])
    rows = [line for line in after.splitlines() if line.startswith("| `epsilon")]
    assert [row.split("`")[1] for row in rows] == list(gpu.COMPOSITES)
    for row in rows:
        from_processor, from_zennit = (float(cell) for cell in row.split("|")[2:4])
        assert from_processor == 0
        assert from_zennit < 1e-4
    for precision in gpu.PRECISIONS:
        assert after.count(f"| {precision} | ") == 2 * (len(gpu.COMPOSITES) + 1)
    assert (ROOT / "docs/gpu.md").read_text(encoding="utf-8") == before


def test_figures_want_a_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(RationaleError, match="has no place for figures"):
        marks.write_between(page, gpu.BEGIN, ["| a |"])
    assert page.read_text() == "nothing here\n"


def test_a_python_without_zennit_is_named(tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.low_and_high())
    with pytest.raises(RationaleError, match=r"zennit does not run \(.*No module named .*\); `make peers`"):
        gpu.Zennit(network, tmp_path, _python_without_packages(tmp_path), "cpu")


def _python_without_packages(folder: Path) -> str:
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {getattr(sys, "_base_executable", sys.executable)} -S -E "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_layers_are_described_with_their_weights(tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.low_and_high())
    layers, weights = gpu.described(network)
    assert [layer["type"] for layer in layers] == ["conv", "relu", "conv", "flatten", "dense"]
    assert set(weights) == {f"{place}.{part}" for place in (0, 2, 4) for part in ("weight", "bias")}
    np.testing.assert_array_equal(weights["2.weight"], network.parameters(network.graph.node("high"))[0])
    json.dumps(layers)
    branches = (
        networks.layer("a", "Split", "data", "a") + networks.layer("b", "TanH", "a") + networks.dense("s", "b", 2)
    )
    with pytest.raises(RationaleError, match="cannot be compared here"):
        gpu.described(networks.load(tmp_path, branches))
