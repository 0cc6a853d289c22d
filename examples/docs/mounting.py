from __future__ import annotations

from flask import Flask

from quintet import App

app = App()

# --8<-- [start:mount]
legacy = Flask("legacy")


@legacy.get("/hello")
def hello() -> str:
    return "Hello from Flask"


@app.get("/hello")
async def new_hello() -> str:
    return "Hello from Quintet"


app.mount("/legacy", legacy)
# --8<-- [end:mount]
