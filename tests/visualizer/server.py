"""A real server in a process of its own, for the tests of the live page."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.conftest import ROOT


@dataclass
class Served:
    """A running `rationale serve`."""

    address: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.address.split("#")[0].rstrip("/").rsplit(":", 1)[1])

    def url(self, path: str) -> str:
        return self.address.split("#")[0] + path.lstrip("/")

    def workers(self, **how: object) -> dict[str, dict[str, object]]:
        rows = httpx.get(self.url("api/status"), **how).json()["workers"]
        return {row["model"]: row for row in rows}


@contextmanager
def served(*options: str, environment: dict[str, str] | None = None, port: int = 0) -> Iterator[Served]:
    """A server on a free port, until the block ends; its first line is its address."""
    command = [sys.executable, "-c", "from rationale.cli import main; main()", "serve", "--port", str(port), *options]
    paths = os.pathsep.join([str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), address
        yield Served(address, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


def until(holds: object, seconds: float = 60, every: float = 0.05) -> None:
    """Waits until a function returns something true."""
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(every)


def unpack(message: bytes) -> tuple[dict[str, object], Sequence[object]]:
    """An answer's JSON and its arrays, by name, as the page reads them."""
    import json
    import struct

    import numpy as np

    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    arrays = {}
    for name, entry in header["arrays"].items():
        kind = "<f4" if entry["kind"] == "numbers" else np.uint8
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(message, kind, count, 4 + length + entry["at"]).reshape(entry["shape"])
        if entry["kind"] == "signed":
            level = (values.astype(float) - 128) / 127
            values = np.sign(level) * level**2 * entry["scale"]
        arrays[name] = values
    return header, arrays
