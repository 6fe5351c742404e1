"""Program: a server, from its start to its end.

ServeConfig ──▶ socket ──▶ uvicorn ──▶ SIGTERM: no new connections ──▶ what runs finishes, up to --grace seconds ──▶ exit code 0
"""

import asyncio
import logging
import signal
import socket
import webbrowser
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from letterwise.compiling import entry
from letterwise.errors import UserError
from letterwise.serve.app import make_app
from letterwise.serve.config import ServeConfig

try:
    from uvloop import run as run_loop
except ImportError:  # on Windows there is none
    from asyncio import run as run_loop

HEAD_S = 15.0  # a head that is not all there then: the connection ends
KEEP_ALIVE_S = 20
MAX_HEAD = 2**16  # bytes
LAST_WORDS_S = 10.0  # to send the ends of what did not finish: a busy machine has taken more than 3


class PatientProtocol(HttpToolsProtocol):
    """HTTP, for clients whose requests' heads come in time, and have an end. Others would hold a connection for ever."""

    late: asyncio.TimerHandle | None = None
    head = 0  # bytes of it that came

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        if self.late is None:
            self.late = self.loop.call_later(HEAD_S, self._end)
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()
            self.head = 0
        else:
            self.head += len(data)
            if self.head > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came."""
        super().connection_made(transport)  # ty: ignore[invalid-argument-type]
        self.late = self.loop.call_later(HEAD_S, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """They left."""
        self._stop_clock()
        super().connection_lost(exc)

    def _stop_clock(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None

    def _end(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn, which a signal ends in order and without being raised again: the exit code is 0."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, grace: float) -> None:
        super().__init__(config)
        self.application, self.grace = app, grace

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """SIGTERM and Ctrl-C end the server; a second one does at once."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No new connections; what still runs after the grace is told that it ends."""
        late = asyncio.get_running_loop().call_later(self.grace, self._close)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

    def _close(self) -> None:
        asyncio.get_running_loop().run_in_executor(None, self.application.state.library.close)


def run(config: ServeConfig, note: Callable[[str], None]) -> int:
    """Serve until a signal comes; the exit code. Raises `UserError` when the port cannot be had, or a model is not there."""
    entry.MEANWHILE = False  # who asks is to be served by what was compiled
    app, listening = make_app(config, note), bound(config.place.host, config.place.port)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with listening:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        everywhere = shown in ("0.0.0.0", "[::]")
        url = f"http://{'127.0.0.1' if everywhere else shown}:{port}"
        names = list(app.state.library.paths())
        said = f"serving {', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else (
            "there is no model yet: train one with `letterwise train --input_file TEXT`, and it appears here"
        )  # fmt: skip
        note(f"{url}{', and any address of this machine' if everywhere else ''} · {said} · Ctrl-C ends it.")
        if config.place.open:
            webbrowser.open(url)
        server = Server(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(config.limits.grace + LAST_WORDS_S) + 1,
                limit_concurrency=config.limits.max_connections,
            ),
            app,
            config.limits.grace,
        )
        run_loop(server.serve(sockets=[listening]))
    return 0


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `UserError` when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"--host {host!r} is no address of this machine: {error.strerror or error}.") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise UserError(f"port {port} of {host} cannot be had ({error.strerror or error}): choose another --port.") from None
    return listening
