"""A Chromium with a camera that shows our own clip, and a server, for the tests of the page."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.visualizer.server import Served, served, until

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: a bright bar that wanders over grey, 320 × 240, ten frames a second."""
    path = tmp_path_factory.mktemp("camera") / "clip.y4m"
    frames = [b"YUV4MPEG2 W320 H240 F10:1 Ip A1:1 C420jpeg\n"]
    for number in range(20):
        luma = np.full((240, 320), 90, np.uint8)
        luma[:, 16 * number : 16 * number + 40] = 230
        chroma = np.full((2, 120, 160), 128, np.uint8)
        frames.append(b"FRAME\n" + luma.tobytes() + chroma.tobytes())
    path.write_bytes(b"".join(frames))
    return path


@pytest.fixture(scope="session")
def browser(clip: Path) -> Iterator[object]:
    """Debian's Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as started:
        camera = f"--use-file-for-fake-video-capture={clip}"
        running = started.chromium.launch(executable_path=executable, args=[*ARGUMENTS, camera])
        yield running
        running.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    with served("--model", "mnist", "--models", "mnist,flight,cub") as running:
        yield running


@pytest.fixture
def opened(browser: object, server: Served) -> Iterator[Callable[..., object]]:
    """Opens the page at an address behind #; at the end nothing must have gone wrong or left the machine."""
    contexts, wrong = [], []

    def open_page(hash_: str = "", size: tuple[int, int] = (1440, 900), **how: object) -> object:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, permissions=["camera"], **how)  # type: ignore[attr-defined]
        contexts.append(context)
        context.set_default_timeout(90_000)
        page = context.new_page()
        slow_down(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: wrong.append(request.url) if not _own(request.url, server) else None)
        page.expected = wrong
        page.goto(server.url("/") + (f"#{hash_}" if hash_ else ""))
        until(
            lambda: page.evaluate(
                "(document.querySelector('#decision .label')?.textContent && document.querySelector('.tile'))"
                " || document.querySelector('#message').textContent.startsWith('Drop a picture')"  # no data set at hand
            )
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def slow_down(page: object) -> None:
    """Makes the page's processor RATIONALE_SLOWDOWN times slower: tests that only hold on a fast machine then fail."""
    rate = float(os.environ.get("RATIONALE_SLOWDOWN", "1"))
    if rate > 1:
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": rate})  # type: ignore[attr-defined]


def _own(url: str, server: Served) -> bool:
    return url.startswith((server.url("/"), server.url("/").replace("http", "ws"), "blob:", "data:"))


@pytest.fixture(scope="session")
def album() -> Path | None:
    """Where screenshots go: a directory that RATIONALE_SCREENSHOTS names, for docs/images."""
    named = os.environ.get("RATIONALE_SCREENSHOTS")
    return Path(named) if named else None
