from __future__ import annotations

from typing import Annotated

from quintet import App, Meta, Secret, Settings


# --8<-- [start:section]
class MailSettings(Settings, section="mail"):
    host: str = "localhost"
    port: Annotated[int, Meta(gt=0, lt=65536)] = 25
    password: Secret = Secret("")
    senders: list[str] = []


app = App(settings=[MailSettings])


@app.get("/mail")
async def mail(settings: MailSettings) -> dict[str, object]:
    return {
        "host": settings.host,
        "port": settings.port,
        "password": repr(settings.password),
    }


# --8<-- [end:section]
