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
from rationale.errors import ImageError

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
    for each in found.unreadable:
        complain(ImageError(f"{each}; passed over"))
    print(f"wrote {found.path}: {len(wanted.layers)} layers, from {found.pictures} pictures")


def _pictures(model: "Model", split: str, folder: Path | None) -> "Split":
    from rationale.datasets import dataset_of, loose_pictures, split_of

    return loose_pictures(folder) if folder is not None else split_of(dataset_of(model), split)


@units.command("show")
def units_show(
    layer: Annotated[str, typer.Option("--layer", "-l", help="Whose units.")],
    model: ModelOption = "mnist",
    unit: Annotated[int | None, typer.Option("--unit", "-u", min=0, help="One of them; all if not given.")] = None,
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
    from rationale.units.sheet import layer_page, layer_picture, unit_page, unit_picture

    loaded = Model.load(model, weights=weights, stages=stages or ())
    node = check_layer(loaded.network, layer) if unit is None else check_unit(loaded.network, layer, unit)
    found = Store.open(store or store_path(loaded), loaded)
    found.check(node.name, unit)
    make_folder(out)
    stem = hdf5_name(node.name).replace("|", "-") + ("" if unit is None else f"-{unit}")
    if unit is None:
        picture, page = layer_picture(found, node.name), layer_page(found, node.name)
    else:
        known = found.unit(node.name, unit)
        picture, page = unit_picture(found, known), unit_page(found, known)
    save_png(picture, out / f"{stem}.png")
    write_whole(out / f"{stem}.html", page)
    print(f"wrote {out / stem}.png and {stem}.html")
