"""Access log: a line for each answer, and its figures for the metrics. What was asked or written is never in it."""

import json
import secrets
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from letterwise.printable import printable
from letterwise.serve.metrics import Metrics

METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH")
LONGEST = 200  # characters of a path


class AccessLog:
    """Stands before all else."""

    def __init__(self, app: ASGIApp, metrics: Metrics, write: Callable[[str], None], *, as_json: bool) -> None:
        self.app, self.metrics, self.write, self.as_json = app, metrics, write, as_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status, sent = time.monotonic(), 499, 0  # 499: the client left before there was an answer
        request_id = scope.setdefault("state", {})["request_id"] = secrets.token_hex(12)

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counted)
        except Exception:
            status = 500
            raise
        finally:
            self._note(scope, status, sent, time.monotonic() - begun)

    def _note(self, scope: Scope, status: int, sent: int, seconds: float) -> None:
        """Count a request that is over, and write its line."""
        route = getattr(scope.get("route"), "path", None)  # the pattern: whatever is asked for, there are few of them
        route = route or (scope["path"] if scope["path"] in self.metrics.paths else "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        client = (scope.get("client") or ("",))[0]
        path = scope["path"][:LONGEST]
        if self.as_json:
            row = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "id": scope["state"]["request_id"],
                "client": client,
                "method": scope["method"],
                "path": path,
                "status": status,
                "seconds": round(seconds, 4),
                "bytes": sent,
            }
            line = json.dumps(row)
        else:
            now = time.strftime("%H:%M:%S")
            line = printable(f"{now} {client} {scope['method']} {path} {status} {seconds:.3f} s", one_line=True)
        self.write(line)
