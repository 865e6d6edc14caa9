"""rationale captions."""

from pathlib import Path
from typing import Annotated

import typer

from rationale.cli.app import GpuOption, ModelOption, WeightsOption, captions


@captions.command("make")
def captions_make(
    model: ModelOption = "flight",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory; that of the model's own if not given.")
    ] = None,
    weights: WeightsOption = None,
    gpu: GpuOption = None,
) -> None:
    """Write the captions that the heatmap selects, and their twin about parts drawn by lot."""
    from rationale.captions.make import make_captions
    from rationale.explanation import make_folder
    from rationale.model import Model
    from rationale.render.terminal import progress_bar

    loaded = Model.load(model, weights=weights, gpu=gpu)
    loaded.network  # noqa: B018  what cannot run is refused before work begins
    how = loaded.explainer_settings
    paths = [path if out is None else out / path.name for path in (how.captions, how.unlinked)]
    for path in paths:
        make_folder(path.parent)
    with progress_bar("explaining") as advance:
        written = make_captions(loaded, paths[0], paths[1], lambda split, done, total: advance(done, total, split))
    for path in written:
        print(f"wrote {path.resolve()}")
