"""rationale data."""

from pathlib import Path
from typing import Annotated

import typer

from rationale.cli.app import ModelOption, data
from rationale.fetching import Part


@data.command("list")
def data_list() -> None:
    """Show the file sets that can be fetched, and which are there."""
    from rationale.fetching import is_whole, read_manifest

    for entry in read_manifest().values():
        print(f"{entry.name}: {entry.title}{' (fetched)' if is_whole(entry.name) else ''}\n  {entry.contents}")
        print(f"  from {entry.homepage}; licence {entry.licence}\n  cite {entry.cite}")
        for part in entry.parts:
            print(f"  {part.name}: {', '.join(_sources(part))}")


def _sources(part: Part) -> list[str]:
    """Where a part can be had, in the order in which it is tried."""
    sources = [f"mirror ({part.mirror})"] if part.mirror else []
    sources += [f"package {part.package.name} {part.package.version}"] if part.package else []
    if part.download:
        size = f", {part.download.size / 1e6:,.0f} MB" if part.download.size else ""
        sources.append(f"web ({part.download.url.split('?')[0]}{size})")
    return sources + (["by hand"] if part.by_hand else [])


@data.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="Name of a file set.")],
    check: Annotated[bool, typer.Option("--check", help="Read every file; mend what is damaged.")] = False,
) -> None:
    """Fetch a file set into the cache, verified; goes on where it stopped."""
    from rationale.fetching import fetched, repair
    from rationale.render.terminal import progress_bar

    with progress_bar(f"fetching {name}") as advance:
        damaged = repair(name, advance) if check else []
        folder = fetched(name, advance)
    if damaged:
        print(f"fetched again, for {len(damaged)} files were damaged: {', '.join(damaged[:5])}")
    print(f"{name} is in {folder}")


@data.command("database")
def data_database(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "train",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the files go.")] = None,
) -> None:
    """Write a model's data set as HDF5 files for Caffe's own data layer; goes on where it stopped."""
    from rationale.batch.databases import write_database
    from rationale.cli.loading import model_and_split
    from rationale.render.terminal import progress_bar

    loaded, pictures = model_and_split(model, split)
    with progress_bar("writing") as advance:
        source = write_database(
            loaded,
            pictures,
            out or Path("out") / f"{loaded.name}-database",
            lambda done, total: advance(done, total, ""),
        )
    print(f"wrote {source}: the source of an HDF5Data layer")


@data.command("convert-fgvc")
def data_convert_fgvc(
    source: Annotated[Path, typer.Argument(help="FGVC-Aircraft's directory.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the photographs go.")],
    most: Annotated[int, typer.Option("--most", min=10, help="Photographs at most.")] = 5000,
) -> None:
    """Make a two-class flight set, like the paper's, of FGVC-Aircraft."""
    from rationale.datasets.fgvc import convert_fgvc
    from rationale.render.terminal import progress_bar

    with progress_bar("converting") as advance:
        count = convert_fgvc(source, out, most=most, report=advance)
    print(f"wrote {count} photographs to {out}; name that directory as `dataset` in a model.toml")


@data.command("export")
def data_export(
    name: Annotated[str, typer.Argument(help="Name of a data set.")],
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    each: Annotated[int, typer.Option("--each", min=1, help="Pictures of each class, from the first.")] = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the pictures go.")] = Path("pictures"),
) -> None:
    """Write the first pictures of each class as PNG files."""
    from rationale.datasets import load_dataset
    from rationale.datasets.export import export_pictures

    written = export_pictures(load_dataset(name), split, each, out)
    print(f"wrote {len(written)} pictures to {out}")
