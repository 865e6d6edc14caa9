"""Curves on the terminal and as a picture."""

from rationale.training.display import _note
from rationale.training.loop import Progress


def test_curves_run_from_the_least_to_the_greatest() -> None:
    progress = Progress(
        loss=[(10, 2.0), (20, 1.0), (30, 0.0)],
        learnt=[(10, 0.5), (20, 0.5)],
        accuracy=[(number, number) for number in range(20)],
    )
    assert _note(progress) == "loss █▄▁ 0.0000  right ▁▁ 50.0%  validation ▁▁▂▂▃▄▄▅▆▆▇█ 1900.00%"
    assert _note(Progress()) == ""
