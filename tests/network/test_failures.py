"""A mistake in a file must be an error that the process survives: Caffe's CHECK aborts it otherwise."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks

GOOD = networks.convolution("conv", "data", 4, 3) + networks.dense("score", "conv", 2)

BROKEN = {
    "syntax error": "layer { name: ",
    "unknown layer type": networks.definition(networks.layer("odd", "Konvolution", "data")),
    "missing bottom": networks.definition(networks.dense("score", "nowhere", 2)),
    "incompatible shapes": networks.definition(
        networks.convolution("a", "data", 4, 3)
        + networks.convolution("b", "data", 4, 5)
        + networks.layer("sum", "Eltwise", "a b")
    ),
}


def saved_weights(folder: Path, body: str, name: str) -> Path:
    network = networks.load(folder, body)
    path = folder / name
    network.net.save(str(path))
    return path


def broken_weights(folder: Path) -> dict[str, Path]:
    good = saved_weights(folder, GOOD, "good.caffemodel")
    cut = folder / "cut.caffemodel"
    cut.write_bytes(good.read_bytes()[:-200])
    other_shapes = networks.convolution("conv", "data", 5, 3) + networks.dense("score", "conv", 2)
    other_names = networks.convolution("first", "data", 4, 3) + networks.dense("last", "first", 2)
    empty = folder / "empty.caffemodel"
    empty.touch()
    return {
        "missing caffemodel": folder / "nothing.caffemodel",
        "truncated caffemodel": cut,
        "empty caffemodel": empty,
        "caffemodel of a network with other shapes": saved_weights(folder, other_shapes, "shapes.caffemodel"),
        "caffemodel of a network with other names": saved_weights(folder, other_names, "names.caffemodel"),
    }


def assert_a_good_network_still_runs(folder: Path) -> None:
    weights = saved_weights(folder, GOOD, "still.caffemodel")
    network = Network.load(folder / "network.prototxt", weights)
    (scores,) = network.forward(networks.batch_for(network, 3)).values()
    assert scores.shape == (3, 2)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_prototxt_raises_and_the_process_goes_on(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.prototxt"
    path.write_text(BROKEN[fault])
    with pytest.raises(NetworkError, match=r"broken\.prototxt"):
        Network.load(path)
    assert_a_good_network_still_runs(tmp_path)


@pytest.mark.parametrize("fault", BROKEN)
def test_caffe_itself_raises_in_its_own_words(fault: str, tmp_path: Path) -> None:
    """The patch, without our checks before it: RuntimeError, not abort()."""
    path = tmp_path / "broken.prototxt"
    path.write_text(BROKEN[fault])
    caffe = pycaffe()
    with pytest.raises(RuntimeError, match=r"Check failed|Unknown|Error parsing|Failed to parse"):
        caffe.Net(str(path), caffe.TEST)
    assert_a_good_network_still_runs(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        "missing caffemodel",
        "truncated caffemodel",
        "empty caffemodel",
        "caffemodel of a network with other shapes",
        "caffemodel of a network with other names",
    ],
)
def test_broken_weights_raise_and_the_process_goes_on(fault: str, tmp_path: Path) -> None:
    weights = broken_weights(tmp_path)[fault]
    networks.load(tmp_path, GOOD)
    with pytest.raises(NetworkError, match=weights.name):
        Network.load(tmp_path / "network.prototxt", weights)
    assert_a_good_network_still_runs(tmp_path)


def test_a_missing_prototxt_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent\.prototxt: cannot be read"):
        Network.load(tmp_path / "absent.prototxt")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (networks.layer("odd", "Convolutoin", "data"), "did you mean 'Convolution'"),
        (networks.dense("score", "dara", 2), "did you mean 'data'"),
        (
            networks.dense("same", "data", 2) + networks.dense("same", "data", 2),
            "two layers with weights are named 'same'",
        ),
        (networks.layer("read", "Data"), "give the deploy definition"),
        (networks.layer("own", "Python", "data"), "runs Python code of its own"),
        (networks.convolution("none", "data", 4, 3, "group: 0"), "has group: 0"),
        (networks.convolution("none", "data", 4, 3, "stride: 0"), "has stride: 0"),
        (networks.layer("none", "Pooling", "data", more="pooling_param { kernel_size: 2 stride: 0 }"), "has stride: 0"),
    ],
)
def test_checks_before_caffe_say_what_to_do(body: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message):
        networks.load(tmp_path, body)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment or None)


def test_caffes_log_is_quiet_by_default_and_readable_on_request(tmp_path: Path) -> None:
    networks.load(tmp_path, GOOD)
    path = tmp_path / "network.prototxt"
    code = f"from rationale.network import Network, be_verbose; %s; Network.load({str(path)!r})"
    quiet = run_python(code % "pass")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    loud = run_python(code % "be_verbose()")
    assert loud.returncode == 0
    assert "Creating Layer conv" in loud.stderr
