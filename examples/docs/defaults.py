from __future__ import annotations

from quintet import HTML, App

app = App()


@app.get("/")
async def home() -> HTML:
    return HTML("<h1>Home</h1>")
