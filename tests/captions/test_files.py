"""Caption files: what is written comes back, and every mistake is one line with file and line number."""

from dataclasses import replace
from pathlib import Path

import pytest

from rationale.captions.files import Caption, by_picture, check_truth, read_captions, write_captions
from rationale.errors import DataError

CAPTIONS = [
    Caption("1", "airliner", "this is an airliner, with wings", ("wing",), {"wing": 2.5}),
    Caption("2", "small", "this is a small aircraft", (), {"wing": 0.5, "tail": 1.25}),
]


def test_captions_come_back(tmp_path: Path) -> None:
    assert read_captions(write_captions(tmp_path / "new" / "captions.csv", CAPTIONS)) == CAPTIONS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "captions.csv: is empty"),
        (b"id,text\n1,hello\n", "has no column 'caption'"),
        (b"id,caption\n", "holds no captions"),
        (b"id,caption\n1,fine\n2,caf\xe9\n", "line 3: is not UTF-8"),
        (b"id,caption\n1,fine\n2,...\n", "line 3: the caption of '2' holds no word"),
        (b"id,caption\n1,fine\n2\n", "line 3: has not as many values"),
        (b"id,caption,wing\n1,fine,much\n", "line 2: could not convert"),
        (b"id,caption,wing\n1,fine,nan\n", "line 2: wing has a density of nan"),
        (b"id,id,caption\n1,1,fine\n", "two columns 'id'"),
        (b"id,caption\n1,fi\0ne\n", "line 2: the caption of '1' holds a control character"),
        (b"id,caption\n1," + b"x" * 200_000 + b"\n", "line 2: field larger than field limit"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_captions(path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    with pytest.raises(DataError, match="cannot be read"):
        read_captions(path)
    assert [len(each) for each in by_picture(CAPTIONS, ["2", "1"], path)] == [1, 1]
    with pytest.raises(DataError, match="no caption of picture '3'"):
        by_picture(CAPTIONS, ["1", "3"], path)


def test_captions_must_be_true_of_their_pictures(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    labels = {"1": "airliner", "2": "small"}
    check_truth(CAPTIONS, labels, path)
    check_truth([replace(each, label="") for each in CAPTIONS], labels, path)  # a file without a column for the class
    with pytest.raises(DataError, match="no caption of the class 'small'"):
        check_truth(CAPTIONS[:1], labels, path)
    with pytest.raises(DataError, match="line 7: picture '2' is of the class 'small', not 'rocket'"):
        check_truth([CAPTIONS[0], replace(CAPTIONS[1], label="rocket", line=7)], labels, path)
    with pytest.raises(DataError, match="line 9: the data set has no picture '3'"):
        check_truth([*CAPTIONS, replace(CAPTIONS[1], id="3", line=9)], labels, path)
