"""Definitions of a generator as Hendricks et al. 2016 had it for CUB: sizes, solvers and numbers of updates.

Embed and LSTMs of 1,000; batches of 100; SGD with momentum 0.9: relevance loss at 0.01, halved every 2,000 of 15,000
updates, discriminative loss at 0.001 for 10,000; the sentence classifier at 0.1 for 6,000.
"""

import re
from pathlib import Path

from rationale.errors import ModelError
from rationale.model import Model
from rationale.resources import write_whole

HIDDEN, BATCH = 1000, 100
_SOLVERS = {
    "solver": (0.01, 15_000, 'lr_policy: "step"\ngamma: 0.5\nstepsize: 2000'),
    "discriminative_solver": (0.001, 10_000, 'lr_policy: "fixed"'),
    "sentence_solver": (0.1, 6_000, 'lr_policy: "fixed"'),
}


def original_definitions(like: Model, classes: int) -> dict[str, str]:
    """Prototxt of generator, one-step generator, sentence classifier and solvers, by file name.

    Args:
        like: whose definitions are taken, with other sizes.
        classes: their number.

    Raises:
        ModelError: it has no explainer with solvers.
    """
    how = like.explainer_settings
    solvers = {name: getattr(how, name) for name in _SOLVERS}
    if missing := [name for name, path in solvers.items() if path is None]:
        raise ModelError(f"model {like.name!r}: explainer.{missing[0]} is missing in its model.toml")
    judge = how.network.with_name("sentence_classifier.prototxt")
    found = {}
    for path in (how.network, how.step, judge):
        found[path.name] = _resized(path.read_text(encoding="utf-8"), len(like.labels), classes)
    for name, path in solvers.items():
        assert path is not None
        found[path.name] = _solver(path.read_text(encoding="utf-8"), *_SOLVERS[name])
    return found


def _resized(text: str, before: int, classes: int) -> str:
    """The same network with other classes, hidden sizes and batch."""
    inputs = r'(layer \{ name: "%s" type: "Input".*?dim: )%s\b'
    text = re.sub(inputs % ("label", "32 dim: " + str(before)), rf"\g<1>32 dim: {classes}", text)
    text = re.sub(r'(name: "class".*?num_output: )\d+', rf"\g<1>{classes}", text, flags=re.DOTALL)
    for layer in ("projection", "embedding", "language", "explanation", "reader"):
        text = re.sub(rf'(name: "{layer}" type: .*?num_output: )\d+', rf"\g<1>{HIDDEN}", text, flags=re.DOTALL)
    text = re.sub(r'(_before" input_param \{ shape \{ dim: 1 dim: 32 dim: )\d+', rf"\g<1>{HIDDEN}", text)
    return re.sub(r"\bdim: 32\b", f"dim: {BATCH}", text)


def _solver(text: str, rate: float, updates: int, policy: str) -> str:
    net = re.search(r"^net: .*$", text, re.MULTILINE)
    assert net is not None
    return (
        f'# As in Hendricks et al. 2016.\n{net[0]}\ntype: "SGD"\nbase_lr: {rate}\nmomentum: 0.9\n{policy}\n'
        f"max_iter: {updates}\nclip_gradients: 10\nsnapshot: 500\ntest_interval: 500\nrandom_seed: 1\n"
    )


def fit_words(model: Model, words: int) -> list[Path]:
    """Writes the number of words into the model's definitions where it is another; returns what was written."""
    how = model.explainer_settings
    judge = how.network.with_name("sentence_classifier.prototxt")
    written = []
    for path in (how.network, how.step, judge):
        before = path.read_text(encoding="utf-8")
        text = re.sub(r"input_dim: \d+", f"input_dim: {words}", before)
        if path != judge:
            text = re.sub(r'(name: "scores".*?num_output: )\d+', rf"\g<1>{words}", text, flags=re.DOTALL)
        if text != before:
            write_whole(path, text)
            written.append(path)
    return written
