"""rationale units: what each channel has learnt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rationale.cli.app import (
    CompositeOption,
    GpuOption,
    ModelOption,
    StageOption,
    ThreadsOption,
    WeightsOption,
    complain,
    units,
)
from rationale.errors import ImageError, OptionError

if TYPE_CHECKING:
    from rationale.datasets import Split
    from rationale.model import Model

StoreOption = Annotated[
    Path | None, typer.Option("--store", help="The HDF5 file; the shipped one, or your own in the cache, if not given.")
]
LayersOption = Annotated[
    str | None,
    typer.Option("--layers", help="With commas between, or all; those with weights and joins if not given."),
]


@units.command("top")
def units_top(
    model: ModelOption = "mnist",
    layers: LayersOption = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test; train+val for both.")] = "train",
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="A folder of photographs, instead of the model's data set.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=100, help="Pictures of each kind.")] = 9,
    kinds: Annotated[
        str | None, typer.Option("--kinds", help="Some of top,relevant,spread,lowest; all if not given.")
    ] = None,
    distinct: Annotated[bool, typer.Option("--distinct", help="Of near-duplicates keep one.")] = False,
    side: Annotated[int, typer.Option("--side", min=8, max=1024, help="Longest side of a crop, in pixels.")] = 64,
    highlight: Annotated[
        str,
        typer.Option(
            "--highlight", help="Draw what excites a unit in its top pictures: deconv, guided, lrp, gradient…"
        ),
    ] = "",
    composite: CompositeOption = None,
    credit: Annotated[str, typer.Option("--credit", help="Whose the pictures are; kept with them.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The store; your own in the cache if not given.")] = (
        None
    ),
    weights: WeightsOption = None,
    stages: StageOption = None,
    threads: ThreadsOption = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes on this machine.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="A Dask scheduler: tcp://…")] = None,
    gpu: GpuOption = None,
) -> None:
    """Find the pictures that excite each unit, most, least and in between; goes on where it stopped."""
    from rationale.batch import Crew
    from rationale.model import Model
    from rationale.render.terminal import progress_bar
    from rationale.units import Wanted, layers_of, scan
    from rationale.units.names import add_names
    from rationale.units.store import KINDS, own_path

    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    chosen = tuple(each.strip() for each in kinds.split(",") if each.strip()) if kinds is not None else tuple(KINDS)
    wanted = Wanted(tuple(layers_of(loaded.network, layers)), count, chosen, distinct, side, composite, highlight)
    loaded.composite(composite)
    shown = _pictures(loaded, split, pictures)
    with progress_bar("looking at") as advance:
        found = scan(
            loaded,
            shown,
            out or own_path(loaded),
            wanted,
            advance,
            crew=Crew(threads, workers, scheduler),
            credit=credit,
        )
    named = add_names(loaded, shown, found.path, wanted.layers)
    for each in found.unreadable:
        complain(ImageError(f"{each}; passed over"))
    print(f"wrote {found.path}: {len(wanted.layers)} layers, from {found.pictures} pictures")
    print(f"{sum(named.values())} units have a name")


def _pictures(model: "Model", split: str, folder: Path | None) -> "Split":
    from rationale.cli.loading import told_of
    from rationale.datasets import dataset_of, loose_pictures, split_of

    return loose_pictures(folder) if folder is not None else split_of(told_of(dataset_of(model)), split)


@units.command("show")
def units_show(
    layer: Annotated[str, typer.Option("--layer", "-l", help="Whose units.")],
    model: ModelOption = "mnist",
    unit: Annotated[int | None, typer.Option("--unit", "-u", min=0, help="One of them; all if not given.")] = None,
    photo: Annotated[
        Path | None, typer.Option("--photo", help="Show what of this picture excites the unit, by every method.")
    ] = None,
    place: Annotated[
        str, typer.Option("--place", help="Where in the photo: strongest, everywhere, or ROW,COLUMN of the unit's map.")
    ] = "strongest",
    store: StoreOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the PNG and the page go.")] = Path("units"),
    weights: WeightsOption = None,
    stages: StageOption = None,
) -> None:
    """Draw what a unit has learnt, or all units of a layer, as PNG and as a page."""
    from rationale.explanation import hdf5_name, make_folder
    from rationale.images import save_png
    from rationale.model import Model
    from rationale.resources import write_whole
    from rationale.units import Store, store_path
    from rationale.units.layers import check_layer, check_unit
    from rationale.units.poster import layer_picture, photo_picture, unit_picture
    from rationale.units.sheet import layer_page, unit_page

    loaded = Model.load(model, weights=weights, stages=stages or ())
    node = check_layer(loaded.network, layer) if unit is None else check_unit(loaded.network, layer, unit)
    stem = hdf5_name(node.name).replace("|", "-") + ("" if unit is None else f"-{unit}")
    if photo is not None:
        if unit is None:
            raise OptionError("--photo wants a --unit")
        drawn = photo_picture(loaded, loaded.view(photo), node.name, unit, _place(place))
        make_folder(out)
        save_png(drawn, out / f"{stem}-photo.png")
        print(f"wrote {out / stem}-photo.png")
        return
    found = Store.open(store or store_path(loaded), loaded)
    found.check(node.name, unit)
    make_folder(out)
    if unit is None:
        picture, page = layer_picture(found, node.name), layer_page(found, node.name)
    else:
        known = found.unit(node.name, unit)
        picture, page = unit_picture(found, known), unit_page(found, known)
    save_png(picture, out / f"{stem}.png")
    write_whole(out / f"{stem}.html", page)
    print(f"wrote {out / stem}.png and {stem}.html")


def _place(text: str) -> str | tuple[int, int]:
    row, comma, column = text.partition(",")
    return (int(row), int(column)) if comma and row.strip().isdecimal() and column.strip().isdecimal() else text


@units.command("stimuli")
def units_stimuli(
    layer: Annotated[str, typer.Option("--layer", "-l", help="Whose units.")],
    model: ModelOption = "mnist",
    unit: Annotated[
        str, typer.Option("--unit", "-u", help="Numbers with commas between, a range as 0-15, or all.", metavar="UNITS")
    ] = "all",
    recipe: Annotated[
        str, typer.Option("--recipe", help="blurred, decayed, smooth or sparse (Yosinski et al. 2015), or fourier.")
    ] = "fourier",
    least: Annotated[bool, typer.Option("--least", help="The most negative activation instead.")] = False,
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=16, help="Stimuli of each unit.")] = 1,
    photo: Annotated[Path | None, typer.Option("--photo", help="Begin with this picture, not with noise.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Steps.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Of a step.")] = None,
    decay: Annotated[float | None, typer.Option("--decay", help="Share that each step takes away.")] = None,
    blur: Annotated[float | None, typer.Option("--blur", help="Radius, in pixels.")] = None,
    jitter: Annotated[int | None, typer.Option("--jitter", min=0, help="Pixels at most.")] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="Random changes of size, share at most.")] = None,
    rotation: Annotated[float | None, typer.Option("--rotation", help="Random turns, degrees at most.")] = None,
    total_variation: Annotated[float | None, typer.Option("--total-variation", help="Its weight.")] = None,
    diversity: Annotated[
        float | None, typer.Option("--diversity", help="Weight of the likeness of a unit's stimuli; with --count.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of noise and moves.")] = 0,
    store: StoreOption = None,
    weights: WeightsOption = None,
    stages: StageOption = None,
    threads: ThreadsOption = None,
    gpu: GpuOption = None,
) -> None:
    """Make pictures that excite units most, and add them to the store; goes on where it stopped."""
    from rationale.cores import available_cores
    from rationale.model import Model
    from rationale.network import on_threads
    from rationale.render.terminal import progress_bar
    from rationale.units.layers import check_layer
    from rationale.units.recipes import recipe as recipe_of
    from rationale.units.stimuli import add_stimuli
    from rationale.units.store import Store, for_writing

    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    how = recipe_of(
        recipe,
        iterations=iterations,
        rate=rate,
        decay=decay,
        blur=blur,
        jitter=jitter,
        scale=scale,
        rotation=rotation,
        total_variation=total_variation,
        diversity=diversity,
    )
    node = check_layer(loaded.network, layer)
    path = store or for_writing(loaded)
    found = Store.open(path, loaded)
    found.check(node.name)
    chosen = _numbers(unit, found.layers[node.name])
    start = loaded.view(photo) if photo is not None else None
    with progress_bar("climbing") as advance, on_threads(threads or available_cores()):
        made = add_stimuli(
            loaded,
            path,
            node.name,
            chosen,
            how,
            sign=-1 if least else 1,
            count=count,
            start=start,
            seed=seed,
            report=advance,
        )
    print(f"wrote {path}: stimuli of {made} units of {node.name} by {how.name!r}; {len(chosen) - made} were there")


def _numbers(text: str, count: int) -> list[int]:
    """The units that are named: "3,7", "0-15", "all"."""
    if text.strip() == "all":
        return list(range(count))
    found: list[int] = []
    for each in text.split(","):
        first, _, last = each.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise OptionError(f"units are numbers with commas between, a range as 0-15, or all; not {text!r}")
        found += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(found))
