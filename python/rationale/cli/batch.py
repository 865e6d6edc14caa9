"""rationale batch."""

from pathlib import Path
from typing import Annotated

import typer

from rationale.cli.app import CompositeOption, GpuOption, ModelOption, StageOption, ThreadsOption, WeightsOption, batch


@batch.command("heatmaps")
def batch_heatmaps(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    composite: CompositeOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HDF5 file.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="Of the heatmaps: float32 or float16.")] = "float32",
    sentence: Annotated[
        bool | None,
        typer.Option("--sentence/--no-sentence", help="Say why in a sentence too; where the model can, if not given."),
    ] = None,
    weights: WeightsOption = None,
    stages: StageOption = None,
    threads: ThreadsOption = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes on this machine.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="A Dask scheduler: tcp://…")] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain every picture of the model's data set into one HDF5 file; goes on where it stopped."""
    from rationale.batch import Crew, write_heatmaps
    from rationale.cli.loading import model_and_split
    from rationale.render.terminal import progress_bar

    loaded, pictures = model_and_split(model, split, gpu, weights, stages)
    path = out or Path("out") / f"{loaded.name}-{split}.h5"
    with progress_bar("explaining") as advance:
        write_heatmaps(
            loaded,
            pictures,
            path,
            composite,
            lambda done, total: advance(done, total, ""),
            precision=precision,
            sentences=loaded.explainer is not None if sentence is None else sentence,
            crew=Crew(threads, workers, scheduler),
        )
    print(f"wrote {path}: {len(pictures)} pictures")
