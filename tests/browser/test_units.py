"""The chosen channel's sheet on the page: what the model's store knows, and only while it is wanted."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from rationale.datasets import load_dataset
from rationale.units import Wanted, scan
from rationale.units.names import add_names
from rationale.units.recipes import RECIPES
from rationale.units.stimuli import add_stimuli
from rationale.units.store import own_path
from tests.units.planted import CORNER, DEAD, planted_model, write_pictures
from tests.visualizer.server import Served, served, until


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of the planted network, whose store is in this user's cache."""
    folder = tmp_path_factory.mktemp("units")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        write_pictures(folder / "planted" / "pictures")
        model = planted_model(folder / "planted")
        path, train = own_path(model), load_dataset(str(folder / "planted" / "pictures")).split("train")
        scan(model, train, path, Wanted(("parts",), 3, highlight="guided"))
        add_names(model, train, path, ("parts",))
        add_stimuli(model, path, "parts", [CORNER], replace(RECIPES["fourier"], iterations=5))
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    with served("--model", str(folder / "planted"), "--models", str(folder / "planted"), environment=environment) as it:
        yield it


def test_the_server_tells_what_is_known_of_a_unit(planted: Served) -> None:
    def asked(channel: int, layer: str) -> httpx.Response:
        return httpx.get(planted.url(f"api/models/planted/units/{channel}"), params={"layer": layer}, timeout=120)

    sheet = asked(CORNER, "parts").json()
    assert sheet["name"] == "corner"
    assert [row["kind"] for row in sheet["rows"]] == ["top", "relevant", "spread", "lowest"]
    assert sheet["rows"][0]["method"] == "guided"
    assert len(sheet["stimuli"]) == 1
    assert asked(0, "score").json() is None  # the store does not have that layer
    for channel, layer in ((9, "parts"), (0, "nowhere"), (0, "data")):
        refused = asked(channel, layer)
        assert refused.status_code == 422
        assert layer in refused.json()["error"]


def test_the_sheet_is_beside_the_channel_until_s(planted: Served, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, service_workers="block")
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(planted.url(f"#layer=parts&channel={CORNER}"))
    sheet = page.locator("#unit-sheet")
    until(lambda: "It likes: corner" in sheet.inner_text())
    text = sheet.inner_text()
    for words in ("Highest activation", "Highest relevance", "Lowest activation", "Made to excite it", "top pictures"):
        assert words in text
    assert sheet.locator("li").count() >= 10
    until(lambda: sheet.locator("img").evaluate_all("all => all.every(each => each.complete && each.naturalWidth > 0)"))
    box = sheet.bounding_box()
    assert box["x"] + box["width"] <= 1440
    page.keyboard.press("s")
    until(lambda: sheet.inner_text() == "")
    until(lambda: "sheet=false" in page.evaluate("location.href"))
    page.keyboard.press("s")
    until(lambda: "It likes: corner" in sheet.inner_text())
    page.evaluate(f"location.hash = '#layer=parts&channel={DEAD}'")
    until(lambda: "no picture: dead" in sheet.inner_text())
    page.evaluate("location.hash = '#layer=score&channel=0'")
    until(lambda: sheet.inner_text() == "")
    assert failures == []
    context.close()
