"""Runs the server: binds its address, waits for the first model, says where the page is."""

import ipaddress
import os
import secrets
import socket
import webbrowser
from collections.abc import Sequence

import uvicorn

from rationale.errors import OptionError
from rationale.fetching import is_at_hand, is_fetched
from rationale.model import Model, available_models
from rationale.resources import image
from rationale.visualizer.jobs import Describe
from rationale.visualizer.server import Settings, create_app, workers_for
from rationale.visualizer.workers import Seat

TOKEN = "RATIONALE_TOKEN"  # an environment variable: command lines can be read by others


def offered_models(first: str, more: Sequence[str] | None) -> dict[str, str]:
    """Place of each model by name: the first, and those named, or else all of prototxt/ whose weights are at hand.

    Raises:
        ModelError: one of them does not exist.
    """
    names = [name for name in available_models() if _has_weights(name)] if more is None else list(more)
    offered: dict[str, str] = {}
    for place in [first, *names]:
        model = Model.load(place)
        offered.setdefault(model.name, str(model.directory))
    return offered


def _has_weights(name: str) -> bool:
    weights = Model.load(name).description.files.weights
    if is_fetched(weights):
        return is_at_hand(str(weights).removeprefix("data:").split("/")[0])
    return weights.is_file()


def run(settings: Settings, host: str, port: int, *, open_page: bool = False) -> None:
    """Serves until it is interrupted; prints the address when the first model is ready.

    Raises:
        OptionError: the address cannot be used.
        RationaleError: the first model cannot be loaded.
    """
    listening = _listen(host, port)
    workers = workers_for(settings)
    app = create_app(settings, workers)
    limits = settings.limits
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        ws_max_size=limits.picture_bytes + 64,
        ws_per_message_deflate=False,  # maps hardly shrink, and the processor is wanted elsewhere
        timeout_graceful_shutdown=2,
        limit_concurrency=16 * limits.clients,
    )
    server = _Server(config, workers.seat(settings.first), _address(listening, host, settings.token), open_page)
    try:
        server.run(sockets=[listening])
    finally:
        workers.stop()


class _Server(uvicorn.Server):
    """Waits for the first model's worker; says where it is once it answers."""

    def __init__(self, config: uvicorn.Config, seat: Seat, address: str, open_page: bool) -> None:
        super().__init__(config)
        self._seat = seat
        self._address = address
        self._open_page = open_page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with a worker that is ready; then prints the address."""
        await self._seat.ask(lambda name: Describe(), lambda text: None)
        await super().startup(sockets)
        if self.should_exit:
            return
        print(self._address, flush=True)
        print("Ctrl-C stops the server.", flush=True)
        if self._open_page:
            webbrowser.open(self._address)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot listen on {host}, port {port} ({reason}); choose another --port") from error
    return listening


def _address(listening: socket.socket, host: str, token: str | None) -> str:
    """Where a browser finds the page; the token stands behind #, which browsers do not send."""
    port = listening.getsockname()[1]
    near = is_loopback(host) or (image() is not None and _is_any(host))  # a container's own name is known to it alone
    shown = "localhost" if near else socket.gethostname() if _is_any(host) else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}/" + (f"#token={token}" if token else "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def token_for(host: str) -> str | None:
    """None on loopback; beyond it, the token in RATIONALE_TOKEN, or a new one.

    Raises:
        OptionError: the token given is too short to be one.
    """
    given = os.environ.get(TOKEN)
    if given is not None and len(given) < 16:
        raise OptionError(f"{TOKEN} has {len(given)} characters; a token wants at least 16")
    if given is not None or is_loopback(host):
        return given
    return secrets.token_urlsafe(24)


def names_of(host: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Names that the server answers to: those of this machine where it listens, and those allowed."""
    own = [] if is_loopback(host) else [socket.gethostname(), socket.getfqdn(), host]
    return tuple(dict.fromkeys(["localhost", *own, *allowed]))
