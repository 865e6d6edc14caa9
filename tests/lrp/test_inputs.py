"""Several inputs, words as inputs, and everything that a user can get wrong."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError, RationaleError, RuleError
from rationale.lrp import COMPOSITES, propagate
from rationale.lrp.rules import alpha_beta, epsilon, gamma, parse_rule
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks
from tests.lrp.test_backward import BOUNDS, NETWORKS

SECOND = 'layer { name: "other" type: "Input" top: "other" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }\n'
TWO_INPUTS = (
    SECOND
    + networks.convolution("left", "data", 4, 3, "pad: 1")
    + networks.relu("relu_left", "left")
    + networks.convolution("right", "other", 4, 3, "pad: 1")
    + networks.layer("both", "Eltwise", "left right")
    + networks.dense("score", "both", 3)
)
FILLER = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def embed(bias: bool) -> str:
    more = f"embed_param {{ input_dim: 5 num_output: 6 bias_term: {str(bias).lower()} {FILLER} }}"
    return networks.layer("words", "Embed", "data", more=more) + networks.dense("score", "words", 4)


WORDS = np.array([[1, 4, 0], [2, 2, 3]], np.float32)


def two_inputs(network: Network, count: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = network.inputs.items()
    return {name: random.normal(size=(count, *shape[1:])).astype(np.float32) for name, shape in shapes}


@pytest.mark.parametrize("composite", COMPOSITES)
def test_several_inputs_share_the_score(composite: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, TWO_INPUTS)
    found = propagate(network, two_inputs(network), 1, composite=composite, bounds=BOUNDS)
    received = found["data"].sum(axis=(1, 2, 3)) + found["other"].sum(axis=(1, 2, 3))
    absorbed = sum(entry.bias + entry.stabiliser for entry in found.ledger)
    carried = np.abs(found["both"]).sum(axis=(1, 2, 3)) + np.abs(found.ledger.start)
    assert (np.abs(received + absorbed - found.ledger.start) < 1e-6 * carried).all()
    assert all((np.abs(entry.residual) < 1e-6 * carried).all() for entry in found.ledger)


def test_what_one_input_does_not_reach_gets_nothing(tmp_path: Path) -> None:
    network = networks.load(tmp_path, TWO_INPUTS)
    batch = two_inputs(network)
    found = propagate(network, batch, unit=2, target_layer="left", composite="epsilon")
    assert "other" not in found
    assert np.any(found["data"] != 0)


@pytest.mark.parametrize("bias", [False, True])
def test_a_word_gets_the_relevance_of_its_vector(bias: bool, tmp_path: Path) -> None:
    """As a dense layer over one-hot words."""
    network = networks.load(tmp_path, embed(bias), (2, 3))
    found = propagate(network, WORDS, 2, composite="epsilon")
    vectors, *offset = network.parameters(network.graph.node("words"))
    brought = vectors[WORDS.astype(int)]
    outputs = brought + (offset[0] if bias else 0)
    expected = (brought / (outputs + 1e-6 * np.where(outputs < 0, -1, 1)) * found["words"]).sum(axis=-1)
    np.testing.assert_allclose(found["data"], expected, rtol=1e-4, atol=1e-5)
    assert found.ledger.largest_residual() < 1e-4
    assert bool(np.any(found.ledger["words"].bias != 0)) == bias


def test_words_have_no_gradient_but_their_vectors_have(tmp_path: Path) -> None:
    network = networks.load(tmp_path, embed(bias=True), (2, 3))
    network.forward(WORDS)
    assert (network.backward("score", unit=1)["data"] == 0).all()
    weights = network.parameters(network.graph.node("score"))[0][1].reshape(3, 6)
    np.testing.assert_allclose(network.gradient_at("words"), np.stack([weights] * 2), rtol=1e-5)


TWO_ENDS = networks.dense("one", "data", 2) + networks.dense("two", "data", 3)


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (networks.low_and_high(), {"batch": np.nan}, "NaN or infinity"),
        (networks.low_and_high(), {"batch": np.inf}, "NaN or infinity"),
        (networks.low_and_high(), {"target": 3}, r"out of range: layer 'score' has classes 0 to 2"),
        (networks.low_and_high(), {"target": [0, -1]}, "out of range"),
        (networks.low_and_high(), {"target": [0, 1, 2]}, "one class number, or one for each of the 2"),
        (networks.low_and_high(), {"target": 1.5}, "one class number"),
        (networks.low_and_high(), {"target_layer": "fc9"}, "no layer is named 'fc9'; there are data, low"),
        (networks.low_and_high(), {"keep": ["fc9"]}, "does not reach fc9"),
        (TWO_ENDS, {}, "which layer holds the class scores.*one, two"),
        (networks.relu("relu", "data"), {}, "scores a class"),
        (
            networks.low_and_high(),
            {"composite": COMPOSITES["epsilon"].with_layers({"conv*": "z+"})},
            r"'conv\*' fits no layer that takes a rule: low, high, score",
        ),
        (networks.low_and_high(), {"composite": "epsilon-squared"}, "no composite is named"),
        (networks.low_and_high(), {"composite": "epsilon-gamma-box"}, "bounds"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str | dict) else "",
)
def test_a_mistake_is_an_error_that_names_it(
    body: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    network = networks.load(tmp_path, body)
    batch = networks.batch_for(network, 2)
    if "batch" in options:
        batch[1, 0, 3, 3] = options["batch"]
    with pytest.raises(RationaleError, match=message):
        propagate(network, batch, **{name: value for name, value in options.items() if name != "batch"})


def test_an_input_that_is_missing_is_named(tmp_path: Path) -> None:
    network = networks.load(tmp_path, TWO_INPUTS)
    batch = two_inputs(network)
    with pytest.raises(NetworkError, match="the inputs are data, other, not data"):
        propagate(network, {"data": batch["data"]}, 1)
    with pytest.raises(NetworkError, match="give an array for each by name"):
        propagate(network, batch["data"], 1)


def test_relevance_is_found_under_every_name_of_its_layer(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["residual with BatchNorm"])
    found = propagate(network, networks.batch_for(network, 2), 1, composite="epsilon")
    own = set(network.graph.layer_names) | set(network.graph.aliases)
    assert {name for name in own if name in found} == own - _above_the_score(network)
    for name, target in network.graph.aliases.items():
        np.testing.assert_array_equal(found[name], found[target])


def _above_the_score(network: Network) -> set[str]:
    below = {node.name for node in network.graph.below(network.graph.score_node())}
    return {name for name in network.graph.layer_names if name not in below}


SHIFTS = {
    "Power": networks.layer("shift", "Power", "low", more="power_param { shift: -1 }"),
    "Sigmoid": networks.layer("shift", "Sigmoid", "low"),
    "Scale": networks.layer(
        "shift", "Scale", "low", more='scale_param { bias_term: true bias_filler { type: "constant" value: 0.7 } }'
    ),
    "pooled Exp": networks.layer("pool", "Pooling", "low", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + networks.layer("shift", "Exp", "pool"),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_relevance_on_closed_units_does_not_explode(shift: str, composite: str, tmp_path: Path) -> None:
    """Layers that turn 0 into something else give closed units relevance; in place or not must make no difference."""
    after = SHIFTS[shift] + networks.dense("score", "shift", 3)
    in_place = networks.convolution("low", "data", 4, 3) + networks.relu("relu", "low") + after
    apart = networks.convolution("below", "data", 4, 3) + networks.layer("low", "ReLU", "below") + after
    networks_ = [networks.load(tmp_path, body) for body in (in_place, apart)]
    batch = networks.batch_for(networks_[0], 3)
    one, other = (propagate(network, batch, 1, composite=composite, bounds=BOUNDS) for network in networks_)
    scale = np.abs(other["data"]).max()
    np.testing.assert_allclose(one["data"], other["data"], atol=1e-4 * scale)
    assert one.ledger.largest_residual() < 1e-4 * max(1, float(scale))


@pytest.mark.parametrize("more", ["transpose: true", "axis: 2", "transpose: true axis: 2"])
def test_batch_normalisation_after_other_dense_layers(more: str, tmp_path: Path) -> None:
    """Folded or not, the scores are those of the users' own network."""
    body = (
        networks.dense("dense", "data", 8 if "axis" in more else 6, more=more)
        + networks.layer("norm", "BatchNorm", "dense")
        + networks.dense("score", "norm", 3)
    )
    network = networks.load(tmp_path, body)
    caffe = pycaffe()
    caffe.set_random_seed(1)
    plain = caffe.Net(str(tmp_path / "network.prototxt"), caffe.TEST)
    random = np.random.default_rng(3)
    for blob, values in zip(plain.params["norm"], ([0, 2], [0.5, 3], [1, 1]), strict=True):
        blob.data[...] = random.uniform(*values, blob.data.shape)
    plain.save(str(tmp_path / "weights.caffemodel"))
    network = Network.load(tmp_path / "network.prototxt", tmp_path / "weights.caffemodel")
    batch = networks.batch_for(network, 1)
    plain.blobs["data"].data[...] = batch
    expected = plain.forward()["score"]
    np.testing.assert_allclose(network.forward(batch)["score"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("word", [-1, 5, 1e7, 1.5])
def test_a_word_that_is_not_in_the_table_is_an_error(word: float, tmp_path: Path) -> None:
    """Caffe would read beside its table."""
    network = networks.load(tmp_path, embed(bias=False), (2, 3))
    with pytest.raises(NetworkError, match="knows the words 0 to 4"):
        propagate(network, np.array([[1, 4, word]], np.float32), 2)


def test_flat_does_not_reach_over_an_embedding(tmp_path: Path) -> None:
    network = networks.load(tmp_path, embed(bias=False), (2, 3))
    found = propagate(network, WORDS, 2)["data"]
    assert np.ptp(found, axis=1).min() > 1e-3


def test_excitation_pulls_two_ways_whatever_the_scores(tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.low_and_high())
    batch = networks.batch_for(network, 6)
    found = propagate(network, batch, 0, against=2, composite="excitation-backprop")
    assert np.unique(np.sign(found.scores)).size == 2  # margins of both signs, and yet:
    np.testing.assert_array_equal(found["score"], np.tile(np.float32([1, 0, -1]), (6, 1)))


def test_of_two_rules_for_one_layer_the_later_counts() -> None:
    rules = COMPOSITES["epsilon"].with_layers({"low": "flat", "conv*": "z+"}).with_layers({"low": "w2"})
    assert rules.rule_for("low", "Convolution", True).name == "w2"
    assert rules.name == "epsilon with low: w2, conv*: z+"
    lowest = COMPOSITES["epsilon-gamma-box"].with_layers({"lowest": "flat"})
    assert lowest.rule_for("conv1", "Convolution", True).name == "flat"


@pytest.mark.parametrize(
    "rules",
    [
        {"type:Convolutoin": "flat"},
        {"type:ReLU": "flat"},
        {"type:Deconvolution": "flat"},
        {"low": 3},
        {"low": "gamma(nan)"},
        {"low": "gamma(inf)"},
        {"low": "alpha-beta(inf, inf)"},
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_meant_is_an_error(rules: dict[str, object], tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.low_and_high())
    with pytest.raises(RuleError):
        propagate(network, networks.batch_for(network, 1), composite=COMPOSITES["epsilon"].with_layers(rules))


def test_rules_as_text_say_all_that_python_can() -> None:
    assert parse_rule("epsilon(0.01, relative)") == epsilon(0.01, relative=True)
    assert parse_rule("gamma(0.25, spread-bias)") == gamma(0.25).spreading_bias()
    assert parse_rule("alpha-beta(2, 1, stabiliser 1e-9)") == alpha_beta(2, 1).stabilised_by(1e-9)
    for text in ("gamma(0.25, relative)", "z+(stabiliser -1)", "z+(stabiliser x)"):
        with pytest.raises(RuleError):
            parse_rule(text)


BESIDE = (
    networks.convolution("left", "data", 3, 3, "pad: 1")
    + networks.convolution("right", "data", 3, 3, "pad: 1")
    + networks.layer("both", "Concat", "left right")
    + networks.dense("score", "both", 3)
)
AROUND = (
    networks.convolution("stem", "data", 3, 3, "pad: 1")
    + networks.convolution("branch", "stem", 3, 3, "pad: 1")
    + networks.layer("both", "Eltwise", "stem branch")
    + networks.dense("score", "both", 3)
)


def test_a_condition_on_layers_side_by_side_is_an_error(tmp_path: Path) -> None:
    network = networks.load(tmp_path, BESIDE)
    with pytest.raises(RuleError, match="side by side"):
        propagate(network, networks.batch_for(network, 1), conditions=[{"left": 0, "right": 0}])


def test_a_condition_keeps_out_what_goes_around_its_layer(tmp_path: Path) -> None:
    """Channel 1 of the branch gives nothing to channel 0 of the sum; the way around it must not count."""
    network = networks.load(tmp_path, AROUND)
    batch = networks.batch_for(network, 2)
    nothing, something = propagate(
        network,
        batch,
        0,
        composite="epsilon",
        conditions=[{"both": 0, "branch": 1}, {"both": 0, "branch": np.int64(0)}],
    ).conditional
    assert np.all(nothing["data"] == 0)
    assert np.any(something["data"] != 0)


def test_all_outputs_of_a_slice_are_kept(tmp_path: Path) -> None:
    body = (
        networks.convolution("low", "data", 4, 3)
        + 'layer { name: "slice" type: "Slice" bottom: "low" top: "a" top: "b" }\n'
        + networks.layer("sum", "Eltwise", "a b")
        + networks.dense("score", "sum", 2)
    )
    network = networks.load(tmp_path, body)
    found = propagate(network, networks.batch_for(network, 1), composite="epsilon")
    np.testing.assert_allclose(np.concatenate([found["a"], found["b"]], axis=1), found["low"], rtol=1e-5)
    with pytest.raises(RuleError, match="several outputs"):
        propagate(network, networks.batch_for(network, 1), conditions=[{"slice": 0}])


def test_an_output_without_inputs_keeps_what_it_absorbed(tmp_path: Path) -> None:
    """A 1 × 1 convolution over padding: its rim sees nothing but the bias."""
    network = networks.load(
        tmp_path, networks.convolution("low", "data", 2, 1, "pad: 1") + networks.dense("score", "low", 2)
    )
    rules = COMPOSITES["epsilon"].with_layers({"*": "epsilon(0.01, spread-bias)"})
    found = propagate(network, networks.batch_for(network, 2), composite=rules)
    assert found.ledger.largest_residual() < 1e-4
    assert np.isfinite(found["data"]).all()


RELU_OVER = {
    "a sum": networks.layer("join", "Eltwise", "a b", more="eltwise_param { coeff: 1 coeff: -0.5 }"),
    "an average": networks.layer("larger", "Eltwise", "a b", more="eltwise_param { operation: MAX }")
    + networks.layer("join", "Pooling", "larger", more="pooling_param { pool: AVE kernel_size: 2 stride: 1 }"),
    "a concatenation of one": networks.layer("sum", "Eltwise", "a b") + networks.layer("join", "Concat", "sum"),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("kind", RELU_OVER)
def test_what_a_join_computed_divides_its_relevance(kind: str, composite: str, tmp_path: Path) -> None:
    """A ReLU in place overwrites the join with zeros; a division by those would explode (2.2e6 where 57 is right)."""
    below = networks.convolution("a", "data", 4, 3) + networks.convolution("b", "data", 4, 3) + RELU_OVER[kind]
    shift = "power_param { shift: 1 }"
    in_place = networks.relu("relu", "join") + networks.layer("power", "Power", "join", more=shift)
    apart = networks.layer("relu", "ReLU", "join") + networks.layer("power", "Power", "relu", more=shift)
    score = networks.dense("score", "power", 3)
    networks_ = [networks.load(tmp_path, below + over + score) for over in (in_place, apart)]
    batch = networks.batch_for(networks_[0], 2)
    one, other = (propagate(network, batch, 1, composite=composite, bounds=BOUNDS) for network in networks_)
    np.testing.assert_allclose(one["data"], other["data"], atol=1e-5 * np.abs(other["data"]).max())
