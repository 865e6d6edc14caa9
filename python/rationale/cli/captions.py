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


@captions.command("coverage")
def captions_coverage(
    dataset: Annotated[str, typer.Option("--dataset", help="A data set with people's own captions.")] = "cub-22",
    lexicon: Annotated[Path | None, typer.Option("--lexicon", help="CSV; the project's own if not given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV; data/cub/coverage.csv if not given.")] = None,
) -> None:
    """Count what a lexicon understands of people's captions, and write the words that it leaves out."""
    from rationale.captions.birds import coverage, lexicon_path, read_lexicon, write_coverage
    from rationale.captions.make import SPLITS
    from rationale.datasets import load_dataset

    words = read_lexicon(lexicon or lexicon_path())
    loaded = load_dataset(dataset)
    texts = [text for name in SPLITS for one in loaded.split(name).captions or () for text in one]
    found = coverage(words, texts)
    print(
        f"{found.with_part} of {found.captions} captions ({found.with_part / max(found.captions, 1):.1%}) name a part"
    )
    path = out or lexicon_path().with_name("coverage.csv")
    write_coverage(path, found)
    print(f"wrote {path}")
