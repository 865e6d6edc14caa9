"""Writes docs/results.md from docs/measurements; a measurement that is missing is said to be missing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rationale.reproduce.faithfulness import faithfulness_table
from rationale.reproduce.measure import measurements_directory
from rationale.reproduce.sentence_tables import sentence_tables
from rationale.resources import write_whole

_HEAD = """# Results

Written by `make reproduce` and `make fresh` from the figures in `docs/measurements`; do not edit.
"""


def write_results() -> Path:
    """Writes docs/results.md and returns its path."""
    path = measurements_directory().parent / "results.md"
    write_whole(path, results_page())
    return path


def results_page() -> str:
    """The page, in Markdown."""
    sections = [_HEAD, _classifier(), _conservation(), _speed(), *sentences_of("mnist")]
    for name in ("flight", "cub"):
        sections += [_photographs(name), _regions(name), *_borders(name), _photograph_speed(name), *sentences_of(name)]
    sections += [*_heatmaps(), _quick(), _fresh()]
    return "\n".join(sections)


def _read(name: str) -> dict[str, Any] | None:
    path = measurements_directory() / f"{name}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _section(title: str, figures: dict[str, Any] | None, rows: Sequence[tuple[str, ...]], remark: str = "") -> str:
    if figures is None:
        return f"## {title}\n\nNot measured yet.\n"
    head, *body = rows
    table = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in body)]
    lines = [f"## {title}", "", *(f"| {line} |" for line in table), ""]
    lines += [remark, ""] if remark else []
    where = figures["where"]
    lines += [f"Measured {where['date']} on {where['processor']}, {where['system']}; {where['versions']}.", ""]
    return "\n".join(lines)


def _classifier() -> str:
    figures = _read("mnist-classifier")
    if figures is None:
        return _section("MNIST: the classifier", None, [])
    shipped, again = figures["shipped"], figures["retrained"]
    rows = [
        ("LeNet, 10,000 test digits", "right", "accuracy"),
        ("weights in `weights/mnist`", f"{shipped['right']:,}", f"**{shipped['accuracy']:.2%}**"),
        ("trained anew by this run", f"{again['right']:,}", f"{again['accuracy']:.2%}"),
    ]
    same = "identical bit for bit to" if figures["identical"] else "not identical to"
    remark = (
        f"The new weights are {same} those in `weights/mnist`. Training: {figures['updates']:,} updates in "
        f"{figures['training_seconds'] / 60:.1f} minutes; accuracy on the 10,000 validation digits, which alone guided "
        f"choices, {figures['validation_accuracy']:.2%}. The test digits were used for this table only."
    )
    return _section("MNIST: the classifier", figures, rows, remark)


def _conservation() -> str:
    figures = _read("mnist-conservation")
    names = [name for name in figures or {} if name != "where"]
    rows: list[tuple[str, ...]] = [("composite", "largest residual of any layer, as a share of f(x)")]
    rows += [(f"`{name}`", f"{(figures or {})[name]:.1e}") for name in names]
    remark = "Over all 10,000 test digits: received − passed on − biases − stabiliser; the bar is 1e-4."
    return _section("MNIST: does every layer's account close?", figures, rows, remark)


def _speed() -> str:
    figures = _read("mnist-speed")
    if figures is None:
        return _section("MNIST: speed", None, [])
    one, whole = figures["explain_one"], figures["explain_test_set"]
    memory = " / ".join(f"{whole[key]:.0f}" for key in ("third", "two_thirds", "end"))
    rows = [
        ("command", "measured", "bar"),
        (
            "`rationale explain` on one digit, start-up included",
            f"median {one['median']:.2f} s, least {one['least']:.2f} s of {one['runs']:.0f}",
            "2 s",
        ),
        (
            "`rationale batch heatmaps --composite epsilon-plus --no-sentence`, 10,000 test digits",
            f"{whole['seconds']:.1f} s",
            "60 s",
        ),
        ("its memory after a third / two thirds / all of that time", f"{memory} MiB", "flat"),
    ]
    return _section("MNIST: speed", figures, rows)


def _photographs(name: str) -> str:
    """A classifier of photographs: accuracy, seeds, classes, calibration."""
    figures = _read(f"{name}-classifier")
    if figures is None:
        return _section(f"{name}: the classifier", None, [])
    mean, low, high = figures["accuracy"]
    rows = [
        ("test photographs", "accuracy", "balanced accuracy", "calibration error"),
        (
            f"weights in `weights/{name}`, {figures['pictures']}",
            f"**{mean:.2%}** ({low:.2%}–{high:.2%})",
            f"**{figures['balanced_accuracy']:.2%}**",
            f"{figures['calibration_error']:.3f}",
        ),
    ]
    seeds = figures.get("seeds", [])
    for each in seeds:
        what = f"seed {each['seed']}" + (", identical to the shipped ones" if each["is_shipped"] else "")
        accuracies = (f"{each['accuracy']:.2%}", f"{each['balanced_accuracy']:.2%}")
        rows.append((what, *accuracies, f"{each['calibration_error']:.3f}"))
    found = [each["accuracy"] for each in seeds]
    spread = ""
    if seeds:
        minutes = [each["seconds"] / 60 for each in seeds]
        spread = (
            f"Spread over {len(seeds)} seeds: {min(found):.2%} to {max(found):.2%}. Each learnt in "
            f"{seeds[0]['updates']} updates, {min(minutes):.0f} to {max(minutes):.0f} minutes on one thread, as many "
            "side by side as there are cores. "
        )
    ranked = sorted(figures["by_class"].items(), key=lambda item: item[1])
    classes = ", ".join(f"{label} {share:.1%}" for label, share in ranked)
    remark = (
        f"{spread}Accuracy by class: {classes}.\n\n![Confusion matrix](images/{name}-confusion.png)\n\n"
        f"![Calibration](images/{name}-calibration.png)"
    )
    return _section(f"{figures['title']}: the classifier", figures, rows, remark)


def _regions(name: str) -> str:
    """Where relevance lies, by region, for each set of weights."""
    figures = _read(f"{name}-regions")
    title = f"{name}: does the classifier look at the thing?"
    if figures is None:
        return _section(title, None, [])
    rows: list[tuple[str, ...]] = [("weights", "region", "photographs", "share of relevance", "of area", "density")]
    for weights, regions in figures.items():
        if weights == "where":
            continue
        for region, values in regions.items():
            relevance, density = _interval(values["relevance"]), _interval(values["density"])
            rows.append((weights, region, f"{values['pictures']}", relevance, f"{values['area']:.3f}", density))
    remark = (
        "Positive relevance for the predicted class on test photographs; density is the share of relevance over that "
        "of the area, 1 is chance. Border: plain white or black areas at the edge, such as Caltech's photographs have "
        "where they were turned (a white sky counts, too). "
        "Background: neither object nor border. Regions of parts are small cells or discs around them.\n\n"
        f"![Density of relevance by region](images/{name}-regions.png)"
    )
    return _section(title, figures, rows, remark)


def _borders(name: str) -> list[str]:
    """What the shortcut costs: decisions with other borders, before and after training with other surroundings."""
    figures = _read(f"{name}-borders")
    if figures is None:
        return []
    rows: list[tuple[str, ...]] = [
        ("weights", "accuracy", "borders inverted", "balanced accuracy", "borders inverted", "decisions that change")
    ]
    for weights, found in figures.items():
        if weights != "where":
            shares = ("accuracy", "accuracy_inverted", "balanced_accuracy", "balanced_accuracy_inverted")
            changed = f"{found['changed']} of {found['pictures']}"
            rows.append((weights, *(f"{found[each]:.2%}" for each in shares), changed))
    remark = (
        "White borders made black, and black ones white: a classifier that looks at the thing decides as before. The "
        "test photographs with most relevance on their borders, before and after training with other surroundings; "
        "the object's outline is dark, the border's orange:\n\n"
        f"![Heatmaps before and after](images/{name}-borders.png)"
    )
    return [_section(f"{name}: do borders decide?", figures, rows, remark)]


def _photograph_speed(name: str) -> str:
    figures = _read(f"{name}-speed")
    if figures is None:
        return _section(f"{name}: speed", None, [])
    one, count = figures["explain_one"], figures["pictures"]
    rows = [
        ("command", "measured", "bar"),
        (
            "`rationale explain` on one photograph, all outputs, start-up included",
            f"median {one['median']:.2f} s, least {one['least']:.2f} s of {one['runs']:.0f}",
            "3 s",
        ),
        (f"bare LRP on {count} test photographs", f"{figures['lrp']:.1f} s", ""),
        (
            "`rationale batch heatmaps --no-sentence` on them, one process, start-up included",
            f"{figures['one_process']:.1f} s, {figures['batch_over_lrp']:.2f} × bare LRP",
            "1.3 ×",
        ),
        (
            "the same with `--workers 2`",
            f"{figures['two_workers']:.1f} s, {figures['two_workers_gain']:.2f} × the throughput",
            "1.7 ×",
        ),
    ]
    remark = (
        f"Medians of {figures['rounds']} rounds, in which the three take turns; one thread for each process. Workers "
        "take about four seconds to start, which counts for more the fewer photographs there are."
    )
    return _section(f"{name}: speed", figures, rows, remark)


def sentences_of(name: str) -> list[str]:
    """What was measured of a model's sentences; nothing for a model without them."""
    found = []
    for kind, tables in (("sentences", sentence_tables), ("faithfulness", lambda *known: [faithfulness_table(*known)])):
        figures = _read(f"{name}-{kind}")
        if figures is not None:
            found += [_section(title, figures, rows, remark) for title, rows, remark in tables(name, figures)]
    return found


def _heatmaps() -> list[str]:
    """A section for each model whose heatmaps were measured."""
    paths = sorted(measurements_directory().glob("*-heatmaps.json"))
    return [_heatmaps_of(json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def _heatmaps_of(figures: dict[str, Any]) -> str:
    methods, fillings = figures["methods"], figures["fillings"]
    has_masks = "mass" in next(iter(methods.values()))
    rows = [("method", *(f"AOPC, {each}" for each in fillings), *(("mass", "rank") if has_masks else ()))]
    for name in sorted(methods, key=lambda name: -mean_aopc(methods[name], fillings)):
        values = methods[name]
        shown = f"**{name}**" if name == figures["default"] else name
        cells = [_interval(values["flipping"]["MoRF"][each]["aopc"]) for each in fillings]
        cells += [_interval(values[key]) for key in ("mass", "rank") if has_masks]
        rows.append((shown, *cells))
    title = f"{figures['title']}: are the heatmaps right?"
    main = _section(title, figures, rows, "\n\n".join([_how_measured(figures), _against_gradient(figures)]))
    sanity = [("method", "other class", "random labels", *_depths(figures))]
    for name, values in methods.items():
        found = [values["other_class"], values.get("random_labels"), *values["random_network"].values()]
        sanity.append((name, *("–" if each is None else _interval(each) for each in found)))
    pictures = [
        ("flipping", "Probability of the class while its most relevant regions are covered"),
        ("aopc-morf", "AOPC, most relevant first"),
        ("aopc-lerf", "AOPC, least relevant first"),
        ("localisation", "Relevance on the object"),
        ("random-network-lrp", "LRP while the network is randomised"),
        ("random-network-baselines", "Baselines while the network is randomised"),
        ("sanity", "Sanity checks"),
    ]
    images = [f"![{text}](images/{figures['model']}-{name}.png)\n" for name, text in pictures]
    remark = (
        "Spearman's ρ with the heatmap for the second most probable class (all pictures; −1 is the opposite heatmap), "
        f"and |ρ| with the heatmap ({figures['compared']} pictures) of a network trained on random labels, and with "
        "weights drawn anew from the score down to a layer. Nearer to 0 is better; what stays at 1 never listened to "
        "the network."
    )
    return "\n".join([main, *images, _section(f"{figures['title']}: sanity checks", figures, sanity, remark)])


def _how_measured(figures: dict[str, Any]) -> str:
    return (
        f"{figures['pictures']} pictures of the {figures['split']} split; means with 95 % bootstrap intervals. AOPC: "
        "mean fall of the predicted class's probability while square regions are covered, the most relevant first, "
        f"with {', '.join(figures['fillings'])}; more is better. Mass and rank: relevance on the object."
    )


def _against_gradient(figures: dict[str, Any]) -> str:
    """Which composites beat the gradient with intervals apart, and how the default was chosen."""
    methods, fillings = figures["methods"], figures["fillings"]
    composites = [name for name in methods if name not in figures["baselines"]]
    layers = list(methods["gradient"]["random_network"])
    lines = []
    for filling in fillings:
        bar = methods["gradient"]["flipping"]["MoRF"][filling]["aopc"][2]
        missed = [name for name in composites if methods[name]["flipping"]["MoRF"][filling]["aopc"][1] <= bar]
        above = [f"`{name}`" for name in composites if name not in missed]
        verdict = "all" if not missed else ", ".join(above) or "none"
        lines.append(f"- covered with {filling}: {verdict}")
    ranking = sorted(figures["validation_aopc"].items(), key=lambda item: -item[1])
    best = ", ".join(f"`{name}` {value:.3f}" for name, value in ranking[:3])
    same = "the default is it" if figures["chosen"] == figures["default"] else f"the default is `{figures['default']}`"
    deaf = [f"`{name}`" for name in composites if methods[name]["random_network"][layers[-1]][0] > 0.9]
    warning = f"\n\nNot to be trusted here, for they do not listen to the network: {', '.join(deaf)}." if deaf else ""
    return (
        "LRP composites whose AOPC is above the gradient's with intervals apart:\n\n"
        + "\n".join(lines)
        + f"\n\nChosen on the validation split, by the mean AOPC over all fillings: {best}; {same}."
        + warning
    )


def mean_aopc(values: dict[str, Any], fillings: Sequence[str]) -> float:
    """Mean over the fillings of a method's AOPC, most relevant first."""
    return sum(float(values["flipping"]["MoRF"][each]["aopc"][0]) for each in fillings) / len(fillings)


def _depths(figures: dict[str, Any]) -> list[str]:
    layers = next(iter(figures["methods"].values()))["random_network"]
    return [f"down to `{layer}`" for layer in layers]


def _interval(estimate: Sequence[float]) -> str:
    mean, low, high = estimate
    return f"{mean:.3f} ({low:.3f}–{high:.3f})"


def _quick() -> str:
    figures = _read("reproduce-quick")
    if figures is None:
        return _section("`make reproduce-quick`", None, [])
    times = {name: seconds for name, seconds in figures.items() if name != "where"}
    rows: list[tuple[str, ...]] = [("experiment", "time", "bar")]
    rows += [(name, f"{seconds:.0f} s", "") for name, seconds in times.items()]
    rows.append(("all", f"{sum(times.values()):.0f} s", "10 min"))
    return _section(
        "`make reproduce-quick`", figures, rows, "From the shipped weights; what is fetched is there already."
    )


def _fresh() -> str:
    figures = _read("fresh-machine")
    if figures is None:
        return _section("From a fresh clone", None, [])
    rows: list[tuple[str, ...]] = [("step", "time", "bar")]
    rows += [(step["what"], f"{step['seconds']:.0f} s", step.get("bar", "")) for step in figures["steps"]]
    return _section("From a fresh clone", figures, rows, figures["remark"])
