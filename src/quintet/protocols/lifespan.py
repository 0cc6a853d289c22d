"""The lifespan protocol of ASGI, from the server's side."""

from __future__ import annotations

import asyncio
from typing import Any

from quintet.types import Message, Scope


class AsgiLifespan:
    """The life of an ASGI 3 app: `start` it, serve with its `state`, `stop` it. One loop runs both.

    Args:
        app: the app.
        name: what messages call it.
    """

    def __init__(self, app: Any, name: str = "the app") -> None:
        self._app = app
        self._name = name
        #: What the app has stored for its requests; each gets a copy.
        self.state: dict[str, Any] = {}
        #: Whether the app takes part; False before `start`.
        self.is_supported = False
        #: What an app raised that took no part.
        self.refusal: BaseException | None = None
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tell the app to start. One that has no lifespan is left alone.

        Raises:
            RuntimeError: the app says that it could not start.
        """
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._task = asyncio.ensure_future(self._app(scope, self._to_app.get, self._from_app.put))
        try:
            self.is_supported = await self._step("startup")
        except BaseException:
            await self._end()
            raise

    async def stop(self) -> None:
        """Tell the app to stop, and wait until it has.

        Raises:
            RuntimeError: the app says that it could not stop in order.
        """
        try:
            if self.is_supported:
                await self._step("shutdown")
        finally:
            await self._end()

    async def _step(self, step: str) -> bool:
        """Take a step; return False where the app has ended without taking it."""
        assert self._task is not None
        await self._to_app.put({"type": f"lifespan.{step}"})
        getting = asyncio.ensure_future(self._from_app.get())
        try:
            await asyncio.wait((getting, self._task), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                if not self._task.cancelled():
                    self.refusal = self._task.exception()  # an app without a lifespan raises
                return False
            message = getting.result()
        finally:
            getting.cancel()
        if message["type"] == f"lifespan.{step}.failed":
            raise RuntimeError(f"{step} of {self._name} failed: {message.get('message', '')}")
        return True

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()
