"""Curves on the terminal and as a picture."""

from rationale.training.display import _note
from rationale.training.loop import Progress


def test_curves_run_from_the_least_to_the_greatest() -> None:
    curves = {
        "loss": [(10, 2.0), (20, 1.0), (30, 0.0)],
        "accuracy, batches with noise": [(10, 0.5), (20, 0.5)],
        "accuracy, validation": [(number, float(number)) for number in range(20)],
    }
    assert _note(Progress(curves=curves, remark="so far")) == (
        "loss █▄▁ 0.000  accuracy, batches ▁▁ 0.500  accuracy, validation ▁▁▂▂▃▄▄▅▆▆▇█ 19.000  so far"
    )
    assert _note(Progress()) == ""
