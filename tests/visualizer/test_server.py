"""The server from outside: its API, its limits, who may ask, and what it survives."""

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rationale.lrp import propagate
from rationale.model import Model
from rationale.visualizer.examples import shipped_digits
from tests.visualizer.server import Served, served, unpack, until


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served("--model", "mnist", "--models", "mnist") as running:
        yield running


def png(digit: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(digit).save(content, "PNG")
    return content.getvalue()


def frame(number: int, digit: np.ndarray) -> bytes:
    height, width = digit.shape
    return struct.pack("<IBxHH2x", number, 1, width, height) + digit.tobytes()


def question(number: int = 1, **more: object) -> str:
    return json.dumps({"type": "ask", "number": number, "model": "mnist", **more})


def live(server: Served, **how: object):
    return connect(server.url("api/live").replace("http", "ws"), max_size=None, **how)


# ---- POST /api/explanations ------------------------------------------------------------------------------------------


def test_an_explanation_by_http_is_that_of_the_library(server: Served, mnist_model: Model, digits: np.ndarray) -> None:
    reply = httpx.post(server.url("api/explanations?maps=heatmap,conv2&class=3"), content=png(digits[0]))
    own = mnist_model.explain(digits[0], target=3)
    found = reply.json()
    assert reply.status_code == 200
    assert (found["label"], found["target"]) == (own.label, "3")
    assert found["score"] == pytest.approx(own.score, rel=1e-5)
    heat = found["maps"]["heatmap"]
    values = np.frombuffer(base64.b64decode(heat["base64"]), "<f4").reshape(heat["shape"])
    assert np.allclose(values, own.heatmap, atol=1e-5)
    assert found["maps"]["conv2"]["shape"] == list(own.relevance["conv2"].shape)


def test_a_contrast_by_http_is_of_the_difference(server: Served, mnist_model: Model, digits: np.ndarray) -> None:
    ask = server.url("api/explanations?maps=heatmap&class=3")
    found = httpx.post(f"{ask}&against=7", content=png(digits[0])).json()
    alone = [httpx.post(server.url(f"api/explanations?class={each}"), content=png(digits[0])).json() for each in "37"]
    assert (found["label"], found["target"], found["against"], found["against_index"]) == ("7", "3", "7", 7)
    assert found["score"] == pytest.approx(alone[0]["score"] - alone[1]["score"], rel=1e-4)
    assert found["ledger"][0]["received"] == pytest.approx(found["score"], rel=1e-4)
    assert (alone[0]["against"], alone[0]["against_index"]) == (None, None)
    heat = found["maps"]["heatmap"]
    values = np.frombuffer(base64.b64decode(heat["base64"]), "<f4").reshape(heat["shape"])
    own = mnist_model.relevance([mnist_model.view(digits[0])], 3, against=7)
    assert np.allclose(values, own["data"][0].sum(axis=0), atol=1e-5)


def bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(2_000_000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "query", "status", "says"),
    [
        (b"no picture at all", "", 422, "no picture"),
        (b"", "", 422, "empty"),
        (bomb(), "", 422, "pixels"),
        (None, "?class=eleven", 422, "no class"),
        (None, "?against=eleven", 422, "no class"),
        (None, "?class=3&against=3", 422, "itself"),
        (None, "?composite=magic", 422, "no composite"),
        (None, "?maps=conv9", 422, "no map"),
        (None, "?model=../../etc", 404, "no model"),
        (bytes(16_000_001), "", 413, "bytes"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    server: Served, digits: np.ndarray, content: bytes | None, query: str, status: int, says: str
) -> None:
    reply = httpx.post(server.url(f"api/explanations{query}"), content=png(digits[0]) if content is None else content)
    assert reply.status_code == status
    assert says in reply.json()["error"]
    assert "\n" not in reply.json()["error"]


def test_a_cut_picture_is_refused_and_the_worker_goes_on(server: Served, digits: np.ndarray) -> None:
    before = server.workers()["mnist"]["process"]
    assert httpx.post(server.url("api/explanations"), content=png(digits[0])[:-60]).status_code == 422
    assert httpx.post(server.url("api/explanations"), content=png(digits[0])).status_code == 200
    assert server.workers()["mnist"]["process"] == before


# ---- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_foreign_pages_and_names_are_refused(server: Served, headers: dict[str, str]) -> None:
    assert httpx.get(server.url("api/models"), headers=headers).status_code == 403


def test_a_foreign_page_gets_no_live_connection(server: Served) -> None:
    async def run() -> None:
        with pytest.raises(InvalidStatus):
            async with live(server, origin="https://evil.example"):
                pass

    asyncio.run(run())


def test_no_path_reaches_the_file_system(server: Served) -> None:
    for path in (
        "../pyproject.toml",
        "%2e%2e/%2e%2e/pyproject.toml",
        "/etc/passwd",
        "..%2fserver.py",
        "page/../gate.py",
    ):
        assert httpx.get(server.url("/") + path).status_code == 404


def test_every_reply_carries_the_policy(server: Served) -> None:
    for path in ("/", "/api/models", "/nothing"):
        policy = httpx.get(server.url(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy.replace("https:", "http")


def test_beyond_loopback_a_token_is_wanted() -> None:
    token = "a token for this test only"
    environment = {"RATIONALE_TOKEN": token, "RATIONALE_IMAGE": "cpu"}
    with served("--host", "0.0.0.0", "--models", "mnist", environment=environment) as running:
        assert running.address.endswith(f"#token={token}")
        assert running.address.startswith("http://localhost:")  # nobody outside knows the name of a container
        base = f"http://127.0.0.1:{running.port}"
        with httpx.Client(base_url=base) as client:
            assert client.get("/").status_code == 200  # the page itself tells nothing
            assert client.get("/api/models").status_code == 401
            assert client.get("/api/models", headers={"authorization": "Bearer wrong"}).status_code == 401
            assert client.get("/api/models", headers={"authorization": f"Bearer {token}"}).status_code == 200
            assert client.post("/api/session", headers={"authorization": "Bearer wrong"}).status_code == 401
            reply = client.post("/api/session", headers={"authorization": f"Bearer {token}"})
            assert reply.status_code == 204
            cookie = reply.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert token not in cookie
            assert client.get("/api/models").status_code == 200


def test_a_used_port_is_one_line(server: Served) -> None:
    command = [sys.executable, "-c", "from rationale.cli import main; main()", "serve", "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("rationale: cannot listen on")
    assert done.stderr.count("\n") == 1


# ---- the live connection ---------------------------------------------------------------------------------------------


def test_a_live_answer_holds_what_the_library_says(server: Served, mnist_model: Model, digits: np.ndarray) -> None:
    async def run() -> bytes:
        async with live(server) as socket:
            await socket.send(frame(7, digits[0]))
            await socket.send(question(3, layer="conv1", channel=4, through=True, against=3))
            return await socket.recv()

    header, arrays = unpack(asyncio.run(run()))
    own = propagate(
        mnist_model.network,
        mnist_model.preprocess([digits[0]]),
        against=3,
        composite=mnist_model.composite(),
        bounds=mnist_model.bounds,
        conditions=[{"conv1": 4}],
    )
    heatmap = own["data"][0].sum(axis=0)
    assert (header["frame"], header["number"], header["best"]) == (7, 3, 7)
    assert header["score"] == pytest.approx(float(own.scores[0]), rel=1e-4)
    step = 2 * np.abs(heatmap).max() / 127  # the widest step of 8 bits
    assert np.abs(arrays["heatmap"] - heatmap).max() < step
    assert np.abs(arrays["through"] - own.conditional[0]["data"][0].sum(axis=0)).max() < step
    assert np.allclose(arrays["sums"], own.channels("conv1")[0], rtol=1e-3, atol=1e-5)
    assert len(header["layer"]["shown"]) + header["layer"]["silent"] == 20


@pytest.mark.parametrize("method", ["gradient", "gradient-input", "deconvolution", "guided", "relevance"])
@pytest.mark.parametrize("origin", [{}, {"layer": "conv2", "channel": 8}])
def test_backward_views(server: Served, digits: np.ndarray, method: str, origin: dict[str, object]) -> None:
    async def run() -> bytes:
        async with live(server) as socket:
            await socket.send(frame(1, digits[0]))
            await socket.send(question(layer="conv2", backward={"method": method, **origin}))
            return await socket.recv()

    header, arrays = unpack(asyncio.run(run()))
    assert header["backward"]["method"] == method
    assert arrays["backward"].shape == (28, 28)
    assert np.abs(arrays["backward"]).max() > 0


def test_the_newest_frame_wins(server: Served, digits: np.ndarray) -> None:
    """A page that sends faster than the worker works sees fewer answers, the last of them about its last frame."""

    async def run() -> list[int]:
        seen = []
        async with live(server) as socket:
            await socket.send(question(live=True))
            for number in range(200):
                await socket.send(frame(number, digits[number % 20]))
            while not seen or seen[-1] != 199:
                seen.append(unpack(await asyncio.wait_for(socket.recv(), 10))[0]["frame"])
        return seen

    seen = asyncio.run(run())
    assert seen == sorted(seen)
    assert len(seen) < 200


def test_a_page_that_does_not_read_delays_nobody(server: Served, digits: np.ndarray) -> None:
    async def run() -> float:
        async with live(server) as slow, live(server) as quick:
            await slow.send(question(live=True, layer="conv1"))
            for number in range(150):
                await slow.send(frame(number, digits[number % 20]))
            await quick.send(question())
            loop = asyncio.get_running_loop()
            began = loop.time()
            for number in range(20):
                await quick.send(frame(number, digits[number]))
                await asyncio.wait_for(quick.recv(), 10)
            return loop.time() - began

    assert asyncio.run(run()) < 8


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_is_replaced(server: Served, digits: np.ndarray, how: signal.Signals) -> None:
    async def run() -> tuple[list[object], int]:
        told = []
        async with live(server) as socket:
            await socket.send(question())
            await socket.send(frame(1, digits[0]))
            await socket.recv()
            first = server.workers()["mnist"]["process"]
            os.kill(int(str(first)), how)
            until(lambda: server.workers()["mnist"]["process"] != first)
            await socket.send(frame(2, digits[1]))
            while True:
                message = await asyncio.wait_for(socket.recv(), 30)
                if isinstance(message, bytes):
                    return told, unpack(message)[0]["frame"]
                told.append(json.loads(message))

    _, answered = asyncio.run(run())
    assert answered == 2


@pytest.mark.parametrize(
    "text",
    ["no json", "{}", '{"model": "mnist", "number": -1}', '{"model": "mnist", "extra": 1}', '{"model": "nothing"}'],
)
def test_a_wrong_question_is_answered_with_one_line(server: Served, digits: np.ndarray, text: str) -> None:
    async def run() -> dict[str, object]:
        async with live(server) as socket:
            await socket.send(frame(1, digits[0]))
            await socket.send(text)
            return json.loads(await asyncio.wait_for(socket.recv(), 10))

    told = asyncio.run(run())
    assert told["type"] == "error"
    assert "\n" not in str(told["text"])


def test_a_flood_is_cut_off(server: Served) -> None:
    async def run() -> int:
        async with live(server) as socket:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(3000):
                    await socket.send("{}")
            await asyncio.wait_for(socket.wait_closed(), 10)
            return socket.protocol.close_code or 0

    assert asyncio.run(run()) == 1008


def test_only_so_many_pages(server: Served) -> None:
    async def run() -> dict[str, object]:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(16):
                await stack.enter_async_context(live(server))
            until(lambda: httpx.get(server.url("api/status")).json()["clients"] == 16)
            async with live(server) as one_more:
                return json.loads(await one_more.recv())

    until(lambda: httpx.get(server.url("api/status")).json()["clients"] == 0)
    assert "16 pages" in str(asyncio.run(run())["text"])


def test_the_shipped_digits_are_what_they_say(mnist_model: Model) -> None:
    examples = shipped_digits()
    found = [mnist_model.explain(Image.open(io.BytesIO(each.content))).label for each in examples]
    assert found == [each.label for each in examples]


def test_openapi_lists_every_route(server: Served) -> None:
    paths = httpx.get(server.url("api/openapi.json")).json()["paths"]
    assert {"/api/explanations", "/api/models", "/api/models/{model}", "/api/status", "/api/session"} <= set(paths)
    parameters = {each["name"] for each in paths["/api/explanations"]["post"]["parameters"]}
    assert parameters == {"model", "class", "against", "composite", "maps", "name"}
