"""Files that we write are whole or not there, and nothing but a file is put in their place."""

import os
from pathlib import Path

import pytest

from rationale.resources import write_whole


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_whole(path, "before")
    written = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        written(self, content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"after")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "before"


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    os.symlink(tmp_path / "kept.txt", tmp_path / "link")
    write_whole(tmp_path / "link", "through a link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept.txt").read_text() == "through a link"
    os.symlink(os.devnull, tmp_path / "nothing")
    write_whole(tmp_path / "nothing", "lost")
    assert Path(os.devnull).is_char_device()
    assert (tmp_path / "nothing").is_symlink()
