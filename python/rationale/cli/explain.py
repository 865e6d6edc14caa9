"""rationale explain, rationale compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
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
from rationale.errors import OptionError, OutputError

if TYPE_CHECKING:
    from rationale.explanation import Explanation
    from rationale.model import Model
    from rationale.units.store import Store


@app.command()
def explain(
    images: Annotated[
        list[str], typer.Argument(help="Pictures (PNG, JPEG, TIFF, WebP, …), or folders of them.", metavar="IMAGE…")
    ],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    against: Annotated[str | None, typer.Option("--against", help="Why that class rather than this one?")] = None,
    why_not: Annotated[
        str | None, typer.Option("--why-not", help="And why not this class, in words; or runner-up.", metavar="CLASS")
    ] = None,
    composite: CompositeOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the results go.")] = Path("explained"),
    title: Annotated[str | None, typer.Option("--title", help="Heading of the report.")] = None,
    units: Annotated[bool, typer.Option("--units", help="Show what units did, with what is known of them.")] = False,
    sentence: SentenceOption = None,
    words: Annotated[
        bool | None,
        typer.Option(
            "--words/--no-words", help="Where each word of a sentence comes from; if not given, of one picture."
        ),
    ] = None,
    weights: WeightsOption = None,
    stages: StageOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Of several pictures too, keep relevance at every layer (10 MB each).")
    ] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="Of several pictures, one report that holds everything.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="What another run left in --out goes.")] = False,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="Share many pictures; if not given, one for each core, up to 4."),
    ] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain why a picture was classified as it was."""
    from rationale.batch.explanations import Wish, explain_all, make_room_for_one, unknown_regions
    from rationale.batch.helpers import processes_for
    from rationale.captions.known import known_regions
    from rationale.cli.loading import can_say
    from rationale.counterfactual import check_why_not
    from rationale.explanation import FILES, make_folder
    from rationale.model import Model

    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    rules = loaded.composite(composite)
    loaded.network  # noqa: B018  a broken model is one error, not one for each picture
    if target is not None:
        loaded.class_number(target)
    if against is not None:
        loaded.class_number(against)
    if why_not is not None:
        check_why_not(loaded, why_not)
        if against is not None:
            raise OptionError("give --why-not, which shows the contrast too, or --against")
    make_folder(out)
    given, failed = _given(images)
    _check_not_overwritten(given, out)
    says = can_say(loaded, sentence)
    store = _store(loaded) if units else None
    regions = known_regions if says else unknown_regions
    also = _Also(units, why_not, composite)
    if len(given) + failed == 1 and given:
        (picture,) = given
        make_room_for_one(out, replace)
        (found,) = loaded.explain_views(
            [loaded.view(picture)],
            [str(given[picture])],
            target=target,
            against=against,
            composite=rules,
            sentences=says,
            words=words is not False,
            regions=[regions(loaded)(picture)],
        )
        found = also(loaded, found)
        print(_summary(found))
        written = found.save(out, title)
        print(f"  wrote {written[0].parent}/: {', '.join(path.name for path in written)}")
    elif given:
        known = store.path.as_posix() if store is not None else ""
        batches = -(-len(given) // loaded.batch_size)
        beside = "; ".join([f"units {known}"] * units + [f"why not {why_not}"] * (why_not is not None))
        wish = Wish(target, against, composite, says, full, portable, title, beside, bool(words))
        done = explain_all(
            loaded,
            given,
            out,
            wish,
            replace=replace,
            regions=regions,
            also=also,
            summary=_summary,
            tell=print,
            complain=complain,
            processes=processes or (1 if loaded.gpu is not None else processes_for(batches)),
        )
        failed += done.failed
        if done.kept:
            print(f"{done.kept} of {len(given)} were there already")
        if done.report:
            counts = ", ".join(f"{label} {count}" for label, count in _commonest(done.classes))
            print(f"wrote {done.report}, and beside it a folder of each picture: {', '.join(FILES)}")
            count = done.explained + done.kept
            print(f"  {count} {'picture' if count == 1 else 'pictures'}: {counts}")
    if failed:
        raise typer.Exit(2)


@dataclass(frozen=True)
class _Also:
    """What is added to each explanation: what units did, why not another class."""

    units: bool
    why_not: str | None
    composite: str | None

    def __call__(self, model: "Model", explained: "Explanation") -> "Explanation":
        from rationale.counterfactual import with_why_not
        from rationale.units.decision import with_units

        rules = model.composite(self.composite)
        if self.units:
            explained = with_units(model, explained, composite=rules, store=_store(model))
        return explained if self.why_not is None else with_why_not(model, explained, self.why_not, composite=rules)


@cache
def _store(model: "Model") -> "Store | None":
    """What is known of the model's units, looked up once."""
    from rationale.units.decision import store_if_there

    return store_if_there(model)


def _commonest(counts: Mapping[str, int], most: int = 8) -> list[tuple[str, int]]:
    """The classes with most pictures, and the others together."""
    ranked = sorted(counts.items(), key=lambda each: -each[1])
    rest = sum(count for _, count in ranked[most:])
    return [*ranked[:most], *([("others", rest)] if rest else [])]


def _check_not_overwritten(given: Mapping[Path, Path], out: Path) -> None:
    """Refuses pictures that lie where results go."""
    from rationale.batch.explanations import folders_for
    from rationale.explanation import ALL_FILES

    places = [out] if len(given) == 1 else [out / folder for folder in folders_for(given).values()]
    taken = {place.resolve() for place in places}
    for picture in given:
        if picture.name in ALL_FILES and picture.parent.resolve() in taken:
            raise OutputError(f"{picture}: would be overwritten by the results; choose another --out")


def _given(images: list[str]) -> tuple[dict[Path, Path], int]:
    """The pictures, and what each is called: its name, or its path below the folder that was given.

    Returns:
        They, and the number of those that cannot be read and of folders without a picture, which are complained of.
    """
    from rationale.cli.loading import readable
    from rationale.datasets.folder import pictures_below
    from rationale.resources import printable

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
    good = readable(found)
    called = {path: Path(printable(str(name))) for path, name in found.items() if path in good}
    return called, empty + len(found) - len(good)


def _is_result(path: Path) -> bool:
    """Whether a picture is what an earlier run left."""
    from rationale.explanation import ALL_FILES, LAST

    return path.name in ALL_FILES and path.with_name(LAST).exists()


def _summary(explanation: "Explanation") -> str:
    from rationale.render.numbers import signed

    line = f"{explanation.name}: {explanation.headline}"
    line += _explained(explanation)
    if explanation.against is not None:
        line += f", {explanation.target} rather than {explanation.against}"
    channels = explanation.strongest_channels(3)
    names = {each.number: f" ({each.name})" for each in explanation.units(count=3) if each.name}
    parts = ", ".join(f"#{each.number}{names.get(each.number, '')} {signed(each.relevance)}" for each in channels)
    if explanation.sentence:
        line += f"\n  {explanation.sentence}"
    if explanation.why_not is not None:
        other = explanation.why_not
        line += f"\n  not {other.other}: {other.counterfactual or other.remark}"
    if explanation.remark:
        line += f"\n  {explanation.remark}"
    return f"{line}\n  strongest channels of {channels[0].layer}: {parts} of the score {signed(explanation.score)}"


def _explained(explanation: "Explanation") -> str:
    """That another class than the predicted one is explained, if so."""
    from rationale.render.numbers import said

    if explanation.target_index == explanation.index and explanation.meaning != "labels":
        return ""
    found = said(explanation.meaning, dict(explanation.classes)[explanation.target])
    return f", explained for {explanation.target} ({found})"


@app.command()
def compare(
    image: Annotated[Path, typer.Argument(help="One picture.")],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Other methods than LRP too.")] = False,
    picture: Annotated[bool, typer.Option(help="Show the picture itself too.")] = True,
    sentence: SentenceOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file.")] = Path("compared.png"),
    weights: WeightsOption = None,
    stages: StageOption = None,
    gpu: GpuOption = None,
) -> None:
    """Draw one picture under every composite, side by side."""
    from rationale.cli.loading import can_say
    from rationale.evaluation.heatmaps import heatmaps_of
    from rationale.images import save_png
    from rationale.model import Model
    from rationale.render.gallery import gallery

    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    says = can_say(loaded, sentence)
    view = loaded.view(image)
    if image.resolve() == out.resolve():
        raise OutputError(f"{image}: would be overwritten by the result; choose another --out")
    maps = heatmaps_of(loaded, view, target, baselines=baselines)
    (found,) = loaded.explain_views([view], [image.name], target=target, sentences=says, words=False)
    told = [f"{found.name}: {found.headline}{_explained(found)}. Red speaks for {found.target}, blue against it."]
    told += [found.sentence] if found.sentence else []
    print(*told, sep="\n")
    save_png(gallery(view if picture else None, maps, note="\n".join(told)), out)
    print(f"wrote {out}")
