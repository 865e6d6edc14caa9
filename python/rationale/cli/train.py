"""rationale train."""

from pathlib import Path
from typing import Annotated

import typer

from rationale.cli.app import GpuOption, ModelOption, train


@train.command("new")
def train_new_command(
    folder: Annotated[Path, typer.Argument(help="Where the new model goes.")],
    dataset: Annotated[str, typer.Option("--dataset", help="A directory of class directories, or a data set.")],
    like: Annotated[str, typer.Option("--like", help="Whose definitions are taken.")] = "cub",
) -> None:
    """Start a model of your own for your own photographs."""
    from rationale.model import Model
    from rationale.training.own import begin_model

    print(f"wrote {begin_model(folder, Model.load(like), dataset)}")
    print(f"train it: rationale train classifier --model {folder} --out {folder}")


@train.command("classifier")
def train_classifier_command(
    model: ModelOption = "mnist",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Snapshots and weights.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Stop after so many updates.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the solver's random_seed.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="As many as there are cores if not given.")
    ] = None,
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
