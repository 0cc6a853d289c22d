from __future__ import annotations

import threading
import time
from contextvars import ContextVar

from quintet import App, ThreadSettings

# --8<-- [start:app]
app = App(threads=ThreadSettings(size=40, queue=400, wait=10))


@app.get("/async")
async def on_the_loop() -> str:
    return threading.current_thread().name


@app.get("/sync")
def in_a_thread() -> bool:
    time.sleep(0.01)  # blocks this thread, and nobody else
    return threading.current_thread() is not threading.main_thread()


@app.get("/inline", inline=True)
def trivial() -> str:
    return "no thread is needed for this"


# --8<-- [end:app]


# --8<-- [start:context]
language: ContextVar[str] = ContextVar("language", default="en")


@app.get("/language")
def show_language() -> str:
    return language.get()


# --8<-- [end:context]
