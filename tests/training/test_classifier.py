"""Training must learn, see every picture once an epoch, and change pictures only within what model.toml says."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.description import Training
from rationale.errors import ModelError, NetworkError, OutputError
from rationale.evaluation.classification import Classification, classify
from rationale.model import Model
from rationale.network import Network, Solver
from rationale.resources import held
from rationale.training import train_classifier
from rationale.training.augment import augment
from rationale.training.averaging import Average
from rationale.training.classifier import LEARNT, VALIDATION, training_batch
from rationale.training.loop import Progress


def test_a_few_updates_learn_something(mnist_model: Model, tmp_path: Path) -> None:
    seen = []
    weights = train_classifier(
        mnist_model, tmp_path, lambda progress, last: seen.append(progress.iteration), iterations=100
    )
    assert weights.exists()
    assert seen == list(range(10, 101, 10))
    progress = json.loads((tmp_path / "progress.json").read_text())
    validation, learnt = progress["curves"][VALIDATION], progress["curves"][LEARNT]
    assert validation[-1][0] == learnt[-1][0] == 100
    assert learnt[-1][1] > 0.3  # a mean over the first updates, too
    assert validation[-1][1] > 0.7
    # Asking for what is done already changes nothing.
    before = weights.read_bytes()
    assert train_classifier(mnist_model, tmp_path, iterations=100).read_bytes() == before


def test_an_epoch_holds_every_picture_once(mnist_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counter:
        iteration = 0

        def batch_size(self) -> int:
            return 2500

    train = load_dataset("mnist").split("train")
    monkeypatch.setattr("rationale.training.classifier.augment", lambda batch, how, random: batch)
    solver, sums = Counter(), []
    for solver.iteration in range(20):
        sums.append(training_batch(mnist_model, train, solver, seed=3)["data"].sum(dtype=np.float64))
    expected = np.asarray(train.images, np.float64).sum() / 255
    assert sum(sums) == pytest.approx(expected, rel=1e-6)
    solver.iteration = 3
    again = training_batch(mnist_model, train, solver, seed=3)
    assert again["data"].sum(dtype=np.float64) == sums[3]
    assert again["label"].shape == (2500,)
    assert training_batch(mnist_model, train, solver, seed=4)["data"].sum(dtype=np.float64) != sums[3]


def test_augmentation_stays_within_bounds() -> None:
    random = np.random.default_rng(0)
    dot = np.zeros((200, 1, 21, 21), np.float32)
    dot[:, :, 10, 10] = 1
    moved = augment(dot, Training(shift=3), random)
    places = np.array([np.unravel_index(picture[0].argmax(), (21, 21)) for picture in moved])
    assert np.abs(places - 10).max() == 3
    bar = np.zeros((50, 1, 21, 21), np.float32)
    bar[:, :, 10, 4:17] = 1
    turned = augment(bar, Training(rotate=45), random)
    assert turned[:, 0, 10, 10].min() > 0.9
    assert (turned[:, 0, 10, 4] < 0.5).mean() > 0.5
    assert augment(bar, Training(), random) is bar


def test_the_solvers_own_steps_are_sgd_with_momentum(mnist_model: Model, tmp_path: Path) -> None:
    solver = Solver.load(mnist_model.description.files.solver, tmp_path)
    size = solver.batch_size()
    batch = {"data": np.zeros((size, 1, 28, 28), np.float32), "label": np.full(size, 4, np.float32)}
    losses = [solver.step(batch) for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(10), rel=0.05)
    assert losses[-1] < losses[0] - 0.1
    assert solver.iteration == 30


def test_a_snapshot_restores_also_after_its_folder_moved(mnist_model: Model, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    solver = Solver.load(mnist_model.description.files.solver, tmp_path / "here")
    size = solver.batch_size()
    batch = {"data": np.zeros((size, 1, 28, 28), np.float32), "label": np.full(size, 4, np.float32)}
    solver.step(batch)
    state = solver.snapshot()
    moved = (tmp_path / "here").rename(tmp_path / "there") / state.name
    again = Solver.load(mnist_model.description.files.solver, tmp_path / "there")
    again.restore(moved)
    assert again.iteration == 1
    moved.write_bytes(b"rubbish\xff")
    with pytest.raises(NetworkError, match="remove it to start anew"):
        again.restore(moved)


def test_mistakes_are_named(mnist_model: Model, tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(OutputError, match=r"progress\.json: cannot be read"):
        train_classifier(mnist_model, tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        train_classifier(mnist_model, tmp_path / "progress.json" / "below")
    description = replace(mnist_model.description, dataset=None)
    with pytest.raises(ModelError, match=r"wants files\.solver and dataset"):
        train_classifier(Model("mine", mnist_model.directory, description), tmp_path)


@pytest.fixture
def quiet_model(mnist_model: Model) -> Model:
    """LeNet that learns from val too, so that no time is spent on accuracies."""
    how = replace(mnist_model.description.training, with_val=True)
    return Model("quiet", mnist_model.directory, replace(mnist_model.description, training=how))


def test_an_interrupted_training_has_the_same_curve(quiet_model: Model, tmp_path: Path) -> None:
    def interrupt(progress: Progress, last: int) -> None:
        if progress.iteration == 10:
            raise KeyboardInterrupt

    train_classifier(quiet_model, tmp_path / "whole", iterations=20, threads=1)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(quiet_model, tmp_path / "cut", interrupt, iterations=20, threads=1)
    train_classifier(quiet_model, tmp_path / "cut", iterations=20, threads=1)
    whole, cut = (json.loads((tmp_path / name / "progress.json").read_text()) for name in ("whole", "cut"))
    assert whole["curves"] == cut["curves"] != {}


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_update(
    mnist_model: Model, tmp_path: Path, kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between an update and the mean of the weights: the update would be missing in the mean, for good."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of what a shell starts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    how = replace(mnist_model.description.training, with_val=True, average=1.0)
    model = Model("mnist", mnist_model.directory, replace(mnist_model.description, training=how))
    whole = train_classifier(model, tmp_path / "whole", iterations=15, threads=1)
    measured = Solver.batch_accuracy

    def interrupted(solver: Solver) -> float:
        if solver.iteration == 7:
            os.kill(os.getpid(), kind)
        return measured(solver)

    with monkeypatch.context() as patch:
        patch.setattr(Solver, "batch_accuracy", interrupted)
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(KeyboardInterrupt):
            train_classifier(model, tmp_path / "cut", iterations=15, threads=1)
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert json.loads((tmp_path / "cut" / "progress.json").read_text())["iteration"] == 7
    resumed = train_classifier(model, tmp_path / "cut", iterations=15, threads=1)
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_measurement_that_was_interrupted_is_made_again(
    mnist_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last update, with the mean of the weights lent: neither the point nor the right weights may be lost."""
    val = load_dataset("mnist").split("val")
    few = replace(val, ids=val.ids[:60], images=val.images[:60], labels=val.labels[:60])
    model = averaging(mnist_model, 0.5)

    def interrupted(*arguments: Any) -> Classification:
        def report(done: int, total: int) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            arguments[3](done, total)

        return classify(*arguments[:2], few, report)

    where = "rationale.training.classifier.classify"
    monkeypatch.setattr(where, lambda model, network, split, report: classify(model, network, few, report))
    whole = train_classifier(model, tmp_path / "whole", iterations=10, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(model, tmp_path / "cut", iterations=10, threads=1)
    resumed = train_classifier(model, tmp_path / "cut", iterations=10, threads=1)
    curves = [json.loads((tmp_path / name / "progress.json").read_text())["curves"] for name in ("whole", "cut")]
    assert curves[0] == curves[1]
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_folder_belongs_to_one_training(quiet_model: Model, tmp_path: Path) -> None:
    train_classifier(quiet_model, tmp_path, iterations=4, seed=1)
    with pytest.raises(OutputError, match=r"another training \(seed differ"):
        train_classifier(quiet_model, tmp_path, iterations=4, seed=2)
    how = replace(quiet_model.description.training, shift=1.0)
    other = Model("quiet", quiet_model.directory, replace(quiet_model.description, training=how))
    with pytest.raises(OutputError, match=r"model\.toml differ"):
        train_classifier(other, tmp_path, iterations=4, seed=1)
    with pytest.raises(OutputError, match="4 updates already, not 3"):
        train_classifier(quiet_model, tmp_path, iterations=3, seed=1)
    with held(tmp_path / "lock"), pytest.raises(OutputError, match="another process is training there"):
        train_classifier(quiet_model, tmp_path, iterations=5, seed=1)


def test_labels_must_be_the_classes_of_the_data_set(quiet_model: Model, tmp_path: Path) -> None:
    output = replace(quiet_model.description.output, labels=tuple("1234567890"))
    turned = Model("turned", quiet_model.directory, replace(quiet_model.description, output=output))
    with pytest.raises(ModelError, match="labels are 1, 2, 3, 4, 5, 6 …; its data set 'mnist' has 0, 1, 2, 3, 4, 5 …"):
        train_classifier(turned, tmp_path, iterations=1)


def test_a_learning_rate_that_ends_is_not_outrun(quiet_model: Model, tmp_path: Path) -> None:
    solver = quiet_model.description.files.solver
    assert solver is not None
    lines = [line for line in solver.read_text().splitlines() if not line.startswith(("lr_policy", "net", "max_iter"))]
    lines += [f'net: "{solver.parent / "train_val.prototxt"}"', 'lr_policy: "poly"', "max_iter: 5"]
    (tmp_path / "solver.prototxt").write_text("\n".join(lines))
    files = replace(quiet_model.description.files, solver=tmp_path / "solver.prototxt")
    model = Model("poly", quiet_model.directory, replace(quiet_model.description, files=files))
    with pytest.raises(ModelError, match="learning rate ends at update 5, not at 6"):
        train_classifier(model, tmp_path / "out", iterations=6)


def averaging(model: Model, share: float) -> Model:
    how = replace(model.description.training, average=share)
    return Model(model.name, model.directory, replace(model.description, training=how))


def test_weights_are_the_mean_over_the_last_updates(mnist_model: Model, tmp_path: Path) -> None:
    model = averaging(mnist_model, 0.5)
    seen: dict[int, dict[str, np.ndarray]] = {}

    class Watched(Average):
        def add(self, solver: Solver) -> None:
            seen[solver.iteration] = solver.weights()
            super().add(solver)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rationale.training.classifier.Average", Watched)
        weights = train_classifier(model, tmp_path, iterations=6, threads=1)
    network = Network.load(model.description.files.classifier, weights)
    for number, values in enumerate(network.parameters(network.graph.node("conv1"))):
        mean = np.mean([seen[at][f"conv1/{number}"].astype(np.float64) for at in (4, 5, 6)], axis=0)
        np.testing.assert_array_equal(values, mean.astype(np.float32))
        assert not np.array_equal(values, seen[6][f"conv1/{number}"])


def test_an_averaged_training_that_was_stopped_ends_in_the_same_weights(mnist_model: Model, tmp_path: Path) -> None:
    model = averaging(mnist_model, 0.75)
    whole = train_classifier(model, tmp_path / "whole", iterations=40, threads=1)

    def interrupt(progress: Progress, last: int) -> None:
        if progress.iteration == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(model, tmp_path / "cut", interrupt, iterations=40, threads=1)
    resumed = train_classifier(model, tmp_path / "cut", iterations=40, threads=1)
    assert resumed.read_bytes() == whole.read_bytes()
    with pytest.raises(OutputError, match="averaged updates"):
        train_classifier(model, tmp_path / "cut", iterations=60, threads=1)
    (snapshot,) = (tmp_path / "cut").glob("*.average.npz")
    snapshot.write_bytes(b"cut")
    with pytest.raises(OutputError, match=r"remove progress\.json"):
        train_classifier(model, tmp_path / "cut", iterations=40, threads=1)


def test_a_full_disk_leaves_no_snapshot_and_says_so(
    mnist_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caffe does not notice that the end of a file is missing: what little room is left tells."""
    usage = shutil.disk_usage(tmp_path)
    train_classifier(mnist_model, tmp_path / "out", iterations=10)
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    with pytest.raises(OutputError, match="No space left on device"):
        train_classifier(mnist_model, tmp_path / "out", iterations=20)
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    train_classifier(mnist_model, tmp_path / "out", iterations=20)
    train_classifier(mnist_model, tmp_path / "whole", iterations=20)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def weights(folder: Path) -> bytes:
    return (folder / "classifier.caffemodel").read_bytes()
