"""The results page says what was measured and nothing else."""

from pathlib import Path

import pytest

from rationale.errors import DataError
from rationale.reproduce import measure, results, run_experiments
from rationale.reproduce.heatmaps import has_stalled, table


def test_the_page_in_docs_is_what_the_measurements_give() -> None:
    page = measure.measurements_directory().parent / "results.md"
    assert results.results_page() == page.read_text()


def test_a_missing_measurement_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "measurements").mkdir()
    monkeypatch.setattr(results, "measurements_directory", lambda: tmp_path / "measurements")
    assert results.results_page().count("Not measured yet.") == 11


def test_an_installed_package_keeps_its_results_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert measure.measurements_directory().is_absolute()  # a checkout's
    monkeypatch.setattr(measure, "in_checkout", lambda: False)
    measure.keep("mnist-conservation", {"epsilon": 1e-7})
    assert "| `epsilon` | 1.0e-07 |" in results.write_results().read_text()
    assert {path.as_posix() for path in Path("results").rglob("*.*")} == {
        "results/results.md",
        "results/measurements/mnist-conservation.json",
    }


def test_an_unknown_experiment_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are mnist"):
        next(run_experiments(["mnist", "imagenet"], tmp_path))


def test_commands_are_timed_with_their_start() -> None:
    timed = measure.seconds_to_run(["sleep", "0.1"], 2)
    assert 0.1 <= timed["least"] <= timed["median"] < 2
    assert measure.memory_while_running(measure.command("models"))["end"] > 1


def test_training_that_learns_nothing_is_given_up() -> None:
    assert not has_stalled([0.1, 0.1, 0.1])
    assert has_stalled([0.1, 0.12, 0.11, 0.1, 0.11, 0.125, 0.12])
    assert not has_stalled([0.1, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17])
    assert not has_stalled([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3])


def test_figures_are_told_in_lines_as_wide_as_their_heads() -> None:
    def values(aopc: float) -> dict[str, object]:
        return {"flipping": {"MoRF": {"mean": {"aopc": [aopc, 0, 1]}}}, "other_class": [-aopc, 0, 1]}

    methods = {"epsilon": values(0.25), "gradient × input": values(0.5)}
    lines = table({"methods": methods, "fillings": ["mean"]})
    assert [line.split("  ")[0].strip() for line in lines] == ["", "gradient × input", "epsilon"]
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith("-0.500")
