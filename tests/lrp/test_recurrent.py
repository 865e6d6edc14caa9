"""Relevance through an LSTM must be the paper's, of the network that Caffe runs, and add up."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import RuleError
from rationale.lrp.recurrent import STABILISERS, Lstm
from rationale.network import SequenceNetwork

STEPS, SAMPLES, INPUTS, STATIC, HIDDEN = 7, 3, 4, 2, 5


def some_lstm(seed: int = 0, *, static: bool = True) -> Lstm:
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(0, 0.7, (4 * HIDDEN, *shape))

    return Lstm(draw(INPUTS), draw(), draw(HIDDEN), draw(STATIC) if static else None)


def some_inputs(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    cont = np.ones((STEPS, SAMPLES))
    cont[0] = 0
    cont[3, 1] = 0  # a sequence that begins anew
    cont[5, 2] = 0.5
    return random.normal(size=(STEPS, SAMPLES, INPUTS)), cont, random.normal(size=(SAMPLES, STATIC))


def through_linear(inputs: np.ndarray, weights: np.ndarray, output: float, relevance: float) -> np.ndarray:
    """Arras et al. 2017, eq. 1 with ε = 0: R_i = z_i w_ij / z_j · R_j, for one output j."""
    return inputs * weights / output * relevance


def twin(lstm: Lstm, x: np.ndarray, cont: np.ndarray, s: np.ndarray | None, relevance: np.ndarray) -> tuple:
    """One sequence, message by message after the paper: relevance (T, H) at h comes to x, s and the bias."""
    size, steps = lstm.hidden, len(x)
    sigma = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    h, c = np.zeros((steps + 1, size)), np.zeros((steps + 1, size))
    kept = []
    for t in range(steps):
        z = lstm.of_input @ x[t] + lstm.bias + lstm.of_hidden @ (cont[t] * h[t])
        if s is not None and lstm.of_static is not None:
            z = z + lstm.of_static @ s
        i, f, o, g = (z[n * size : (n + 1) * size] for n in range(4))
        a, b = cont[t] * sigma(f) * c[t], sigma(i) * np.tanh(g)
        c[t + 1] = a + b
        h[t + 1] = sigma(o) * np.tanh(c[t + 1])
        kept.append((a, b, g))
    r_x, r_s, r_b = np.zeros_like(x), np.zeros(STATIC), 0.0
    r_c, r_h = np.zeros(size), np.zeros(size)
    for t in reversed(range(steps)):
        a, b, g = kept[t]
        r_c = r_c + r_h + relevance[t]  # the gate o is a weight: all of h's relevance is c's
        r_h = np.zeros(size)
        before = np.zeros(size)
        for j in range(size):
            to_b = b[j] / c[t + 1][j] * r_c[j]
            before[j] = a[j] / c[t + 1][j] * r_c[j]
            row = 3 * size + j  # the signal; its gate i is a weight
            r_x[t] += through_linear(x[t], lstm.of_input[row], g[j], to_b)
            r_h += through_linear(cont[t] * h[t], lstm.of_hidden[row], g[j], to_b)
            if s is not None and lstm.of_static is not None:
                r_s += through_linear(s, lstm.of_static[row], g[j], to_b)
            r_b += lstm.bias[row] / g[j] * to_b
        r_c = before
    return r_x, r_s, r_b


@pytest.mark.parametrize("static", [True, False])
def test_the_paper_message_by_message(static: bool) -> None:
    lstm, (x, cont, s) = some_lstm(static=static), some_inputs()
    run = lstm.run(x, cont, s if static else None)
    multipliers = np.random.default_rng(2).normal(size=(STEPS, SAMPLES, HIDDEN))
    found = run.relevance(multipliers, "none")
    for n in range(SAMPLES):
        r_x, r_s, r_b = twin(lstm, x[:, n], cont[:, n], s[n] if static else None, multipliers[:, n] * run.hidden[:, n])
        np.testing.assert_allclose(found.inputs[:, n] * x[:, n], r_x, rtol=1e-9, atol=1e-11)
        assert found.bias[n] == pytest.approx(r_b, rel=1e-9)
        if static:
            assert found.static is not None
            np.testing.assert_allclose(found.static[n] * s[n], r_s, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("stabiliser", STABILISERS)
def test_what_is_given_arrives_or_is_accounted_for_at_every_step(stabiliser: str) -> None:
    lstm, (x, cont, s) = some_lstm(), some_inputs()
    run = lstm.run(x, cont, s)
    for last in range(STEPS):
        multipliers = np.zeros((STEPS, SAMPLES, HIDDEN))
        multipliers[last] = np.random.default_rng(last).normal(size=(SAMPLES, HIDDEN))
        found = run.relevance(multipliers, stabiliser)
        assert found.static is not None
        given = (multipliers[last] * run.hidden[last]).sum(axis=1)
        arrived = (found.inputs * x).sum(axis=(0, 2)) + (found.static * s).sum(axis=1)
        assert arrived + found.bias + found.stabiliser == pytest.approx(given, rel=1e-9)
        assert not found.inputs[last + 1 :].any()  # words to come have said nothing
        assert stabiliser != "none" or not found.stabiliser.any()
    restarted = np.zeros((STEPS, SAMPLES, HIDDEN))
    restarted[STEPS - 1, 1] = 1
    assert not run.relevance(restarted, stabiliser).inputs[:3, 1].any()  # before `cont` was 0 there was nothing


def test_several_starts_in_one_sequence_are_what_each_alone_is() -> None:
    lstm, (x, cont, s) = some_lstm(), some_inputs()
    run = lstm.run(x[:, :1], cont[:, :1], s[:1])
    multipliers = np.random.default_rng(2).normal(size=(STEPS, 4, HIDDEN))
    together = run.relevance(multipliers)
    for k in range(4):
        alone = run.relevance(multipliers[:, [k]])
        np.testing.assert_allclose(alone.inputs[:, 0], together.inputs[:, k])
        assert alone.bias[0] == pytest.approx(together.bias[k])


def test_multipliers_are_slopes_by_finite_differences_where_gates_stand_still() -> None:
    """With gates set by their biases alone, and a signal so small that tanh is the identity, h is linear in x and s."""
    own = some_lstm()
    still = np.concatenate([np.zeros(3 * HIDDEN), np.full(HIDDEN, 1e-5)])[:, None]
    assert own.of_static is not None
    lstm = Lstm(still * own.of_input, own.bias * [*[1.0] * 3 * HIDDEN, *[0.0] * HIDDEN], still * own.of_hidden,
                still * own.of_static)  # fmt: skip
    x, cont, s = some_inputs()
    multipliers = np.zeros((STEPS, SAMPLES, HIDDEN))
    multipliers[-1, :, 2] = 1
    found = lstm.run(x, cont, s).relevance(multipliers, "none")
    assert found.static is not None
    value = lambda x, s: lstm.run(x, cont, s).hidden[-1, :, 2]  # noqa: E731
    for t, d in [(0, 0), (3, 1), (6, 3)]:
        moved = x.copy()
        moved[t, :, d] += 1e-3
        slope = (value(moved, s) - value(x, s)) / 1e-3
        assert found.inputs[t, :, d] == pytest.approx(slope, rel=1e-4, abs=1e-12)
    moved = s.copy()
    moved[:, 1] += 1e-3
    assert found.static[:, 1] == pytest.approx((value(x, moved) - value(x, s)) / 1e-3, rel=1e-4)


@pytest.mark.parametrize("static", [True, False])
def test_it_is_the_lstm_that_caffe_runs(static: bool, tmp_path: Path) -> None:
    bottoms = 'bottom: "x" bottom: "cont"' + (' bottom: "s"' if static else "")
    shapes = {"x": (STEPS, SAMPLES, INPUTS), "cont": (STEPS, SAMPLES), "s": (SAMPLES, STATIC)}
    layers = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {each}" for each in shape)
        + " } } }"
        for name, shape in shapes.items()
        if static or name != "s"
    ]
    filler = 'filler { type: "uniform" min: -0.8 max: 0.8 }'
    layers.append(
        f'layer {{ name: "lstm" type: "LSTM" {bottoms} top: "h" recurrent_param {{ num_output: {HIDDEN} '
        f"weight_{filler} bias_{filler} }} }}"
    )
    path = tmp_path / "lstm.prototxt"
    path.write_text("\n".join(layers))
    network = SequenceNetwork.load(path)
    x, cont, s = some_inputs()
    given = {"x": x, "cont": cont, **({"s": s} if static else {})}
    own = Lstm.of_blobs(network.parameters("lstm")).run(x, cont, s if static else None)
    np.testing.assert_allclose(network.forward(given)["h"], own.hidden, atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(RuleError, match="3 or 4 parameters"):
        Lstm.of_blobs([np.zeros((8, 2))])
    x, cont, s = some_inputs()
    with pytest.raises(RuleError, match="has a static input"):
        some_lstm().run(x, cont)
    with pytest.raises(RuleError, match=r"no stabiliser .much. of the cell; there are cancelled, all, none"):
        some_lstm().run(x, cont, s).relevance(np.zeros((STEPS, SAMPLES, HIDDEN)), "much")
