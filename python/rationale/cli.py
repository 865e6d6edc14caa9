"""The command line: thin, one function a command."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rationale import __version__
from rationale.errors import RationaleError

if TYPE_CHECKING:
    from rationale.datasets import Split
    from rationale.explanation import Explanation
    from rationale.model import Model

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
evaluate = typer.Typer(no_args_is_help=True, help="Measure how good classifiers and explanations are.")
data = typer.Typer(no_args_is_help=True, help="List, fetch and export data sets.")
app.add_typer(train, name="train")
app.add_typer(batch, name="batch")
app.add_typer(evaluate, name="evaluate")
app.add_typer(data, name="data")

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A name under prototxt/ or a directory.")]
CompositeOption = Annotated[str | None, typer.Option("--composite", help="How relevance is propagated.")]
GpuOption = Annotated[int | None, typer.Option("--gpu", min=0, help="Number of the GPU; the CPU otherwise.")]

AT_ONCE = 16  # pictures explained together
_INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> None:
    """Runs a command; a user's mistake becomes one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = sys.argv[1:]
    if "--verbose" in arguments:  # an option of every command, wherever it stands
        arguments = ["--verbose", *(each for each in arguments if each != "--verbose")]
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        code = int(app(arguments, standalone_mode=False) or 0)
        sys.stdout.flush()
        if code == _INTERRUPTED:
            print("rationale: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return code
    except (RationaleError, typer.exceptions.TyperException) as error:
        complain(error)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"rationale: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2


def complain(error: Exception) -> None:
    """One line on standard error."""
    text = error.format_message() if isinstance(error, typer.exceptions.TyperException) else str(error)
    print(f"rationale: {' '.join(text.split())}", file=sys.stderr)


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
    title: Annotated[str | None, typer.Option("--title", help="Heading of the report.")] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain why a picture was classified as it was."""
    from rationale.explanation import make_folder, save_report
    from rationale.model import Model, source_name

    loaded = Model.load(model, gpu=gpu)
    rules = loaded.composite(composite)
    loaded.network  # noqa: B018  a broken model is one error, not one for each picture
    if target is not None:
        loaded.class_number(target)
    make_folder(out)
    pictures = list(dict.fromkeys(Path(image) for image in images))
    folders = _folders_for(pictures, out)
    parts, failed = [], 0
    for start in range(0, len(pictures), AT_ONCE):
        views = {}
        for picture in pictures[start : start + AT_ONCE]:
            try:
                views[picture] = loaded.view(picture)
            except RationaleError as error:
                complain(error)
                failed += 1
        names = [source_name(picture, 0) for picture in views]
        for picture, explanation in zip(
            views, loaded.explain_views(list(views.values()), names, target=target, composite=rules), strict=True
        ):
            print(_summary(explanation))
            written = explanation.save(folders[picture], title)
            print(f"  wrote {written[0].parent}/: {', '.join(path.name for path in written)}")
            parts.append(explanation.report_part())
    if len(pictures) > 1 and parts:
        count = "1 picture" if len(parts) == 1 else f"{len(parts)} pictures"
        print(f"wrote {save_report(parts, out / 'report.html', title or f'{count} explained')}")
    if failed:
        raise typer.Exit(2)


def _folders_for(pictures: list[Path], out: Path) -> dict[Path, Path]:
    """One picture goes to `out` itself, each of several to a directory of its own under it."""
    if len(pictures) == 1:
        return {pictures[0]: out}
    folders: dict[Path, Path] = {}
    taken = {"report.html"}  # the report on all of them
    for picture in pictures:
        stem = picture.stem or "picture"
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        folders[picture] = out / name
    return folders


def _summary(explanation: "Explanation") -> str:
    from rationale.render.report import percent, signed

    line = f"{explanation.name}: {explanation.label} ({percent(explanation.probability)})"
    if explanation.target_index != explanation.index:
        line += f", explained for {explanation.target} ({percent(explanation.target_probability)})"
    channels = explanation.strongest_channels(3)
    parts = ", ".join(f"#{each.number} {signed(each.relevance)}" for each in channels)
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
    with training_display(loaded.description.title, folder) as report:
        weights = train_classifier(loaded, folder, report, iterations=iterations)
    print(f"wrote {weights}")


def _model_and_split(model: str, split: str, gpu: int | None = None) -> tuple["Model", "Split"]:
    from rationale.datasets import load_dataset
    from rationale.errors import ModelError
    from rationale.model import Model

    loaded = Model.load(model, gpu=gpu)
    if loaded.description.dataset is None:
        raise ModelError(f"model {loaded.name!r} names no dataset in its model.toml")
    return loaded, load_dataset(loaded.description.dataset).split(split)


@batch.command("heatmaps")
def batch_heatmaps(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    composite: CompositeOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HDF5 file.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="Of the heatmaps: float32 or float16.")] = "float32",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads of each process.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes on this machine.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="A Dask scheduler: tcp://…")] = None,
    gpu: GpuOption = None,
) -> None:
    """Explain every picture of the model's data set into one HDF5 file; goes on where it stopped."""
    from rationale.batch import write_heatmaps
    from rationale.render.terminal import progress_bar

    loaded, pictures = _model_and_split(model, split, gpu)
    path = out or Path("out") / f"{loaded.name}-{split}.h5"
    with progress_bar("explaining") as advance:
        write_heatmaps(
            loaded,
            pictures,
            path,
            composite,
            lambda done, total: advance(done, total, ""),
            precision=precision,
            threads=threads,
            workers=workers,
            scheduler=scheduler,
        )
    print(f"wrote {path}: {len(pictures)} pictures")


@app.command()
def compare(
    image: Annotated[Path, typer.Argument(help="One picture.")],
    model: ModelOption = "mnist",
    target: Annotated[str | None, typer.Option("--class", help="Explain this class, not the predicted one.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Other methods than LRP too.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file.")] = Path("compared.png"),
    gpu: GpuOption = None,
) -> None:
    """Draw one picture under every composite, side by side."""
    from rationale.evaluation.heatmaps import heatmaps_of
    from rationale.images import save_png
    from rationale.model import Model
    from rationale.render.gallery import gallery

    loaded = Model.load(model, gpu=gpu)
    view = loaded.view(image)
    save_png(gallery(view, heatmaps_of(loaded, view, target, baselines=baselines)), out)
    print(f"wrote {out}")


@evaluate.command("heatmaps")
def evaluate_heatmaps_command(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    methods: Annotated[list[str] | None, typer.Option("--method", help="Only this one; may be repeated.")] = None,
    pictures: Annotated[int | None, typer.Option("--pictures", min=2, help="How many, evenly from the split.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="How often flipping asks the network.")] = None,
    region: Annotated[int | None, typer.Option("--region", min=1, help="Side of what flipping covers.")] = None,
    random_labels: Annotated[
        bool, typer.Option(help="Also train on random labels, and compare with that network.")
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Measurements and charts.")] = None,
    gpu: GpuOption = None,
) -> None:
    """Measure heatmaps by pixel flipping, localisation and sanity checks; goes on where it stopped."""
    from rationale.evaluation.heatmaps import settings_for
    from rationale.model import Model
    from rationale.reproduce.heatmaps import evaluate_heatmaps, publish

    loaded = Model.load(model, gpu=gpu)
    asked: dict[str, Any] = {"pictures": pictures, "steps": steps, "region": region}
    settings = replace(settings_for(loaded), **{name: value for name, value in asked.items() if value is not None})
    folder = out or Path("out") / "evaluate" / loaded.name
    figures = evaluate_heatmaps(loaded, folder, settings, split=split, methods=methods, random_labels=random_labels)
    for path in publish(figures, folder):
        print(f"wrote {path}")


@data.command("list")
def data_list() -> None:
    """Show the file sets that can be fetched, and which are there."""
    from rationale.fetching import is_whole, read_manifest

    for entry in read_manifest().values():
        print(f"{entry.name}: {entry.title}{' (fetched)' if is_whole(entry.name) else ''}\n  {entry.contents}")
        print(f"  from {entry.homepage}; licence {entry.licence}\n  cite {entry.cite}")


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
    from rationale.render.terminal import progress_bar

    loaded, pictures = _model_and_split(model, split)
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
    experiments: Annotated[list[str] | None, typer.Argument(help="mnist, flight, cub; all of them if none.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="From the shipped weights; nothing is trained.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Snapshots and heatmaps.")] = Path("out") / "reproduce",
) -> None:
    """Train, measure, and write docs/results.md."""
    from rationale.reproduce import EXPERIMENTS, run_experiment

    for experiment in experiments or EXPERIMENTS:
        print(f"wrote {run_experiment(experiment, out, quick=quick)}")


@evaluate.command("classifier")
def evaluate_classifier_command(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Figures and charts.")] = None,
    gpu: GpuOption = None,
) -> None:
    """Measure accuracy, confusion and calibration of a classifier."""
    import json

    from rationale.evaluation.classification import classify
    from rationale.render.terminal import progress_bar
    from rationale.reproduce.photographs import classifier_figures, draw_classifier

    loaded, pictures = _model_and_split(model, split, gpu)
    folder = out or Path("out") / "evaluate" / loaded.name
    with progress_bar("classifying") as advance:
        found = classify(loaded, loaded.network, pictures, lambda done, total: advance(done, total, ""))
    figures = classifier_figures(loaded, found)
    mean, low, high = figures["accuracy"]
    print(f"accuracy {mean:.2%} ({low:.2%} to {high:.2%}), balanced {figures['balanced_accuracy']:.2%}")
    print(f"calibration error {figures['calibration_error']:.3f}, {figures['pictures']} pictures")
    written = draw_classifier(loaded, found, folder)
    (folder / "classifier.json").write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")
    for path in (*written, folder / "classifier.json"):
        print(f"wrote {path}")
