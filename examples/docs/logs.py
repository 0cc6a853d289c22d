from __future__ import annotations

import logging

from quintet import App

app = App()

# --8<-- [start:log]
logger = logging.getLogger("shop")


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    logger.info("order shown", extra={"number": number, "password": "hunter2"})
    return {"number": number}


# --8<-- [end:log]
