"""rationale evaluate, rationale reproduce."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rationale.cli.app import GpuOption, ModelOption, StageOption, WeightsOption, app, evaluate


@evaluate.command("heatmaps")
def evaluate_heatmaps_command(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    images: Annotated[
        Path | None, typer.Option("--images", help="A folder of pictures, instead of the model's data set.")
    ] = None,
    methods: Annotated[list[str] | None, typer.Option("--method", help="Only this one; may be repeated.")] = None,
    pictures: Annotated[int | None, typer.Option("--pictures", min=2, help="How many, evenly from the split.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="How often flipping asks the network.")] = None,
    region: Annotated[int | None, typer.Option("--region", min=1, help="Side of what flipping covers.")] = None,
    random_labels: Annotated[bool, typer.Option(help="Also train on random labels, unless fine-tuned.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Measurements and charts.")] = None,
    weights: WeightsOption = None,
    gpu: GpuOption = None,
) -> None:
    """Measure heatmaps by pixel flipping, localisation and sanity checks; goes on where it stopped."""
    from rationale.datasets import loose_pictures
    from rationale.evaluation.heatmaps import settings_for
    from rationale.model import Model
    from rationale.reproduce.heatmaps import evaluate_heatmaps, publish, table

    loaded = Model.load(model, weights=weights, gpu=gpu)
    asked: dict[str, Any] = {"pictures": pictures, "steps": steps, "region": region}
    settings = replace(settings_for(loaded), **{name: value for name, value in asked.items() if value is not None})
    folder = out or Path("out") / "evaluate" / loaded.name
    figures = evaluate_heatmaps(
        loaded,
        folder,
        settings,
        split=split,
        methods=methods,
        random_labels=random_labels,
        images=None if images is None else loose_pictures(images),
    )
    print(*table(figures), sep="\n")
    for path in publish(figures, folder):
        print(f"wrote {path}")


@evaluate.command("classifier")
def evaluate_classifier_command(
    model: ModelOption = "mnist",
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Figures and charts.")] = None,
    weights: WeightsOption = None,
    stages: StageOption = None,
    gpu: GpuOption = None,
) -> None:
    """Measure accuracy, confusion and calibration of a classifier."""
    from rationale.cli.loading import model_and_split
    from rationale.evaluation.classification import classify
    from rationale.explanation import make_folder
    from rationale.render.terminal import progress_bar
    from rationale.reproduce.photographs import classifier_figures, draw_classifier
    from rationale.resources import as_json, write_whole

    loaded, pictures = model_and_split(model, split, gpu, weights, stages)
    folder = out or Path("out") / "evaluate" / loaded.name / ("" if split == "test" else split)
    make_folder(folder)  # before minutes of work: is there where to write?
    with progress_bar("classifying") as advance:
        found = classify(loaded, loaded.network, pictures, lambda done, total: advance(done, total, ""))
    figures = {"split": split, **classifier_figures(loaded, found)}
    mean, low, high = figures["accuracy"]
    print(f"accuracy {mean:.2%} ({low:.2%} to {high:.2%}), balanced {figures['balanced_accuracy']:.2%}")
    print(f"calibration error {figures['calibration_error']:.3f}, {figures['pictures']} pictures")
    written = draw_classifier(loaded, found, folder, split)
    write_whole(folder / "classifier.json", as_json(figures, indent=1))
    for path in (*written, folder / "classifier.json"):
        print(f"wrote {path}")


@evaluate.command("sentences")
def evaluate_sentences_command(
    model: Annotated[
        str, typer.Option("--model", "-m", help="One of the project's models with an explainer.")
    ] = "flight",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Snapshots and figures.")] = None,
    only_faithfulness: Annotated[
        bool, typer.Option("--only-faithfulness", help="Only blur what sentences name, beside what they do not.")
    ] = False,
    all_controls: Annotated[
        bool, typer.Option("--all-controls", help="Train all five on captions by lot too, not only what ships.")
    ] = False,
    pictures: Annotated[int, typer.Option("--pictures", min=2, help="Test pictures of which parts are blurred.")] = 60,
) -> None:
    """Measure sentences: five generators, three seeds, captions by heatmap and by lot; and how faithful they are."""
    from rationale.explainer.speaker import VARIANTS
    from rationale.render.terminal import progress_bar
    from rationale.reproduce import write_results
    from rationale.reproduce.faithfulness import reproduce_faithfulness
    from rationale.reproduce.sentences import SHIPPED, reproduce_sentences

    folder = out or Path("out") / "reproduce" / model / "sentences"
    if not only_faithfulness:
        reproduce_sentences(model, folder, VARIANTS if all_controls else (SHIPPED,))
    with progress_bar("blurring") as advance:
        reproduce_faithfulness(model, folder, pictures, lambda kind, done, total: advance(done, total, kind))
    print(f"wrote {write_results()}")


@app.command()
def reproduce(
    experiments: Annotated[list[str] | None, typer.Argument(help="mnist, flight, cub; all of them if none.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="From the shipped weights; nothing is trained.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Snapshots and heatmaps.")] = Path("out") / "reproduce",
) -> None:
    """Train, measure, and write docs/results.md."""
    from rationale.reproduce import run_experiments

    for page in run_experiments(experiments or [], out, quick=quick):
        print(f"wrote {page}")
