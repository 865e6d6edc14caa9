"""One live connection: the newest frame and question in, the newest answer out, never a queue."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping

from starlette.websockets import WebSocket, WebSocketDisconnect

from rationale.errors import RationaleError
from rationale.visualizer.frame import Frame, read_frame
from rationale.visualizer.jobs import Look
from rationale.visualizer.limits import Limits
from rationale.visualizer.question import Question, read_question
from rationale.visualizer.workers import Workers

_TOO_MUCH = 1008  # WebSocket close code: policy


class Client:
    """A page. Its frame and question wait in one slot, where newer ones replace them until its turn comes."""

    def __init__(self, socket: WebSocket, workers: Workers, limits: Limits) -> None:
        self._socket = socket
        self._workers = workers
        self._limits = limits
        self._frame: Frame | None = None
        self._question: Question | None = None
        self._changed = asyncio.Event()
        self._outgoing: asyncio.Queue[bytes | str] = asyncio.Queue(maxsize=1)
        self._times: deque[float] = deque(maxlen=limits.messages)

    async def serve(self) -> None:
        """Until the page goes away."""
        tasks = [asyncio.ensure_future(each) for each in (self._receive(), self._work(), self._send())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and not isinstance(task.exception(), WebSocketDisconnect | RuntimeError | None):
                    raise task.exception()  # type: ignore[misc]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] != "websocket.receive":
                return
            now = time.monotonic()
            if len(self._times) == self._limits.messages and now - self._times[0] < 1:
                await self._socket.close(_TOO_MUCH, f"more than {self._limits.messages} messages in a second")
                return
            self._times.append(now)
            try:
                self._take_in(message)
            except RationaleError as error:
                self._say({"type": "error", "text": str(error), "frame": None})

    def _take_in(self, message: Mapping[str, object]) -> None:
        content, text = message.get("bytes"), message.get("text")
        if isinstance(content, bytes):
            self._frame = read_frame(content)
        elif isinstance(text, str):
            self._question = read_question(text)
        self._changed.set()

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            question, frame = self._question, self._frame
            if question is None or frame is None:
                self._changed.clear()
                continue
            try:
                answer = await self._workers.seat(question.model).ask(self._newest, self._warn)
            except RationaleError as error:
                self._changed.clear()
                failed = self._frame or frame
                await self._outgoing.put(_error(str(error), failed.number, (self._question or question).number))
                continue
            if answer is not None:
                await self._outgoing.put(answer)  # waits while the one before is on its way: a slow page slows itself

    def _newest(self, model: str) -> Look | None:
        """What the slot holds when its turn comes; nothing where the page has turned to another model by now."""
        if self._question is None or self._frame is None or self._question.model != model:
            return None
        self._changed.clear()
        return Look(self._frame, self._question)

    async def _send(self) -> None:
        while True:
            message = await self._outgoing.get()
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            else:
                await self._socket.send_text(message)

    def _warn(self, text: str) -> None:
        self._say({"type": "notice", "text": text})

    def _say(self, message: Mapping[str, object]) -> None:
        """Sends beside the answers; dropped where the page does not keep up."""
        task = asyncio.ensure_future(self._say_safely(json.dumps(message)))
        self._saying = task

    async def _say_safely(self, text: str) -> None:
        try:
            await asyncio.wait_for(self._outgoing.put(text), 1)
        except TimeoutError:
            return


def _error(text: str, frame: int, number: int) -> str:
    return json.dumps({"type": "error", "text": text, "frame": frame, "number": number})
