from __future__ import annotations

from quintet import App, Router, Versioning

# --8<-- [start:header]
app = App(versioning=Versioning(by="header", name="X-API-Version", default="1"))


@app.get("/price", version="1")
async def price_1() -> dict[str, float]:
    return {"price": 9.5}


@app.get("/price", version="2")
async def price_2() -> dict[str, str]:
    return {"amount": "9.50", "currency": "EUR"}


# --8<-- [end:header]


# --8<-- [start:path]
v1 = Router("/v1")
v2 = Router("/v2")


@v1.get("/tax")
async def tax_1() -> dict[str, int]:
    return {"percent": 20}


@v2.get("/tax")
async def tax_2() -> dict[str, float]:
    return {"rate": 0.2}


app.include(v1)
app.include(v2)
# --8<-- [end:path]
