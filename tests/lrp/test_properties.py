"""What must hold for every network and every rule: hypothesis draws both."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rationale.lrp import COMPOSITES, Composite, propagate
from rationale.lrp.rules import (
    CONSTANT_INPUTS,
    INPUTS,
    WEIGHTS,
    Fraction,
    Rule,
    Term,
    alpha_beta,
    epsilon,
    flat,
    gamma,
    w_square,
)
from rationale.network import Network
from tests import networks
from tests.lrp import reference

SHAPE = (1, 2, 9, 8)
SMALL = (1, 2, 4, 5)
ANYTHING = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

# Rules that never lose relevance when there are no biases: nothing of theirs can lack contributions of one sign.
CONSERVING = Composite("conserving", {"Convolution": gamma(0.5), "InnerProduct": epsilon()}, lowest=w_square())


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """Two or three convolutions with pools, branches and activations between, and a dense layer on top."""
    body, top = "", "data"
    for number in range(draw(st.integers(1, 3))):
        name = f"conv{number}"
        group = draw(st.sampled_from([1, 2]))
        options = f"pad: {draw(st.integers(0, 2))} group: {group} dilation: {draw(st.integers(1, 2))}"
        body += networks.convolution(name, top, 4, draw(st.sampled_from([1, 2])), options)
        top = name
        kind = draw(st.sampled_from(["relu", "relu apart", "nothing"]))
        if kind == "relu":
            body += networks.relu(f"relu{number}", top)
        elif kind == "relu apart":
            body += networks.layer(f"relu{number}", "ReLU", top)
            top = f"relu{number}"
        after = draw(st.sampled_from(["max", "average", "branches", "nothing"]))
        if after in ("max", "average"):
            pool = f"pooling_param {{ pool: {'MAX' if after == 'max' else 'AVE'} kernel_size: 2 stride: 1 }}"
            body += networks.layer(f"pool{number}", "Pooling", top, more=pool)
            top = f"pool{number}"
        elif after == "branches":
            body += networks.convolution(f"left{number}", top, 2, 1) + networks.convolution(f"right{number}", top, 2, 1)
            body += networks.layer(f"both{number}", "Concat", f"left{number} right{number}")
            top = f"both{number}"
    return body + networks.dense("score", top, 3)


def network_of(body: str, shape: tuple[int, ...] = SHAPE) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        return networks.load(Path(folder), body, shape)


@ANYTHING
@given(bodies(), st.integers(0, 1000))
def test_without_biases_relevance_is_conserved(body: str, seed: int) -> None:
    network = network_of(body)
    for node in network.graph.nodes:
        for bias in network.parameters(node)[1:]:
            bias[...] = 0
    found = propagate(network, networks.batch_for(network, 2, seed), composite=CONSERVING)
    taken = sum(np.abs(entry.stabiliser) for entry in found.ledger)
    carried = np.abs(found["data"]).reshape(2, -1).sum(axis=1)
    arrived = found["data"].reshape(2, -1).sum(axis=1, dtype=np.float64)
    assert (np.abs(arrived - found.scores) <= taken + 1e-4 * (carried + np.abs(found.scores))).all()
    assert all(np.all(entry.bias == 0) for entry in found.ledger)


@ANYTHING
@given(bodies(), st.sampled_from([name for name in COMPOSITES if name != "lrp-0"]), st.integers(0, 1000))
def test_every_account_closes(body: str, name: str, seed: int) -> None:
    network = network_of(body)
    found = propagate(network, networks.batch_for(network, 3, seed), composite=name, bounds=(-6, 6))
    for entry in found.ledger:
        scale = np.abs(entry.received) + np.abs(entry.passed_on) + np.abs(entry.bias) + np.abs(found.ledger.start)
        maps = found[entry.layer] if entry.layer in found else found["data"]
        scale = scale + np.abs(maps).reshape(3, -1).sum(axis=1)
        assert (np.abs(entry.residual) <= 1e-4 * scale).all(), entry.layer


@ANYTHING
@given(bodies(), st.permutations(range(4)), st.sampled_from(["epsilon-plus", "epsilon-alpha2-beta1-flat"]))
def test_the_order_and_size_of_a_batch_do_not_matter(body: str, order: list[int], name: str) -> None:
    network = network_of(body)
    batch = networks.batch_for(network, 4)
    whole = propagate(network, batch, 1, composite=name)["data"]
    shuffled = propagate(network, batch[order], 1, composite=name)["data"]
    single = propagate(network, batch[order[:1]], 1, composite=name)["data"]
    tolerance = 1e-5 * np.abs(whole).max()
    np.testing.assert_allclose(shuffled, whole[order], rtol=0, atol=tolerance)
    np.testing.assert_allclose(single, whole[order[:1]], rtol=0, atol=tolerance)


@ANYTHING
@given(bodies(), st.integers(0, 2), st.integers(0, 2))
def test_relevance_is_linear_in_its_start(body: str, one: int, other: int) -> None:
    """The margin's explanation is the difference of the classes' explanations."""
    if one == other:
        return
    network = network_of(body)
    batch = networks.batch_for(network, 2)
    rules = Composite("smooth", {"Convolution": epsilon(0.1), "InnerProduct": epsilon(0.1)}, lowest=flat())
    margin = propagate(network, batch, one, against=other, composite=rules)["data"]
    parts = [propagate(network, batch, target, composite=rules)["data"] for target in (one, other)]
    tolerance = 2e-5 * max(np.abs(part).max() for part in parts)
    np.testing.assert_allclose(margin, parts[0] - parts[1], rtol=0, atol=tolerance)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    inputs = st.sampled_from([*INPUTS, *sorted(CONSTANT_INPUTS)])
    return Term(draw(inputs), draw(_WEIGHTS), draw(_WEIGHTS), draw(st.sampled_from([1, -1])))


_WEIGHTS = st.sampled_from(list(WEIGHTS))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule that the tables can say: several fractions, of several terms, with signs, constants and bounds."""
    published = [fraction.terms for rule in (alpha_beta(2, 1), gamma(1)) for fraction in rule.fractions]
    parts = st.one_of(st.lists(terms(), min_size=1, max_size=3).map(tuple), st.sampled_from(published))
    where = st.sampled_from([None, None, "z>0", "z<0"])
    coefficient = st.floats(-2, 2).map(lambda number: round(number, 2))
    fractions = tuple(Fraction(draw(coefficient), draw(parts), draw(where)) for _ in range(draw(st.integers(1, 3))))
    low = [round(draw(st.floats(-5, 0)), 2) for _ in range(SHAPE[1])]
    return Rule(
        "drawn",
        fractions,
        stabiliser=draw(st.sampled_from([0.1, 1.0])),
        relative=draw(st.booleans()),
        gamma=draw(st.sampled_from([0.25, 2.0])),
        bounds=(tuple(low), tuple(each + 6 for each in low)),
        spread_bias=draw(st.booleans()),
    )


@settings(ANYTHING, max_examples=120)
@given(rules(), st.sampled_from(["signed", "rectified below", "rectified above"]), st.integers(0, 1000))
def test_every_rule_is_its_formula(rule: Rule, kind: str, seed: int) -> None:
    """A rule of one's own must do what the tables and the formula say: signs, constants, bounds, whatever is drawn."""
    below = networks.layer("below", "ReLU", "data") if kind == "rectified below" else ""
    over = networks.relu("over", "low") if kind == "rectified above" else ""
    bottom = "below" if below else "data"
    body = below + networks.convolution("low", bottom, 4, 2, "pad: 1") + over + networks.dense("score", "low", 3)
    network = network_of(body, SMALL)
    batch = networks.batch_for(network, 2, seed)
    composite = Composite("drawn", {"Convolution": rule, "InnerProduct": epsilon(0.1)})
    found = propagate(network, batch, 1, composite=composite)
    weights, bias = network.parameters(network.graph.node("low"))
    layer = reference.convolution_matrix(weights, bias, SMALL[1:], pad=1)
    channels = np.repeat(np.arange(SMALL[1]), SMALL[2] * SMALL[3])
    for sample in range(2):
        x = found_input(batch[sample], kind)
        above = found["low"][sample].ravel().astype(np.float64)
        expected, doubt = reference.by_rule_with_doubt(layer, x, above, rule, channels)
        error = np.abs(found[bottom][sample].ravel() - expected)
        scale = max(np.abs(expected).max(), np.abs(above).max())
        assert (error <= 2e-5 * scale + doubt).all()


def found_input(sample: np.ndarray, kind: str) -> np.ndarray:
    x = sample.ravel().astype(np.float64)
    return np.maximum(x, 0) if kind == "rectified below" else x
