"""Who may speak to the server: host names, origins, token; and what every reply tells the browser to refuse."""

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
_OPEN = ("/api/session",)  # where a token is turned into a cookie


class Gate:
    """Lets a request through to the app, or answers it: 403 for a foreign page or host, 401 without the token."""

    def __init__(self, app: App, hosts: Iterable[str], token: str | None) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded()]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._knows(host):
            return 403, f"this server does not answer to the name {host!r}; start it with --allow-host to change that"
        origin = headers.get("origin")
        if origin is not None and origin.split("://", 1)[-1].lower() != host.lower():
            return 403, "a page from elsewhere may not ask this server"
        is_question = scope["path"].startswith("/api/")  # the page itself may be opened from anywhere
        if is_question and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "a page from elsewhere may not ask this server"
        needs_token = is_question and scope["path"] not in _OPEN
        if self._token is not None and needs_token and not self._has_token(headers):
            return 401, "the token is missing or wrong; the server printed it when it started"
        return None

    def _knows(self, host: str) -> bool:
        """A name that was allowed, or any numeric address: no foreign name can be made to point here."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") and ":" in host else host
        if name.lower() in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _has_token(self, headers: dict[str, str]) -> bool:
        assert self._token is not None
        given = headers.get("authorization", "")
        if given.startswith("Bearer "):
            return same(given.removeprefix("Bearer "), self._token)
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookies and same(cookies[COOKIE].value, cookie_of(self._token))


COOKIE = "rationale"


def cookie_of(token: str) -> str:
    """What the cookie holds: it shows that its bearer knew the token, and does not tell it."""
    return hmac.new(token.encode(), b"rationale live page", hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets agree, in a time that does not tell how far."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _encoded() -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in HEADERS.items()]


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + status, "reason": why})
        return
    body = json.dumps({"error": why}).encode()
    headers = [*_encoded(), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
