"""rationale batch."""

from pathlib import Path
from typing import Annotated

import typer

from rationale.cli.app import (
    CompositeOption,
    GpuOption,
    ModelOption,
    SentenceOption,
    StageOption,
    ThreadsOption,
    WeightsOption,
    batch,
)
from rationale.errors import OptionError


@batch.command("heatmaps")
def batch_heatmaps(
    model: ModelOption = "mnist",
    split: Annotated[str | None, typer.Option("--split", help="train, val or test (if not given).")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="A folder of pictures, instead of the model's data set.")
    ] = None,
    composite: CompositeOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HDF5 file.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="Of the heatmaps: float32 or float16.")] = "float32",
    sentence: SentenceOption = None,
    weights: WeightsOption = None,
    stages: StageOption = None,
    threads: ThreadsOption = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes on this machine.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="A Dask scheduler: tcp://…")] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain every picture of the model's data set, or of a folder, into one HDF5 file; goes on where it stopped."""
    from rationale.batch import Crew, write_heatmaps
    from rationale.cli.loading import can_say, model_and_split, readable
    from rationale.datasets import loose_pictures
    from rationale.model import Model
    from rationale.render.terminal import progress_bar

    if images is None:
        loaded, pictures = model_and_split(model, split or "test", gpu, weights, stages)
    elif split is not None:
        raise OptionError("--split is of a data set, --images names a folder; give one of them")
    else:
        loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
        pictures = loose_pictures(images)
        files = pictures.files or ()
        if len(readable(files)) < len(files):
            raise typer.Exit(2)
    path = out or Path("out") / f"{loaded.name}-{pictures.name}.h5"
    with progress_bar("explaining") as advance:
        write_heatmaps(
            loaded,
            pictures,
            path,
            composite,
            lambda done, total: advance(done, total, ""),
            precision=precision,
            sentences=can_say(loaded, sentence),
            crew=Crew(threads, workers, scheduler),
        )
    print(f"wrote {path}: {len(pictures)} pictures")
