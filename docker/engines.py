"""Two programs that build and run images, behind one face: Docker, and buildah for machines without its daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debian import ROOT, BuildError, tools

Mounts = Mapping[Path, str]


@dataclass(frozen=True)
class Page:
    """A running container that serves the page."""

    port: int  # of this machine
    said: Callable[[], str]  # what it has printed
    inside: Callable[..., int]  # runs a command beside it; gives the exit code

    def ask(self, path: str, token: str | None = None) -> int:
        """Status of an answer; 0 where none came."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


class Docker:
    """Docker, or what answers to its command line."""

    name = "docker"

    @staticmethod
    def answers() -> bool:
        """Whether its daemon is there."""
        if shutil.which("docker") is None:
            return False
        return subprocess.run(["docker", "info"], capture_output=True).returncode == 0

    def make_base(self, tar: Path, tag: str) -> None:
        """Makes an image of a file system."""
        _run("docker", "import", str(tar), tag)

    def build(
        self, file: Path, tag: str, arguments: Mapping[str, str], secrets: Mapping[str, Path], *, anew: bool
    ) -> None:
        """Builds a Dockerfile in the checkout."""
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options += [f"--secret=id={name},src={path}" for name, path in secrets.items()]
        options += ["--no-cache"] if anew else []
        command = ["docker", "build", "--tag", tag, "--file", str(file), *options, str(ROOT)]
        _run(*command, environment={**os.environ, "DOCKER_BUILDKIT": "1"})

    def config(self, tag: str) -> dict[str, Any]:
        """Entrypoint, Cmd, User, Labels, Healthcheck of an image."""
        return dict(json.loads(_run("docker", "image", "inspect", tag))[0]["Config"])

    def size(self, tag: str) -> int:
        """Bytes of its file system."""
        return int(json.loads(_run("docker", "image", "inspect", tag))[0]["Size"])

    def run(
        self, tag: str, *arguments: str, entrypoint: str = "", user: str = "", mounts: Mounts | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the image to its end, as a user does."""
        options = [f"--entrypoint={entrypoint}"] if entrypoint else []
        options += [f"--user={user}"] if user else []
        options += [f"--volume={source}:{target}" for source, target in (mounts or {}).items()]
        command = ["docker", "run", "--rm", "--init", *options, tag, *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    @contextmanager
    def serving(self, tag: str, port: int) -> Iterator[Page]:
        """The image's own command, with its page at a port of this machine."""
        name = f"rationale-{uuid.uuid4().hex[:8]}"
        _run("docker", "run", "--detach", "--init", "--name", name, f"--publish=127.0.0.1:{port}:8080", tag)
        try:
            yield Page(
                port,
                lambda: _run("docker", "logs", name),
                lambda *inside: _code("docker", "exec", name, *inside),
            )
            started = time.monotonic()
            _run("docker", "stop", "--time", "20", name)
            if time.monotonic() - started > 15:
                raise BuildError("the server does not stop when it is told to")
        finally:
            subprocess.run(["docker", "rm", "--force", name], capture_output=True)


class Buildah:
    """buildah, which needs no daemon; containers share this machine's network."""

    name = "buildah"

    def __init__(self) -> None:
        tools("buildah")
        os.environ.setdefault("STORAGE_DRIVER", "vfs")
        os.environ.setdefault("BUILDAH_ISOLATION", "chroot")

    def make_base(self, tar: Path, tag: str) -> None:
        """Makes an image of a file system."""
        container = _run("buildah", "from", "scratch").strip()
        _run("buildah", "add", "--quiet", container, str(tar), "/")
        _run("buildah", "commit", "--quiet", "--rm", container, tag)

    def build(
        self, file: Path, tag: str, arguments: Mapping[str, str], secrets: Mapping[str, Path], *, anew: bool
    ) -> None:
        """As Docker, in its format, for OCI's knows no health check; buildah keeps no layers, so all is built anew."""
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options += [f"--secret=id={name},src={path}" for name, path in secrets.items()]
        _run("buildah", "build", "--format=docker", "--tag", tag, "--file", str(file), *options, str(ROOT))

    def config(self, tag: str) -> dict[str, Any]:
        """Entrypoint, Cmd, User, Labels, Healthcheck of an image."""
        return dict(json.loads(_run("buildah", "inspect", "--type=image", tag))["Docker"]["config"])

    def size(self, tag: str) -> int:
        """Bytes of its file system."""
        with self._container(tag) as container:
            place = _run("buildah", "mount", container).strip()
            return int(_run("du", "--summarize", "--block-size=1", place).split()[0])

    def run(
        self, tag: str, *arguments: str, entrypoint: str = "", user: str = "", mounts: Mounts | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the image to its end, as Docker would."""
        with self._container(tag) as container:
            start = [entrypoint] if entrypoint else self.config(tag)["Entrypoint"]
            options = [f"--user={user}"] if user else []
            options += [f"--volume={source}:{target}" for source, target in (mounts or {}).items()]
            command = ["buildah", "run", *options, container, "--", *start, *arguments]
            return subprocess.run(command, capture_output=True, text=True)

    @contextmanager
    def serving(self, tag: str, port: int) -> Iterator[Page]:
        """The image's own command at another port, for the network is this machine's."""
        with self._container(tag) as container, open(f"/tmp/{container}.log", "w+") as log:
            config = self.config(tag)
            command = [*config["Entrypoint"], *config["Cmd"], "--port", str(port)]
            started = ["buildah", "run", container, "--", *command]
            server = subprocess.Popen(started, stdout=log, stderr=log, start_new_session=True)
            try:
                read = Path(log.name).read_text
                yield Page(port, read, lambda *inside: _code("buildah", "run", container, "--", *inside))
            finally:
                os.killpg(server.pid, 15)
                server.wait(20)
                Path(log.name).unlink()

    @contextmanager
    def _container(self, tag: str) -> Iterator[str]:
        container = _run("buildah", "from", "--pull-never", tag).strip()
        try:
            yield container
        finally:
            subprocess.run(["buildah", "rm", container], capture_output=True)


def engine() -> Docker | Buildah:
    """Docker where its daemon answers, buildah elsewhere.

    Raises:
        BuildError: neither is here.
    """
    return Docker() if Docker.answers() else Buildah()


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        tail = "\n    ".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BuildError(f"{' '.join(command[:2])} failed ({done.returncode}):\n    {tail}")
    return done.stdout


def _code(*command: str) -> int:
    return subprocess.run(command, capture_output=True).returncode
