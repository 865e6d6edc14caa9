"""Downloads, from a server of our own: cut off, resumed, damaged, refused."""

import hashlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rationale.errors import DataError
from rationale.fetching import download as module
from rationale.fetching.download import download
from rationale.fetching.manifest import Download

CONTENT = bytes(range(256)) * 2000


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut_after` ends the first answers early, `ranges` says whether parts can be had."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut_after: list[int] = []
        self.ranges = True
        self.in_chunks = False
        self.asked: list[int] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path != "/file.bin":
            self.send_error(404)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if self.server.ranges else 0
        self.server.asked.append(start)
        if start >= len(CONTENT):
            self.send_error(416)
            return
        rest = CONTENT[start:]
        self.send_response(206 if start else 200)
        if self.server.in_chunks:
            self._send_in_chunks(rest)
            return
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cut_after.pop(0)] if self.server.cut_after else rest)
        self.close_connection = True

    def _send_in_chunks(self, rest: bytes) -> None:
        """Chunks of 20,000 bytes; a cut leaves the end unmarked."""
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        cut = self.server.cut_after.pop(0) if self.server.cut_after else None
        whole = b"".join(
            b"%x\r\n%s\r\n" % (len(chunk), chunk)
            for chunk in (rest[start : start + 20_000] for start in range(0, len(rest), 20_000))
        )
        self.wfile.write(whole + b"0\r\n\r\n" if cut is None else whole[:cut])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def wanted(server: Server, **more: object) -> Download:
    known = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest(), "path": "file.bin", **more}
    url = f"http://127.0.0.1:{server.server_port}/{known.pop('path')}"
    return Download(url, **known)


def test_a_file_comes_whole_and_is_reported(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    download(wanted(server), tmp_path / "file", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not (tmp_path / "file.part").exists()


def test_a_cut_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut_after = [100_000, 50_000]
    download(wanted(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [0, 100_000, 150_000]


def test_what_an_earlier_process_left_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:300_000])
    download(wanted(server), tmp_path / "file")
    assert server.asked == [300_000]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cut_after = [100_000]
    download(wanted(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_damaged_part_is_found_and_removed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match=r"SHA-256 .* not"):
        download(wanted(server), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    download(wanted(server), tmp_path / "file")


def test_another_size_or_digest_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"512000 bytes, not 511999|SHA"):
        download(wanted(server, size=len(CONTENT) - 1), tmp_path / "file")
    with pytest.raises(DataError, match="SHA-1"):
        download(wanted(server, size=0, sha256="", sha1="0" * 40), tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_size_nobody_published(server: Server, tmp_path: Path) -> None:
    digest = hashlib.sha1(CONTENT).hexdigest()
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(wanted(server, size=0, sha256="", sha1=digest), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_what_cannot_be_had_is_said_with_its_address(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/other cannot be fetched \(Not Found\)"):
        download(wanted(server, path="other"), tmp_path / "file")
    with pytest.raises(DataError, match="refused"):
        download(Download("http://127.0.0.1:9/x", 1, "0"), tmp_path / "file")


def test_a_cut_file_of_unknown_size_is_not_taken_for_whole(server: Server, tmp_path: Path) -> None:
    server.cut_after = [1000, 2000]
    download(wanted(server, size=0, sha256=""), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [0, 1000, 3000]


@pytest.mark.parametrize("known", [{}, {"size": 0, "sha256": ""}])
def test_a_cut_file_sent_in_chunks_goes_on_too(server: Server, tmp_path: Path, known: dict[str, object]) -> None:
    server.in_chunks = True
    server.cut_after = [90_000, 10]  # in the middle of the fifth chunk, and of the first
    seen: list[tuple[int, int]] = []
    download(wanted(server, **known), tmp_path / "file", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [0, 80_000, 80_000]  # every whole chunk is kept
    assert all(done <= total for done, total in seen)


def test_an_answer_that_is_no_http_is_said_with_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)

    class Babbler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(b"hello\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Babbler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with pytest.raises(DataError, match=r"/file\.bin cannot be fetched \(hello"):
            download(Download(f"http://127.0.0.1:{running.server_address[1]}/file.bin", 1, "0"), tmp_path / "file")
        running.shutdown()
