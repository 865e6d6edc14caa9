"""How much one client may ask of the server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what comes from clients, and how long a worker may take.

    Attributes:
        picture_bytes: of one encoded picture or frame.
        pixels: of one picture, before it is unpacked.
        messages: on one live connection, in a second; more close it.
        clients: live connections at once.
        requests: HTTP explanations under way at once.
        upload_seconds: for the body of one HTTP request to arrive.
        patience: seconds for one answer before a worker counts as hung.
        start_patience: seconds for a worker to load its model, weights fetched included.
        idle: seconds after which a worker that nobody asks is stopped.
    """

    picture_bytes: int = 16_000_000
    pixels: int = 40_000_000
    messages: int = 240
    clients: int = 16
    requests: int = 8
    upload_seconds: float = 30.0
    patience: float = 30.0
    start_patience: float = 180.0
    idle: float = 300.0
