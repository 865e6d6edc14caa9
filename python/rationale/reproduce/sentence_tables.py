"""Tables of docs/results.md about sentences, from what `reproduce/sentences.py` measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rationale.explainer.speaker import VARIANTS

Runs = Sequence[dict[str, Any]]
Table = tuple[str, list[tuple[str, ...]], str]

# Of pictures that may be shown.
CREDITS = {"flight": "Photographs: Caltech-101, CC BY 4.0", "mnist": "Digits: MNIST, CC BY-SA 3.0"}

FEW_CLASSES = 4  # of which three pictures each are shown

_CONSISTENCY = ("consistency", "others", "commonest", "shuffled")
_LANGUAGE = ("METEOR", "CIDEr", "BLEU-4", "class_similarity", "class_rank", "perplexity", "distinct")


def sentence_tables(name: str, figures: dict[str, Any]) -> list[Table]:
    """Title, rows and remark of each table."""
    runs = figures["runs"]
    claims = [_claims(name, figures, runs)] if figures["template"]["choices"] else []
    beliefs = [_beliefs(name, figures["beliefs"])] if figures.get("beliefs") else []
    return [_consistency(name, figures, runs), *claims, *beliefs, _language(name, figures, runs)]


def _of(runs: Runs, captions: str, variant: str) -> Runs:
    return [run for run in runs if run["captions"] == captions and run["variant"] == variant]


def _consistency(name: str, figures: dict[str, Any], runs: Runs) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            "generator",
            "captions",
            "consistency",
            "other pictures of its class",
            "its class’s commonest",
            "shuffled heatmaps",
        )
    ]
    for variant in VARIANTS:
        for captions in ("linked", "unlinked"):
            found = _of(runs, captions, variant)
            if found:
                shown = f"**{variant}**" if (variant, captions) == ("explanation", "linked") else variant
                rows.append((shown, captions, *(_mean(found, key) for key in _CONSISTENCY)))
    rows.append(("template: the three densest parts", "–", f"{figures['template']['consistency']:.3f}", "–", "–", "–"))
    best = _of(runs, "linked", "explanation")
    seeds = sorted({run["seed"] for run in runs})
    minutes = max(run["seconds"] for run in runs) / 60
    remark = (
        "Consistency: probability that a part which the sentence names carries denser relevance than one which it "
        f"does not name (0.5 is chance), mean over {len(best[0]['sentences']) if best else 0} test pictures "
        f"and {len(seeds)} seeds (± standard deviation over seeds). Linked: learnt from captions that the "
        f"heatmap selected; "
        "unlinked: from captions about parts drawn by lot. Controls: the same sentence beside the heatmaps of "
        "the other "
        "pictures of its class; the parts that sentences about its class name most often; the sentence that is "
        "said when the evidence comes from another picture. What goes beyond these is about *this* picture. "
        "The template "
        "is consistent by construction and stands for the most that can be had. "
    )
    if figures["template"]["choices"]:
        remark += (
            "Decoding is held to the language of the captions (docs/sentences.md); left free, "
            f"{_mean(best, 'free_grammar')} of the sentences of *explanation* are of the language and "
            f"{_mean(best, 'free_class_word')} name the right class; held to it, {_mean(best, 'grammar')} and "
            f"{_mean(best, 'class_word')}. "
        )
    remark += f"The slowest training took {minutes:.1f} minutes on one thread."
    if figures.get("speed"):
        remark += f" Sentences take {_speed(figures['speed'])} beyond the heatmap"
        words = figures["speed"].get("words")
        remark += f"; heatmaps of all words of one, {_speed(words)}." if words else "."
    if name in CREDITS:
        few = figures["classes"] <= FEW_CLASSES
        which = "the most, the middle and the least consistent" if few else "by consistency the middle"
        remark += (
            f"\n\n![Pictures with heatmap and sentence](images/{name}-sentences.png)\n\n*Of each class {which} test "
            "picture, as the shipped generator explains it; phrases and outlines in the same colours. "
            f"{CREDITS[name]}.*"
        )
    return f"{name}: do sentences speak of what the heatmap shows?", rows, remark


def _speed(measured: dict[str, float]) -> str:
    return f"{measured['median']:.3f} s (median of {measured['pictures']}, least {measured['least']:.3f})"


def _claims(name: str, figures: dict[str, Any], runs: Runs) -> Table:
    choices = list(figures["template"]["choices"])
    rows: list[tuple[str, ...]] = [("attribute", "explanation, linked", "unlinked", "linear probe", "right when said")]
    linked, unlinked = _of(runs, "linked", "explanation"), _of(runs, "unlinked", "explanation")
    for choice in choices:
        said = [run["when_said"][choice] for run in linked if choice in run["when_said"]]
        right, made = (sum(pair[place] for pair in said) for place in (0, 1))
        rows.append(
            (
                choice.replace("_", " "),
                _mean([run["choices"] for run in linked], choice),
                _mean([run["choices"] for run in unlinked], choice),
                f"{figures['template']['choices'][choice]:.3f}",
                f"{right / made:.3f} ({right} of {made})" if made else "never said" if said else "–",
            )
        )
    kinds = [key for key in (linked or [{}])[0] if key == "true" or key.startswith("true of ")]
    truth = "; ".join(
        f"{'in all' if key == 'true' else f'in what they claim{key[4:]}'} {_mean(linked, key)} linked, "
        f"{_mean(unlinked, key)} unlinked"
        for key in kinds
    )
    remark = (f"Sentences that are true throughout: {truth}. " if truth else "") + (
        "Forced choice over all test pictures, balanced over the values: which value’s phrases get the higher "
        "probability in the same frame, whatever the sentence would have spoken of. The probe is a ridge regression on "
        "the same inputs. Right when said: claims in the sentences themselves."
    )
    return f"{name}: is it true what sentences say?", rows, remark


def _beliefs(name: str, found: Runs) -> Table:
    kinds = list(found[0]["true"])
    heads = ["true in all they say" if kind == "all" else f"true in what they say of {kind}" for kind in kinds]
    rows: list[tuple[str, ...]] = [("believed at least", "phrases a sentence", *heads, "consistency")]
    for each in found:
        shares = [f"{right / made:.3f} (of {made})" if made else "–" for right, made in each["true"].values()]
        rows.append((f"{each['belief']:g}", f"{each['phrases']:.2f}", *shares, f"{each['consistency']:.3f}"))
    remark = (
        f"What the shipped generator says of {found[0]['pictures']} validation pictures, by how probable what it says "
        "must be to it (`explainer.belief`, docs/sentences.md); by these figures the value in model.toml was chosen."
    )
    return f"{name}: what is believed is true", rows, remark


def _language(name: str, figures: dict[str, Any], runs: Runs) -> Table:
    rows: list[tuple[str, ...]] = [("generator", "captions", *(each.replace("_", " ") for each in _LANGUAGE))]
    for variant in VARIANTS:
        for captions in ("linked", "unlinked"):
            found = _of(runs, captions, variant)
            if found:
                rows.append((variant, captions, *(_mean(found, key) for key in _LANGUAGE)))
    remark = (
        "Against the captions that the heatmap selected for the test pictures (pycocoevalcap 1.2). Class "
        "similarity: "
        "mean tf-idf cosine with all captions of the predicted class, class words hidden; class rank: of that "
        "class among all by similarity, 1 is best. Perplexity of the first of these captions. Distinct: share "
        "of sentences "
        "unlike all others."
    )
    return f"{name}: sentences by the metrics of the field", rows, remark


def _mean(runs: Runs, key: str) -> str:
    values = [run[key] for run in runs if run.get(key) is not None]
    if not values:
        return "–"
    spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
