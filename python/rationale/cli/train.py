"""rationale train."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rationale.cli.app import GpuOption, ModelOption, SeedOption, ThreadsOption, train


@train.command("new")
def train_new_command(
    folder: Annotated[Path, typer.Argument(help="Where the new model goes.")],
    dataset: Annotated[str, typer.Option("--dataset", help="A directory of class directories, or a data set.")],
    like: Annotated[str, typer.Option("--like", help="Whose definitions are taken.")] = "cub",
) -> None:
    """Start a model of your own for your own photographs."""
    from rationale.datasets import load_dataset
    from rationale.model import Model
    from rationale.training.own import begin_model, lopsided

    print(f"wrote {begin_model(folder, Model.load(like), dataset)}")
    place = shlex.quote(str(folder))
    print(f"train it: rationale train classifier --model {place} --out {place}")
    for remark in lopsided(load_dataset(dataset)):
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
    from rationale.model import Model
    from rationale.training import train_classifier
    from rationale.training.display import training_display

    loaded = Model.load(model, gpu=gpu)
    folder = out or Path("out") / "train" / loaded.name
    with training_display(loaded.description.title, folder) as report:
        weights = train_classifier(loaded, folder, report, iterations=iterations, seed=seed, threads=threads)
    print(f"wrote {weights}")
