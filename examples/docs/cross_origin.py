from __future__ import annotations

from quintet import App
from quintet.middleware.cors import cors

# --8<-- [start:app]
app = App(middleware=[cors(["https://shop.example"], methods=["GET", "POST"])])
# --8<-- [end:app]


@app.get("/prices")
async def prices() -> list[int]:
    return [1, 2, 3]
