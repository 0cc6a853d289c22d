"""Helpdesk: customers, their tickets and what is said about them, as pages and as an API, on any database.

    cd examples/helpdesk
    quintet db upgrade && quintet db seed && quintet dev

The package beside this file has a module for each part; here they are put together.
"""

from __future__ import annotations

from functools import partial

from helpdesk import api, customers, tickets
from helpdesk.files import FileStore
from helpdesk.seed import seed
from helpdesk.settings import HelpdeskSettings

from quintet import App, Database, Redirect
from quintet.config import load_settings
from quintet.db import DatabaseSettings
from quintet.db.migrations import Migrations

url = load_settings(DatabaseSettings)[DatabaseSettings].url or "sqlite:///helpdesk.db"
database = Database(url)

app = App(
    title="Helpdesk",
    version="1.0",
    templates="templates",
    settings=[HelpdeskSettings],
    plugins=[database, Migrations(seed=partial(seed, database))],
)
app.static("/static", "static")
app.provide(FileStore, lambda: FileStore(app.settings[HelpdeskSettings].uploads), scope="app")
for part in (tickets, customers, api):
    app.include(part.router)


@app.get("/", include_in_schema=False)
async def index() -> Redirect:
    return Redirect(app.url_for("tickets.index"))
