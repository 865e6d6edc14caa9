"""rationale explain, rationale compare."""

from collections.abc import Mapping
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
from rationale.errors import OptionError, OutputError, RationaleError

if TYPE_CHECKING:
    from rationale.explanation import Explanation


@app.command()
def explain(
    images: Annotated[
        list[str], typer.Argument(help="Pictures (PNG, JPEG, TIFF, WebP, …), or folders of them.", metavar="IMAGE…")
    ],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    against: Annotated[str | None, typer.Option("--against", help="Why that class rather than this one?")] = None,
    composite: CompositeOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the results go.")] = Path("explained"),
    title: Annotated[str | None, typer.Option("--title", help="Heading of the report.")] = None,
    sentence: SentenceOption = None,
    weights: WeightsOption = None,
    stages: StageOption = None,
    gpu: GpuOption = None,
) -> None:
    """Explain why a picture was classified as it was."""
    from rationale.captions.known import KnownRegions
    from rationale.cli.loading import can_say
    from rationale.explanation import FILES, make_folder, save_report
    from rationale.model import Model
    from rationale.resources import printable

    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    rules = loaded.composite(composite)
    loaded.network  # noqa: B018  a broken model is one error, not one for each picture
    if target is not None:
        loaded.class_number(target)
    if against is not None:
        loaded.class_number(against)
    make_folder(out)
    given, failed = _given(images)
    pictures = list(given)
    folders = _folders_for(given, out)
    for picture in pictures:
        if any(_same(picture.parent, folder) for folder in folders.values()) and picture.name in FILES:
            raise OutputError(f"{picture}: would be overwritten by the results; choose another --out")
    says = can_say(loaded, sentence)
    known = KnownRegions(loaded) if says else None
    parts = []
    for start in range(0, len(pictures), loaded.batch_size):
        views = {}
        for picture in pictures[start : start + loaded.batch_size]:
            try:
                views[picture] = loaded.view(picture)
            except RationaleError as error:
                complain(error)
                failed += 1
        names = [printable(given[picture].as_posix()) for picture in views]
        explanations = loaded.explain_views(
            list(views.values()),
            names,
            target=target,
            against=against,
            composite=rules,
            sentences=says,
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


def _given(images: list[str]) -> tuple[dict[Path, Path], int]:
    """The pictures, and what each is called: its name, or its path below the folder that was given.

    Returns:
        They, and the number of folders without a picture, which are complained of.
    """
    from rationale.datasets.folder import pictures_below

    found: dict[Path, Path] = {}
    empty = 0
    for image in map(Path, images):
        if not image.is_dir():
            found.setdefault(image, Path(image.name))
            continue
        below = [path for path in pictures_below(image) if not _is_result(path)]
        if not below:
            complain(OptionError(f"{image}: holds no pictures"))
            empty += 1
        for path in below:
            found.setdefault(path, path.relative_to(image))
    return found, empty


def _is_result(path: Path) -> bool:
    """Whether a picture is what an earlier run left."""
    return path.name in ("heatmap.png", "overlay.png") and path.with_name("explanation.json").exists()


def _folders_for(pictures: Mapping[Path, Path], out: Path) -> dict[Path, Path]:
    """One picture goes to `out` itself, each of several to a directory of its own under it, named as it is called."""
    if len(pictures) == 1:
        return dict.fromkeys(pictures, out)
    folders: dict[Path, Path] = {}
    taken = {Path("report.html")}  # the report on all of them
    for picture, called in pictures.items():
        stem = called.stem if called.stem.strip(".") else "picture"
        place, number = called.with_name(stem), 2
        while place in taken:
            place, number = called.with_name(f"{stem}-{number}"), number + 1
        taken.add(place)
        folders[picture] = out / place
    return folders


def _summary(explanation: "Explanation") -> str:
    from rationale.render.numbers import said, signed

    line = f"{explanation.name}: {explanation.headline}"
    if explanation.target_index != explanation.index or explanation.meaning == "labels":
        found = said(explanation.meaning, dict(explanation.classes)[explanation.target])
        line += f", explained for {explanation.target} ({found})"
    if explanation.against is not None:
        line += f", {explanation.target} rather than {explanation.against}"
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
    sentence: SentenceOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file.")] = Path("compared.png"),
    stages: StageOption = None,
    gpu: GpuOption = None,
) -> None:
    """Draw one picture under every composite, side by side."""
    from rationale.cli.loading import can_say
    from rationale.evaluation.heatmaps import heatmaps_of
    from rationale.images import save_png
    from rationale.model import Model
    from rationale.render.gallery import gallery

    loaded = Model.load(model, gpu=gpu, stages=stages or ())
    says = can_say(loaded, sentence)
    view = loaded.view(image)
    if _same(image, out):
        raise OutputError(f"{image}: would be overwritten by the result; choose another --out")
    maps = heatmaps_of(loaded, view, target, baselines=baselines)
    said = None
    if says:
        said = loaded.explain_views([view], [image.name], target=target)[0].sentence
        print(said)
    save_png(gallery(view if picture else None, maps, note=said or ""), out)
    print(f"wrote {out}")
