"""Networks trained side by side are those that are trained alone; what goes wrong in one is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from rationale.errors import ModelError, NetworkError
from rationale.model import Model
from rationale.training import train_classifier
from rationale.training.side_by_side import Run, train_side_by_side


@pytest.fixture
def brief_model(mnist_model: Model, tmp_path: Path) -> Model:
    """LeNet, trained by 20 updates."""
    solver = mnist_model.description.files.solver
    assert solver is not None
    text = solver.read_text().replace('"train_val.prototxt"', f'"{solver.parent / "train_val.prototxt"}"')
    lines = [line for line in text.splitlines() if not line.startswith("max_iter")]
    (tmp_path / "solver.prototxt").write_text("\n".join([*lines, "max_iter: 20"]))
    files = replace(mnist_model.description.files, solver=tmp_path / "solver.prototxt")
    how = replace(mnist_model.description.training, with_val=True)  # and no time is spent on accuracies
    return Model("brief", mnist_model.directory, replace(mnist_model.description, files=files, training=how))


def test_networks_are_those_that_are_trained_alone(brief_model: Model, tmp_path: Path) -> None:
    runs = [Run(brief_model, tmp_path / f"seed-{seed}", seed) for seed in (1, 2, 3)]
    weights = [path.read_bytes() for path in train_side_by_side(runs, at_once=2)]
    assert len(set(weights)) == 3
    for seed, found in zip((1, 2, 3), weights, strict=True):
        alone = train_classifier(brief_model, tmp_path / f"alone-{seed}", seed=seed, threads=1)
        assert alone.read_bytes() == found
    again = train_side_by_side(runs, at_once=1)  # nothing is left to do
    assert [path.read_bytes() for path in again] == weights
    assert (tmp_path / "seed-2" / "curves.png").stat().st_size > 5000


def test_what_goes_wrong_in_one_is_told(brief_model: Model, tmp_path: Path) -> None:
    wrong = Model("wrong", brief_model.directory, replace(brief_model.description, dataset="no-such-set"))
    with pytest.raises(ModelError, match="no-such-set"):
        train_side_by_side([Run(brief_model, tmp_path / "right"), Run(wrong, tmp_path / "wrong")], at_once=2)


def test_a_training_that_dies_is_told(brief_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rationale.training.side_by_side._train", _die)
    with pytest.raises(NetworkError, match="brief, one: the training ended with 3"):
        train_side_by_side([Run(brief_model, tmp_path / "one")])


def _die(*_: object) -> None:
    raise SystemExit(3)
