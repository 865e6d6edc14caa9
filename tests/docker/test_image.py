"""What knows whether the image was tried in this state, and what the image brings for Docker's health check."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "docker"))
import healthy
import image


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Suites that were tried; nothing is built."""
    monkeypatch.setattr(image, "TESTED", tmp_path / "tested.json")
    made: list[list[str]] = []
    monkeypatch.setattr(image, "test", made.append)
    monkeypatch.setattr(image, "engine", lambda: None)
    monkeypatch.setattr(image, "own_wheel", lambda: None)
    return made


def test_a_state_that_passed_is_not_tried_again(trials: list[list[str]]) -> None:
    passed = {"inputs": image.digest(image.inputs()), "where": {"date": "2026-11-29"}}
    image.TESTED.write_text(json.dumps(passed))
    assert image.check() == 0
    assert trials == []
    image.TESTED.write_text(json.dumps({**passed, "inputs": "another"}))
    assert image.check() == 0
    assert trials == [["bookworm"]]


def test_a_failed_trial_fails_and_no_engine_is_no_failure(
    trials: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise image.BuildError("it broke")

    monkeypatch.setattr(image, "test", fail)
    assert image.main(["check"]) == 2
    assert "it broke" in capsys.readouterr().err
    monkeypatch.setattr(image, "engine", fail)
    assert image.main(["check"]) == 0
    assert "the image is not tried: it broke" in capsys.readouterr().err


def test_the_digest_follows_what_makes_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {path.relative_to(ROOT).as_posix() for path in image.inputs()}
    assert {"docker/Dockerfile", "docker/caffe/build.py", "constraints.txt", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith((".pyc", "tested.json"))]
    monkeypatch.setattr(image, "ROOT", tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("b")
    before = image.digest([one, other])
    assert before == image.digest([one, other])
    other.write_text("c")
    assert image.digest([one, other]) != before


def test_usage_and_unknown_suites_are_refused() -> None:
    for arguments in ([], ["build", "sid"], ["check", "bookworm"]):
        done = subprocess.run([sys.executable, ROOT / "docker/image.py", *arguments], capture_output=True, text=True)
        assert done.returncode == 2
        assert "python image.py build" in done.stderr


def test_what_goes_into_an_image_is_there_and_is_listed() -> None:
    """The Dockerfile copies only what .dockerignore lets through."""
    listed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert {"docker", "python", "prototxt", "weights", "data", "pyproject.toml", "README.md", "LICENSE"} <= listed
    for line in (ROOT / "docker/Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert name == "." or name.split("/")[0].replace("[t]", "t") in listed, line


@pytest.fixture
def server() -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_port
        served.shutdown()


def process(folder: Path, number: int, *words: str) -> None:
    (folder / str(number)).mkdir()
    (folder / str(number) / "cmdline").write_text("\0".join(words) + "\0")


def test_health_follows_the_page_and_only_the_page(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = healthy.ports
    monkeypatch.setattr(healthy, "ports", lambda: ports(tmp_path))
    process(tmp_path, 1, "/usr/bin/tini", "--", "rationale", "explain", "serve")
    assert (list(healthy.ports()), healthy.main()) == ([], 0)
    process(tmp_path, 7, "/opt/rationale/bin/python", "/opt/rationale/bin/rationale", "serve", f"--port={server}")
    assert (list(healthy.ports()), healthy.main()) == ([server], 0)
    process(tmp_path, 8, "/opt/rationale/bin/python", "/opt/rationale/bin/rationale", "serve", "--port", "1")
    assert set(healthy.ports()) == {server, 1}
    assert healthy.main() == 1
    assert "port 1:" in capsys.readouterr().out


def test_a_page_without_a_port_of_its_own_is_at_the_usual_one(tmp_path: Path) -> None:
    process(tmp_path, 1, "/opt/rationale/bin/python", "/opt/rationale/bin/rationale", "serve", "--host", "0.0.0.0")
    assert list(healthy.ports(tmp_path)) == [8080]
