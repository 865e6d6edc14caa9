"""The report in a browser: a word that is pointed at shows its own heatmap."""

import re
from pathlib import Path

import pytest

from rationale.datasets import load_dataset
from rationale.model import Model
from tests.conftest import needs


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("flight")
    folder = tmp_path_factory.mktemp("report")
    Model.load("flight").explain(load_dataset("flight").split("test").images[3]).save(folder, full=False)
    return folder / "report.html"


def test_words_show_their_heatmaps(browser, report: Path) -> None:  # type: ignore[no-untyped-def]
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(report.as_uri())
    picture, told = page.locator(".relevance img"), page.locator(".of-word")
    own = picture.get_attribute("src")
    sentence = page.locator(".sentence").inner_text()
    words = page.locator(".sentence button.word")
    said = [words.nth(number).inner_text() for number in range(words.count())]
    assert said
    assert not {"is", "it", "has", "and", "because", "with", "The", "This"} & set(said)  # function words are quiet
    assert all(word in sentence for word in said)
    seen = set()
    for number in range(words.count()):
        words.nth(number).hover()
        assert told.is_visible()
        assert said[number].lower() in told.inner_text().lower()
        assert re.search(r"picture [+−]\d", told.inner_text())
        seen.add(picture.get_attribute("src"))
    assert len(seen) == words.count()
    assert own not in seen
    page.locator("h2").hover()
    assert picture.get_attribute("src") == own
    assert told.is_hidden()
    words.first.focus()  # by Tab
    assert picture.get_attribute("src") != own
    page.keyboard.press("Enter")  # keeps it
    page.locator("h2").hover()
    assert words.first.get_attribute("aria-pressed") == "true"
    assert told.is_visible()
    page.keyboard.press("Escape")
    assert picture.get_attribute("src") == own
    contrasted = [number for number in range(words.count()) if _has_contrast(page, words.nth(number))]
    assert contrasted
    words.nth(contrasted[0]).click()
    alone = picture.get_attribute("src")
    told.locator("button.instead").click()
    assert ", not “" in told.locator("b").inner_text()
    assert picture.get_attribute("src") not in (alone, own)
    told.locator("button.instead").click()
    assert picture.get_attribute("src") == alone
    assert not problems
    page.close()


def _has_contrast(page, word) -> bool:  # type: ignore[no-untyped-def]
    row = word.get_attribute("data-word")
    return page.locator(f'template[data-contrast-of="{row}"]').count() == 1
