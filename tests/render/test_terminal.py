"""Progress where there is no terminal: whole lines, now and then."""

import pytest

from rationale.render import terminal


def test_lines_come_each_tenth_or_minute_and_are_not_wrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    note = "loss " + "▁" * 120
    with terminal.progress_bar("training") as advance:
        for done in range(201):
            advance(done, 200, note if done % 40 == 0 else "")
            clock[0] += 2
        for done in (200, 201, 202, 240):  # goes on, further than was said first
            advance(done, 400, "")
            clock[0] += 61
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == f"training: 40 of 200, 5 min left  {note}"
    assert [line.split(":")[1].split(",")[0].split("  ")[0] for line in lines] == [
        *(f" {done} of 200" for done in range(20, 201, 20)),
        " 200 of 400",
        " 201 of 400",
        " 202 of 400",
        " 240 of 400",
    ]
    assert sum(note in line for line in lines) == 5
