from __future__ import annotations

import asyncio
import shutil

from quintet import App

# --8<-- [start:checks]
app = App()


@app.readiness("search", timeout=1)
async def search() -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", 9200)
    writer.close()


@app.readiness("disk")
def disk() -> bool:
    return shutil.disk_usage("/").free > 2**20


# --8<-- [end:checks]
