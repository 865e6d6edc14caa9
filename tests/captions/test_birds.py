"""The lexicon must lead from words to parts, and the captions that are chosen must be those of the heatmap."""

from pathlib import Path

import numpy as np
import pytest

from rationale.captions import caption_source
from rationale.captions.birds import (
    PARTS,
    bird_regions,
    chosen_captions,
    coverage,
    lexicon_path,
    parts_of,
    read_lexicon,
    unchosen_captions,
)
from rationale.captions.files import read_captions, write_captions
from rationale.datasets import load_dataset
from rationale.errors import DataError
from rationale.explainer.vocabulary import tokens_of
from tests.conftest import needs

TEXTS = [
    "this bird has a long hooked bill",
    "a brown bird with a white belly",
    "the wings are dark",
    "a nice bird",
    "a bird with a bill and a belly",
    "its tail is short",
    " ".join(["very"] * 40) + " long bill",
]
DENSITIES = {"beak": 5.0, "belly": 0.5, "left wing+right wing": 1.0, "tail": 0.2}


def test_the_lexicon_knows_all_fifteen_parts() -> None:
    lexicon = read_lexicon(lexicon_path())
    assert {part for named in lexicon.values() for part in named.split("+")} == set(PARTS)
    assert parts_of(lexicon, tokens_of("A bird with a yellow bill, and wings; its beak is long.")) == [
        "beak",
        "left wing+right wing",
    ]
    assert not parts_of(lexicon, ["body", "feathers", "bird", "rump"])


def test_regions_are_the_parts_that_are_seen_together() -> None:
    regions = bird_regions(read_lexicon(lexicon_path()))
    left, beak = np.zeros((2, 6, 6), bool)
    left[1, 1], beak[4, 4] = True, True
    found = regions({"left wing": left, "beak": beak})
    assert np.array_equal(found["left wing+right wing"], left)
    assert np.array_equal(found["beak"], beak)
    assert "tail" not in found


def test_captions_are_chosen_and_weighted_by_what_carried_relevance(tmp_path: Path) -> None:
    lexicon = read_lexicon(lexicon_path())
    found = chosen_captions(lexicon, "1", "Ani", TEXTS, DENSITIES)
    assert found[0].text == TEXTS[0]
    assert found[0].weight == 1
    assert len(found) == 5
    assert "its tail is short" not in [each.text for each in found[:3]]
    assert [each.weight for each in found] == sorted((each.weight for each in found), reverse=True)
    assert not any("very very" in each.text for each in found)  # too long to be learnt
    path = write_captions(tmp_path / "captions.csv", found)
    assert [each.weight for each in read_captions(path)] == [pytest.approx(each.weight, rel=0.01) for each in found]
    drawn = unchosen_captions(lexicon, "1", "Ani", TEXTS, DENSITIES, np.random.default_rng(0))
    assert len(drawn) == 5
    assert {each.weight for each in drawn} == {1}


def test_coverage_counts_what_is_left_out() -> None:
    found = coverage({"bill": "beak"}, ["a long bill", "long legs", "it is"])
    assert (found.captions, found.with_part, found.parts) == (3, 1, {"beak": 1})
    assert found.left_out == [("long", 2), ("legs", 1)]


def test_people_speak_of_parts() -> None:
    needs("cub-22")
    lexicon = read_lexicon(lexicon_path())
    split = load_dataset("cub-22").split("val")
    assert split.captions is not None
    found = coverage(lexicon, (text for texts in split.captions for text in texts))
    assert found.with_part > 0.9 * found.captions
    assert caption_source("cub-22").lexicon == lexicon


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"word,part\nbill,beak\n", "must begin with the line"),
        (b"word,parts\n", "holds no word"),
        (b"word,parts\nbill,beak\nhorn,horn\n", "line 3: there is no part 'horn'; there are back, beak"),
        (b"word,parts\nbill,beak\nbill,tail\n", "line 3: 'bill' is there twice"),
        (b"word,parts\nlong bill,beak\n", "line 2: 'long bill' is no single word"),
        (b"word,parts\nbill,beak\nwing\xe9,left wing\n", "line 3: is not UTF-8"),
        (b"word,parts\nbill\n", "line 2: there is no part ''"),
    ],
)
def test_a_wrong_lexicon_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "lexicon.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_lexicon(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_lexicon(tmp_path / "none.csv")


@pytest.mark.parametrize(("weight", "message"), [("-1", "weight of -1"), ("nan", "weight of nan"), ("much", "line 2")])
def test_a_weight_that_makes_no_sense_is_named(tmp_path: Path, weight: str, message: str) -> None:
    path = tmp_path / "captions.csv"
    path.write_text(f"id,caption,weight\n1,a bill,{weight}\n")
    with pytest.raises(DataError, match=message):
        read_captions(path)
