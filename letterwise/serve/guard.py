"""Guard: who may ask at all, and how much they may send. Everything else is refused before it is read.

Host    an address, this machine's name or the one it listens on: a name of somebody else's could be made to point here (DNS
        rebinding)
Origin  a page of this server or none: pages of others may not spend this machine's time
key     `Authorization: Bearer KEY`, where one was set
        (a proxy's name is known by --allow_host)
body    as JSON, of a bounded size, all there within a bounded time
"""

import asyncio
import hmac
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letterwise.serve.config import ServeConfig
from letterwise.serve.errors import Refused, answer

BODY_S = 30.0  # a body that is not all there then
OPEN = ("/healthz", "/readyz")  # for who watches over the process; the page holds nothing of the models
NEEDS_KEY = ("/v1/", "/api/", "/metrics", "/docs", "/openapi.json")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        self.app, self.max_body = app, config.limits.max_body
        self.key = config.place.api_key
        self.allowed = {name.lower() for name in config.place.allow_host}
        self.names = {"localhost", config.place.host.lower(), socket.gethostname().lower()} | self.allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                extra = {name: value for name, value in HEADERS.items() if name.lower().encode() not in there}
                message["headers"] = [*message["headers"], *((n.encode(), v.encode()) for n, v in extra.items())]
            await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._check(scope, headers)
            body = await self._body(scope, headers, receive)
        except Refused as refused:
            response = answer(refused)
            response.headers["Connection"] = "close"  # what is left of the body is not read
            await response(scope, receive, guarded_send)
            return
        await self.app(scope, replayed(body, receive), guarded_send)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raises `Refused` for who may not ask."""
        if scope["path"] in OPEN:
            return
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refused(
                421, f"this server is not {host[:80]!r}: use its address, or start it with --allow_host NAME.", code="host"
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own_page(origin, host):
            raise Refused(
                403, f"pages of {origin[:80]!r} may not use this server, unless it is started with --allow_host.", code="origin"
            )
        if self.key and scope["path"].startswith(NEEDS_KEY) and not self._has_key(headers.get("authorization", "")):
            refused = Refused(
                401, "this server asks for its key: send it as `Authorization: Bearer KEY`.", code="invalid_api_key"
            )
            refused.headers = {"WWW-Authenticate": "Bearer"}
            raise refused

    def _is_own_page(self, origin: str, host: str) -> bool:
        try:
            place = urlsplit(origin)
            return place.netloc.lower() == host.lower() or (place.hostname or "") in self.allowed
        except ValueError:
            return False

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_key(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), str(self.key).encode())

    async def _body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> bytes:
        """All of it. Raises `Refused` when it is too long, takes too long, or is no JSON by its head."""
        if scope["method"] != "POST":
            return b""
        too_long = Refused(413, f"the body is longer than {self.max_body:,} bytes: send less at once.", code="too_large")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_body:
            raise too_long
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refused(400, "the body ended before it was all there.")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.max_body:
                        raise too_long
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise Refused(408, f"the body was not all there after {BODY_S:g} seconds.", code="timeout") from None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if size and kind != "application/json":
            raise Refused(415, f"Content-Type is {kind[:80]!r}: send JSON, as application/json.", code="content_type")
        return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """`receive`, that gives a body which was read already."""
    first: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
