"""rationale train."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rationale.cli.app import GpuOption, ModelOption, SeedOption, ThreadsOption, WeightsOption, train

if TYPE_CHECKING:
    from rationale.datasets import Dataset


@train.command("new")
def train_new_command(
    folder: Annotated[Path, typer.Argument(help="Where the new model goes.")],
    dataset: Annotated[str, typer.Option("--dataset", help="A directory of class directories, a list, or a data set.")],
    like: Annotated[str, typer.Option("--like", help="Whose definitions are taken.")] = "cub",
    explainer: Annotated[
        bool, typer.Option("--explainer", help="A generator of sentences too, of the original's sizes.")
    ] = False,
) -> None:
    """Start a model of your own for your own photographs."""
    from rationale.datasets import load_dataset
    from rationale.model import Model
    from rationale.training.own import begin_model

    _tell_of(load_dataset(dataset))
    print(f"wrote {begin_model(folder, Model.load(like), dataset, explainer=explainer)}")
    place = shlex.quote(str(folder))
    print(f"train it: rationale train classifier --model {place} --out {place}")


def _tell_of(dataset: "Dataset") -> None:
    """How many pictures of which class there are, and what is odd about them."""
    from rationale.training.own import counted, lopsided

    for line in counted(dataset):
        print(line)
    for remark in [*getattr(dataset, "remarks", ()), *lopsided(dataset)]:
        print(f"beware: {remark}")


@train.command("classifier")
def train_classifier_command(
    model: ModelOption = "mnist",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Snapshots and weights.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Stop after so many updates.")] = None,
    seed: SeedOption = None,
    threads: ThreadsOption = None,
    gpu: GpuOption = None,
) -> None:
    """Train a model's classifier; goes on from the last snapshot in OUT."""
    from rationale.datasets import dataset_of
    from rationale.datasets.folder import Folder
    from rationale.model import Model
    from rationale.training import train_classifier
    from rationale.training.display import training_display

    loaded = Model.load(model, gpu=gpu)
    folder = out or Path("out") / "train" / loaded.name
    dataset = dataset_of(loaded)
    if isinstance(dataset, Folder):
        _tell_of(dataset)
    with training_display(loaded.description.title, folder) as report:
        weights = train_classifier(
            loaded, folder, report, iterations=iterations, seed=seed, threads=threads, dataset=dataset
        )
    print(f"wrote {weights}")


@train.command("explainer")
def train_explainer_command(
    model: ModelOption = "flight",
    variant: Annotated[
        str,
        typer.Option("--variant", help="definition, description, explanation-label, explanation-dis or explanation."),
    ] = "explanation",
    captions: Annotated[Path | None, typer.Option("--captions", help="CSV; the model's own if not given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Snapshots and weights.")] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="End the relevance loss after so many updates.")
    ] = None,
    seed: SeedOption = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Write the captions' number of words into the model's definitions first.")
    ] = False,
    threads: ThreadsOption = None,
    weights: WeightsOption = None,
    gpu: GpuOption = None,
) -> None:
    """Train the generator of a model's sentences; goes on from the last snapshot in OUT."""
    from contextlib import ExitStack

    from rationale.model import Model
    from rationale.training.display import training_display
    from rationale.training.explainer import train_explainer
    from rationale.training.loop import Report

    loaded = Model.load(model, weights=weights, gpu=gpu)
    folder = out or Path("out") / "train" / f"{loaded.name}-{variant}"
    with ExitStack() as shown:

        def watch(stage: str) -> Report:
            shown.close()  # the bar of the stage before
            name = f"{variant}-{stage.replace(' ', '-')}"
            return shown.enter_context(training_display(f"{loaded.name}, {stage}", folder, f"{name}.png"))

        written = train_explainer(
            loaded,
            folder,
            variant,
            captions=captions,
            seed=seed,
            iterations=iterations,
            threads=threads,
            fit=fit,
            watch=watch,
        )
    print(f"wrote {written} and {written.with_suffix('.json').name}")
