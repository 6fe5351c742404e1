"""Events: an answer in pieces, as server-sent events (HTML standard, section 9.2), and what ends when nobody reads on.

pieces ──▶ data: {…}  data: {…}  data: [DONE]      an error in the middle: data: {"error": {…}}
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from letterwise.serve.errors import Refused, detail

DONE = b"data: [DONE]\n\n"
encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies are to pass on each piece

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The answer, or its pieces"}
}


class Left(Refused):
    """The client left before there was an answer."""

    def __init__(self) -> None:
        super().__init__(499, "the client left before there was an answer.")


class EventStream(Response):
    """Sends each piece as an event; whatever was held for it is let go when it ends, or when its reader has left.

    What goes wrong before the first piece is raised, and answered as if there were no stream.
    """

    def __init__(self, pieces: AsyncIterator[dict[str, Any]], held: AsyncExitStack) -> None:
        super().__init__(media_type="text/event-stream", headers=HEADERS)
        del self.headers["Content-Length"]
        self.pieces, self.held = pieces, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.held:
            with suppress(Left):  # there is nobody to tell
                await unless_gone(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        """Send the pieces as they come. What goes wrong before the first is raised, and later an event."""
        begun = False
        try:
            async for piece in self.pieces:
                if not begun:
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                begun = True
                await send({"type": "http.response.body", "body": event(piece), "more_body": True})
        except Exception as error:
            if not begun:
                raise
            told = event({"error": detail(error)[1].model_dump()})
            await send({"type": "http.response.body", "body": told, "more_body": True})
        await send({"type": "http.response.body", "body": DONE})


def event(piece: Any) -> bytes:
    """A piece, as it is sent."""
    return f"data: {encoded(piece)}\n\n".encode()


async def unless_gone(receive: Receive, work: Awaitable[Any]) -> Any:
    """What the work gives; it is cancelled when the client leaves before, who is told nothing more."""
    here, over = asyncio.current_task(), False
    assert here

    def cancel(_: Any) -> None:
        if not over:
            here.cancel()

    left = asyncio.ensure_future(_until_gone(receive))
    left.add_done_callback(cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if left.done() and not here.uncancel():
            raise Left from None
        raise
    finally:
        over = True
        left.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
