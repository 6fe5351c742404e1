"""Events: an answer in pieces, as server-sent events (HTML standard, section 9.2), and what ends when nobody reads on.

pieces ──▶ data: {…}  data: {…}  data: [DONE]      an error in the middle: data: {"error": {…}}
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from letterwise.serve.errors import Refused, detail

DONE = b"data: [DONE]\n\n"
encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies are to pass on each piece

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The answer, or its pieces"}
}


class EventStream(StreamingResponse):
    """Sends each piece as an event; whatever was held for it is let go when it ends, or when its reader has left."""

    def __init__(self, pieces: AsyncIterator[dict[str, Any]], held: AsyncExitStack) -> None:
        super().__init__(self._events(pieces), media_type="text/event-stream", headers=HEADERS)
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send(send))
        except Refused:  # the reader has left
            pass
        finally:
            await self.held.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for event in self.body_iterator:
            await send({"type": "http.response.body", "body": event, "more_body": event is not DONE})

    async def _events(self, pieces: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield f"data: {encoded(piece)}\n\n".encode()
        except Exception as error:
            yield f"data: {encoded({'error': detail(error)[1].model_dump()})}\n\n".encode()
        yield DONE


async def unless_gone(receive: Receive, work: Awaitable[Any]) -> Any:
    """What the work gives; it is cancelled when the client leaves before."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(499, "the client left before there was an answer.")
        return await task
    finally:
        left.cancel()
        task.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
