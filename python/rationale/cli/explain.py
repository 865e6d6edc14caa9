"""rationale explain, rationale compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rationale.cli.app import (
    CompositeOption,
    GpuOption,
    ModelOption,
    SentenceOption,
    StageOption,
    WeightsOption,
    app,
    complain,
)
from rationale.errors import OutputError, RationaleError

if TYPE_CHECKING:
    from rationale.explanation import Explanation


@app.command()
def explain(
    images: Annotated[list[str], typer.Argument(help="Pictures: PNG, JPEG, TIFF, WebP, …", metavar="IMAGE…")],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    composite: CompositeOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the results go.")] = Path("explained"),
    title: Annotated[str | None, typer.Option("--title", help="Heading of the report.")] = None,
    sentence: SentenceOption = True,
    weights: WeightsOption = None,
    stages: StageOption = None,
    gpu: GpuOption = None,
) -> None:
    """Explain why a picture was classified as it was."""
    from rationale.captions.known import KnownRegions
    from rationale.explanation import FILES, make_folder, save_report
    from rationale.model import Model, source_name

    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    rules = loaded.composite(composite)
    loaded.network  # noqa: B018  a broken model is one error, not one for each picture
    if target is not None:
        loaded.class_number(target)
    make_folder(out)
    pictures = list(dict.fromkeys(Path(image) for image in images))
    folders = _folders_for(pictures, out)
    for picture in pictures:
        if any(_same(picture.parent, folder) for folder in folders.values()) and picture.name in FILES:
            raise OutputError(f"{picture}: would be overwritten by the results; choose another --out")
    if sentence:
        loaded.explainer  # noqa: B018  damaged files are one error, before work begins
    known = KnownRegions(loaded) if sentence else None
    parts, failed = [], 0
    for start in range(0, len(pictures), loaded.batch_size):
        views = {}
        for picture in pictures[start : start + loaded.batch_size]:
            try:
                views[picture] = loaded.view(picture)
            except RationaleError as error:
                complain(error)
                failed += 1
        names = [source_name(picture, 0) for picture in views]
        explanations = loaded.explain_views(
            list(views.values()),
            names,
            target=target,
            composite=rules,
            sentences=sentence,
            regions=[known.of(picture) if known else None for picture in views],
        )
        for picture, explanation in zip(views, explanations, strict=True):
            print(_summary(explanation))
            written = explanation.save(folders[picture], title)
            print(f"  wrote {written[0].parent}/: {', '.join(path.name for path in written)}")
            parts.append(explanation.report_part())
    if len(pictures) > 1 and parts:
        count = "1 picture" if len(parts) == 1 else f"{len(parts)} pictures"
        print(f"wrote {save_report(parts, out / 'report.html', title or f'{count} explained')}")
    if failed:
        raise typer.Exit(2)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _folders_for(pictures: list[Path], out: Path) -> dict[Path, Path]:
    """One picture goes to `out` itself, each of several to a directory of its own under it."""
    if len(pictures) == 1:
        return {pictures[0]: out}
    folders: dict[Path, Path] = {}
    taken = {"report.html"}  # the report on all of them
    for picture in pictures:
        stem = picture.stem if picture.stem.strip(".") else "picture"
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        folders[picture] = out / name
    return folders


def _summary(explanation: "Explanation") -> str:
    from rationale.render.numbers import said, signed

    line = f"{explanation.name}: {explanation.headline}"
    if explanation.target_index != explanation.index or explanation.meaning == "labels":
        found = said(explanation.meaning, dict(explanation.classes)[explanation.target])
        line += f", explained for {explanation.target} ({found})"
    channels = explanation.strongest_channels(3)
    parts = ", ".join(f"#{each.number} {signed(each.relevance)}" for each in channels)
    if explanation.sentence:
        line += f"\n  {explanation.sentence}"
    return f"{line}\n  strongest channels of {channels[0].layer}: {parts} of the score {signed(explanation.score)}"


@app.command()
def compare(
    image: Annotated[Path, typer.Argument(help="One picture.")],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Other methods than LRP too.")] = False,
    picture: Annotated[bool, typer.Option(help="Show the picture itself too.")] = True,
    sentence: SentenceOption = True,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file.")] = Path("compared.png"),
    stages: StageOption = None,
    gpu: GpuOption = None,
) -> None:
    """Draw one picture under every composite, side by side."""
    from rationale.evaluation.heatmaps import heatmaps_of
    from rationale.images import save_png
    from rationale.model import Model
    from rationale.render.gallery import gallery

    loaded = Model.load(model, gpu=gpu, stages=stages or ())
    view = loaded.view(image)
    if _same(image, out):
        raise OutputError(f"{image}: would be overwritten by the result; choose another --out")
    maps = heatmaps_of(loaded, view, target, baselines=baselines)
    said = None
    if sentence and loaded.explainer is not None:
        said = loaded.explain_views([view], [image.name], target=target)[0].sentence
        print(said)
    save_png(gallery(view if picture else None, maps, note=said or ""), out)
    print(f"wrote {out}")
