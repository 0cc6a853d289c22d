from __future__ import annotations

from quintet import App
from quintet.middleware.https import https_only, https_only_guard

# --8<-- [start:app]
app = App(middleware=[https_only()], guards=[https_only_guard()])
# --8<-- [end:app]


@app.get("/prices")
async def prices() -> list[int]:
    return [1, 2, 3]
