"""The command line: thin, one function a command."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rationale import __version__
from rationale.errors import RationaleError

app = typer.Typer(
    name="rationale",
    help="Explains one decision of a Caffe image classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train = typer.Typer(no_args_is_help=True, help="Train networks with Caffe's own solver.")
batch = typer.Typer(no_args_is_help=True, help="Work over a whole data set.")
data = typer.Typer(no_args_is_help=True, help="List, fetch and export data sets.")
app.add_typer(train, name="train")
app.add_typer(batch, name="batch")
app.add_typer(data, name="data")

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A name under prototxt/ or a directory.")]
CompositeOption = Annotated[str | None, typer.Option("--composite", help="How relevance is propagated.")]
GpuOption = Annotated[int | None, typer.Option("--gpu", min=0, help="Number of the GPU; the CPU otherwise.")]

AT_ONCE = 16  # pictures explained together


def main() -> None:
    """Runs a command; a user's mistake becomes one line and exit code 2."""
    try:
        app()
    except RationaleError as error:
        complain(error)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def complain(error: RationaleError) -> None:
    """One line on standard error."""
    print(f"rationale: {' '.join(str(error).split())}", file=sys.stderr)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"rationale {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Caffe's log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    if verbose:
        from rationale.network import be_verbose

        be_verbose()


@app.command()
def explain(
    images: Annotated[list[str], typer.Argument(help="Pictures: PNG, JPEG, TIFF, WebP, …", metavar="IMAGE…")],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    composite: CompositeOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the results go.")] = Path("explained"),
    title: Annotated[str | None, typer.Option("--title", help="Heading of the report on several pictures.")] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain why a picture was classified as it was."""
    from rationale.explanation import save_report
    from rationale.model import Model

    loaded = Model.load(model, gpu=gpu)
    loaded.network  # noqa: B018  a broken model is one error, not one for each picture
    if target is not None:
        loaded.class_number(target)
    folders = _folders_for(images, out)
    explained, failed = [], 0
    for start in range(0, len(images), AT_ONCE):
        views = {}
        for image in images[start : start + AT_ONCE]:
            try:
                views[image] = loaded.view(image)
            except RationaleError as error:
                complain(error)
                failed += 1
        names = [Path(image).name for image in views]
        results = loaded.explain_views(list(views.values()), names, target=target, composite=composite)
        for image, explanation in zip(views, results, strict=True):
            print(_summary(explanation))
            written = explanation.save(folders[image])
            print(f"  wrote {written[0].parent}/: {', '.join(path.name for path in written)}")
        explained += results
    if len(images) > 1 and explained:
        heading = title or f"{len(explained)} pictures explained"
        print(f"wrote {save_report(explained, out / 'report.html', heading)}")
    if failed:
        raise typer.Exit(2)


def _folders_for(images: list[str], out: Path) -> dict[str, Path]:
    """One picture goes to `out` itself, each of several to a directory of its own under it."""
    if len(images) == 1:
        return {images[0]: out}
    folders: dict[str, Path] = {}
    taken: set[str] = set()
    for image in images:
        if image in folders:
            continue
        stem = Path(image).stem or "picture"
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        folders[image] = out / name
    return folders


def _summary(explanation) -> str:  # type: ignore[no-untyped-def]
    from rationale.render.report import percent, signed

    line = f"{explanation.name}: {explanation.label} ({percent(explanation.probability)})"
    if explanation.target_index != explanation.index:
        line += f", explained for {explanation.target}"
    channels = explanation.strongest_channels(3)
    parts = ", ".join(f"#{each.number} {signed(each.relevance)} ({each.share:+.0%})" for each in channels)
    return f"{line}\n  strongest channels of {channels[0].layer}: {parts} of the score {signed(explanation.score)}"


@train.command("classifier")
def train_classifier_command(
    model: ModelOption = "mnist",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Snapshots and weights.")] = None,
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Stop after so many updates.")] = None,
    gpu: GpuOption = None,
) -> None:
    """Train a model's classifier; goes on from the last snapshot in OUT."""
    from rationale.model import Model
    from rationale.training import train_classifier
    from rationale.training.display import training_display

    loaded = Model.load(model, gpu=gpu)
    folder = out or Path("out") / "train" / loaded.name
    with training_display(loaded.description.title) as report:
        weights = train_classifier(loaded, folder, report, iterations=iterations)
    print(f"wrote {weights}")


@batch.command("heatmaps")
def batch_heatmaps(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    composite: CompositeOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HDF5 file.")] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain every picture of the model's data set into one HDF5 file; goes on where it stopped."""
    from rationale.batch import write_heatmaps
    from rationale.datasets import load_dataset
    from rationale.errors import ModelError
    from rationale.model import Model
    from rationale.render.terminal import progress_bar

    loaded = Model.load(model, gpu=gpu)
    if loaded.description.dataset is None:
        raise ModelError(f"model {loaded.name!r} names no dataset in its model.toml")
    pictures = load_dataset(loaded.description.dataset).split(split)
    path = out or Path("out") / f"{loaded.name}-{split}.h5"
    with progress_bar("explaining") as advance:
        write_heatmaps(loaded, pictures, path, composite, lambda done, total: advance(done, total, ""))
    print(f"wrote {path}: {len(pictures)} pictures")


@data.command("list")
def data_list() -> None:
    """Show the data sets that can be fetched."""
    from rationale.datasets.manifest import read_manifest

    for entry in read_manifest().values():
        print(f"{entry.name}: {entry.title}\n  {entry.contents}\n  licence {entry.licence}; cite {entry.cite}")


@data.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="Name of a data set.")]) -> None:
    """Fetch a data set into the cache, verified."""
    from rationale.datasets import load_dataset
    from rationale.resources import cache_directory

    dataset = load_dataset(name)
    print(f"{dataset.name} is in {cache_directory() / 'data' / name}")


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


@app.command()
def models() -> None:
    """List the models that come with Rationale."""
    from rationale.model import Model, available_models

    for name in available_models():
        description = Model.load(name).description
        print(f"{name}: {description.title}. {description.description}; licence {description.licence}")


@app.command()
def doctor() -> None:
    """Check that everything works here."""
    from rationale.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.what}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


@app.command()
def reproduce(
    experiment: Annotated[str, typer.Argument(help="mnist")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Snapshots and heatmaps.")] = Path("out") / "reproduce",
) -> None:
    """Train, measure, and write docs/results.md."""
    from rationale.reproduce import run_experiment

    print(f"wrote {run_experiment(experiment, out)}")
