"""Times the live page in Chromium beside the bare relevance pass: camera, drawing, opening, eight pages at once.

    python -m benchmarks.page [--quick]

Writes docs/measurements/page.json and the table in docs/visualizer.md.
"""

import argparse
import asyncio
import shutil
import statistics
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import sync_playwright
from websockets.asyncio.client import connect

from benchmarks.marks import begin, write_between
from rationale.cores import available_cores
from rationale.lrp import propagate
from rationale.model import Model
from rationale.network import on_threads
from rationale.reproduce.measure import keep
from rationale.visualizer.frame import Frame
from rationale.visualizer.jobs import Look
from rationale.visualizer.limits import Limits
from rationale.visualizer.question import Question, Tiles
from rationale.visualizer.workers import Workers
from tests.browser.conftest import ARGUMENTS
from tests.visualizer.server import Served, served, until

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "visualizer.md"
BEGIN = begin("python -m benchmarks.page")
THREADS = available_cores()
CLIENTS = 8


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    return {"median": 1000 * statistics.median(seconds), "p95": 1000 * float(np.quantile(seconds, 0.95))}


def noise(model: Model, number: int) -> np.ndarray:
    """A picture of the network's input size that is another for each number."""
    height, width = model.input_size
    shape = (height, width) if model.description.input.channels == 1 else (height, width, 3)
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def bare_pass(name: str, rounds: int) -> dict[str, float]:
    """The relevance pass alone, in this process, without its maps."""
    model = Model.load(name)
    times = []
    with on_threads(THREADS):
        for number in range(rounds + 3):
            batch = model.preprocess([noise(model, number)])
            began = time.perf_counter()
            propagate(model.network, batch, composite=model.composite(), bounds=model.bounds, keep=["data"])
            times.append(time.perf_counter() - began)
    return percentiles(times[3:])


def worker_alone(name: str, layer: str, rounds: int) -> dict[str, float]:
    """Answers of a worker that has nothing to wait for: decision, heatmap and the tiles of a layer."""
    model = Model.load(name)
    question = Question(model=name, layer=layer, tiles=Tiles(), live=True)

    async def run() -> list[float]:
        workers = Workers({name: str(model.directory)}, None, THREADS, Limits())
        times = []
        for number in range(rounds + 3):
            pixels = noise(model, number)
            frame = Frame(
                number, pixels.tobytes(), model.input_size, pixels.size // (pixels.shape[0] * pixels.shape[1])
            )
            began = time.perf_counter()
            await workers.seat(name).ask(lambda _, frame=frame: Look(frame, question), print)
            times.append(time.perf_counter() - began)
        workers.stop()
        return times[3:]

    return percentiles(asyncio.run(run()))


LISTEN = "window.shown = []; addEventListener('shown', e => shown.push([performance.now(), e.detail.milliseconds]))"


def watched(page: Any, seconds: float) -> dict[str, float]:
    """Pictures in a second, and milliseconds from a frame to the screen, over some seconds."""
    page.evaluate("window.shown.length = 0")
    began = time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    shown = page.evaluate("window.shown")
    took = time.perf_counter() - began
    return {"rate": len(shown) / took, **percentiles([milliseconds / 1000 for _, milliseconds in shown])}


def opened(browser: Any, server: Served, hash_: str) -> tuple[Any, float]:
    """A page and the seconds until it showed a decision and tiles."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}, permissions=["camera"]).new_page()
    page.add_init_script(LISTEN)
    began = time.perf_counter()
    page.goto(server.url("/") + hash_)
    ready = "document.querySelector('#decision .label')?.textContent && document.querySelector('.tile')"
    until(lambda: page.evaluate(ready), every=0.01)
    return page, time.perf_counter() - began


def camera(browser: Any, server: Served, seconds: float) -> dict[str, float]:
    """Flight's model looking through the camera, the tiles of one layer open."""
    page, _ = opened(browser, server, "#model=flight&source=camera&layer=fire9%2Fconv3x3_2")
    page.get_by_role("button", name="Freeze", exact=True).wait_for()
    page.wait_for_timeout(2500)
    found = watched(page, seconds)
    page.context.close()
    return found


def drawing(browser: Any, server: Served, seconds: float) -> dict[str, float]:
    """mnist while somebody draws circles."""
    page, _ = opened(browser, server, "#model=mnist&source=pad&layer=conv2")
    box = page.locator("#stage .picture").bounding_box()
    page.evaluate(
        """([x, y, side, milliseconds]) => { const pad = document.querySelector('#stage .picture');
        pad.setPointerCapture = () => {}; const began = performance.now();
        const send = (kind, turn) => pad.dispatchEvent(new PointerEvent(kind, { pointerId: 1, bubbles: true,
          clientX: x + side * (.5 + .3 * Math.cos(turn)), clientY: y + side * (.5 + .3 * Math.sin(turn)) }));
        send('pointerdown', 0); const timer = setInterval(() => { const passed = performance.now() - began;
          send('pointermove', passed / 700); if (passed > milliseconds) { clearInterval(timer); send('pointerup', 0); } }, 8); }""",
        [box["x"], box["y"], box["width"], 1000 * (seconds + 2)],
    )
    page.wait_for_timeout(500)
    found = watched(page, seconds)
    page.context.close()
    return found


def resident(process: int) -> float:
    """MB of memory that a process holds."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def crowd(server: Served, seconds: float) -> dict[str, object]:
    """Eight pages that send flight's model frames as fast as it answers; memory of server and worker, and shares."""
    model = Model.load("flight")
    height, width = model.input_size
    frames = [struct.pack("<IBxHH2x", each, 3, width, height) + noise(model, each).tobytes() for each in range(16)]
    question = Question(model="flight", layer="fire9/conv3x3_2", live=True).model_dump_json()
    answers, errors, memory = [0] * CLIENTS, [], []
    settled = min(30.0, seconds / 4)

    async def client(which: int, end: float) -> None:
        async with connect(server.url("api/live").replace("http", "ws"), max_size=None) as socket:
            await socket.send(question)
            number = which
            while time.monotonic() < end:
                await socket.send(frames[number % 16])
                message = await socket.recv()
                if isinstance(message, bytes):
                    answers[which] += 1
                else:
                    errors.append(message)
                number += 1

    async def watch(end: float) -> None:
        worker = int(str(server.workers()["flight"]["process"]))
        while time.monotonic() < end:
            await asyncio.sleep(1)
            memory.append(resident(server.process.pid) + resident(worker))

    async def run() -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(watch(end), *(client(which, end) for which in range(CLIENTS)))

    httpx.get(server.url("api/models/flight"), timeout=60)
    asyncio.run(run())
    late = memory[int(settled) :]
    return {
        "seconds": seconds,
        "answers": answers,
        "errors": len(errors),
        "rate": sum(answers) / seconds,
        "fairness": min(answers) / max(answers),
        "megabytes": late[-1],
        "growth": max(late) / late[0] - 1,
    }


def clip(folder: str) -> str:
    """What the camera sees, 320 × 240 at thirty frames a second: noise that moves, so that no two frames agree."""
    path = Path(folder, "clip.y4m")
    random = np.random.default_rng(1)
    ground = random.integers(40, 200, (240, 400), np.uint8)
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W320 H240 F30:1 Ip A1:1 C420jpeg\n")
        for number in range(60):
            file.write(b"FRAME\n" + np.ascontiguousarray(ground[:, number : number + 320]).tobytes())
            file.write(np.full((2, 120, 160), 128, np.uint8).tobytes())
    return str(path)


def measure(quick: bool) -> dict[str, object]:
    """All figures, one after the other on a machine that does nothing else."""
    rounds, seconds, long = (15, 5.0, 20.0) if quick else (60, 20.0, 120.0)
    figures: dict[str, object] = {"threads": THREADS}
    for name, layer in (("flight", "fire9/conv3x3_2"), ("mnist", "conv2")):
        figures[f"{name} pass"] = bare_pass(name, rounds)
        figures[f"{name} worker"] = worker_alone(name, layer, rounds)
    executable = shutil.which("chromium")
    if executable is None:
        raise SystemExit("the page is timed in Chromium, which is missing: make chromium")
    with (
        served("--model", "flight", "--models", "flight,mnist") as server,
        sync_playwright() as playwright,
        tempfile.TemporaryDirectory() as folder,
    ):
        arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={clip(folder)}"]
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        opening = []
        for _ in range(5):
            page, took = opened(browser, server, "#model=flight")
            opening.append(took)
            page.context.close()
        figures["opening"] = percentiles(opening)
        figures["camera"] = camera(browser, server, seconds)
        figures["drawing"] = drawing(browser, server, seconds)
        browser.close()
    with served("--model", "flight", "--models", "flight") as server:
        figures["crowd"] = crowd(server, long)
    return figures


def table(figures: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    worker, seen, drawn, crowd_ = figures["flight worker"], figures["camera"], figures["drawing"], figures["crowd"]
    share = seen["rate"] * worker["median"] / 1000
    rows = [
        ("flight: relevance pass alone", "", f"{figures['flight pass']['median']:.0f} ms", f"{figures['flight pass']['p95']:.0f} ms"),
        ("flight: worker alone, decision + heatmap + tiles of one layer", "", f"{worker['median']:.0f} ms", f"{worker['p95']:.0f} ms"),
        ("flight: camera in the page, pictures a second (share of the worker alone)", "≥ 0.7", f"{seen['rate']:.1f} ({share:.2f})", ""),
        ("flight: camera, from frame to screen", "p95 ≤ 400 ms", f"{seen['median']:.0f} ms", f"{seen['p95']:.0f} ms"),
        ("mnist: relevance pass alone", "", f"{figures['mnist pass']['median']:.1f} ms", f"{figures['mnist pass']['p95']:.1f} ms"),
        ("mnist: worker alone", "", f"{figures['mnist worker']['median']:.1f} ms", f"{figures['mnist worker']['p95']:.1f} ms"),
        ("mnist: drawing, pictures a second", "≥ 25", f"{drawn['rate']:.0f}", ""),
        ("mnist: drawing, from stroke to screen", "", f"{drawn['median']:.0f} ms", f"{drawn['p95']:.0f} ms"),
        ("flight: page opened until it is usable", "≤ 2 s", f"{figures['opening']['median'] / 1000:.2f} s", f"{figures['opening']['p95'] / 1000:.2f} s"),
        (f"{CLIENTS} pages for {crowd_['seconds']:.0f} s: pictures a second in all", "", f"{crowd_['rate']:.1f}", ""),
        ("… fewest answers of a page over most", "its share", f"{crowd_['fairness']:.2f}", ""),
        ("… memory of server and worker; growth after they settled", "≤ 5 %", f"{crowd_['megabytes']:.0f} MB; {100 * crowd_['growth']:.1f} %", ""),
        ("… errors", "0", f"{crowd_['errors']}", ""),
    ]  # fmt: skip
    lines = ["| | bar | median | p95 |", "| --- | --- | --- | --- |"]
    return lines + [f"| {what} | {bar} | {median} | {p95} |" for what, bar, median, p95 in rows]


def write_table(figures: dict[str, Any]) -> None:
    """Puts the figures between their marks in docs/visualizer.md."""
    note = f"On {figures['threads']} cores, everything on one machine, browser included:"
    write_between(PAGE, BEGIN, ["", note, "", *table(figures), ""])


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; writes nothing")
    quick = parser.parse_args().quick
    figures = measure(quick)
    print("\n".join(table(figures)))
    if not quick:
        keep("page", figures)
        write_table(figures)
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
