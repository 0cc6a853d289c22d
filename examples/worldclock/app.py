"""World clock: the time zones of the IANA database as pages and as data, from one set of handlers.

Run it with `quintet dev examples/worldclock/app.py`; where a system has no time zones, `pip install tzdata` first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Annotated, Any
from urllib.parse import urlencode

from zones import NAMES, Area, Conversion, Converted, Zone, ZoneDetail, ZoneName, ZonePage, ZoneTable

from quintet import (
    App,
    CallNext,
    Depends,
    Event,
    EventStream,
    Form,
    Meta,
    NotFound,
    Page,
    Request,
    Response,
    Settings,
    Template,
    ValidationError,
)

FORMATS = ("json", "html", "xml", "csv", "msgpack")


class ClockSettings(Settings, section="worldclock"):
    """Read from `WORLDCLOCK_HOME` and `WORLDCLOCK_ZONES`, or from `[worldclock]` in quintet.toml."""

    home: str = "Europe/Paris"
    zones: tuple[str, ...] = (
        "America/Los_Angeles", "America/New_York", "Europe/Paris", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney"
    )  # fmt: skip

    def __post_init__(self) -> None:
        if unknown := {self.home, *self.zones} - set(NAMES):
            raise ValueError(f"no such time zone: {', '.join(sorted(unknown))} (without any, install tzdata)")


class Clock:
    """Tells the time; tests put another in its place."""

    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0)


app = App(title="World clock", version="1.0", templates="templates", settings=[ClockSettings])
app.static("/static", "static")
app.provide_value(Clock, Clock())
app.provide(ZoneTable, ZoneTable, scope="app")


@app.middleware
async def server_timing(request: Request, call_next: CallNext) -> Response[Any]:
    start = perf_counter()
    response = await call_next(request)
    response.headers.set("server-timing", f"app;dur={(perf_counter() - start) * 1000:.2f}")
    return response


@app.get("/", tags=["Pages"])
async def index(settings: ClockSettings, table: ZoneTable, clock: Clock) -> Template:
    """The time around the world."""
    now = clock.now()
    return Template("index.html", zones=[table.read(name, now) for name in settings.zones], total=len(NAMES))


@app.get("/zones", template="zones.html", produces=FORMATS, tags=["Zones"])
async def list_zones(
    table: ZoneTable,
    clock: Clock,
    q: Annotated[str, Meta(max_length=100, examples=["new york"])] = "",
    area: Area | None = None,
    utc: Annotated[float, Meta(ge=-12, le=14, multiple_of=0.25, examples=[5.5])] | None = None,
    limit: Annotated[int, Meta(ge=1, le=1000)] = 24,
    offset: Annotated[int, Meta(ge=0, le=1000)] = 0,
) -> ZonePage:
    """Find time zones.

    Args:
        q: A part of the name.
        area: The part of the world.
        utc: How many hours clocks are ahead of UTC now.
        limit: The most zones to return.
        offset: How many zones to leave out first.
    """
    found = table.search(clock.now(), q, area, utc)

    def address(offset: int) -> str:
        query = {"q": q, "area": area, "utc": utc, "limit": limit, "offset": offset}
        return f"{app.url_for('list_zones')}?{urlencode({k: v for k, v in query.items() if v not in (None, '')})}"

    return ZonePage(
        total=len(found),
        zones=found[offset : offset + limit],
        previous=address(max(0, offset - limit)) if offset else None,
        next=address(offset + limit) if offset + limit < len(found) else None,
    )


@app.get("/zones/{name:path}", template="zone.html", produces=FORMATS, tags=["Zones"], responses={304: None})
async def get_zone(name: ZoneName, table: ZoneTable, clock: Clock) -> Response[ZoneDetail]:
    """Show a time zone, to the minute.

    Args:
        name: Its name in the IANA database.
    """
    if refusal := table.refusal(name):
        raise NotFound(refusal)
    now = clock.now()
    headers = {"etag": f'W/"{now:%Y%m%d%H%M}"', "cache-control": f"public, max-age={60 - now.second}"}
    return Response(table.detail(name, now.replace(second=0)), headers=headers)


@app.page("/convert", template="convert.html", tags=["Pages"])
async def convert_page(
    form: Form[Conversion], table: ZoneTable, clock: Clock, settings: ClockSettings, source: str = ""
) -> Page:
    """Convert a local time, with a form.

    Args:
        source: The zone to begin with.
    """
    result: Converted | None = None
    if form.valid:
        try:
            result = table.convert(form.data)
        except ValidationError as error:
            form.errors += error.errors
    start = table.read(settings.home if table.refusal(source) else source, clock.now())
    return Page(form=form, result=result, start=start, target=settings.zones[-1], names=NAMES)


@app.post(
    "/api/convert",
    accepts=("json", "xml", "form", "multipart"),
    produces=("json", "xml", "msgpack"),
    tags=["Conversion"],
)
async def convert(conversion: Conversion, table: ZoneTable) -> Converted:
    """Convert a local time.

    A time that clocks skip when they are put forward is refused; so is one that they show twice when they are put
    back, unless `fold` says which of the two is meant.
    """
    return table.convert(conversion)


def find_zones(table: ZoneTable, zones: Annotated[list[str], Meta(min_length=1, max_length=24)]) -> list[str]:
    """Return the zones to watch, each once."""
    for name in zones:
        if refusal := table.refusal(name):
            raise NotFound(refusal)
    return list(dict.fromkeys(zones))


Watched = Annotated[list[str], Depends(find_zones, inline=True)]


@app.get("/live", tags=["Live"], responses={404: NotFound})
async def live(table: ZoneTable, settings: ClockSettings, clock: Clock, zones: list[str] | None = None) -> Template:
    """Watch clocks of your choice."""
    names = find_zones(table, [name for name in zones or () if name] or list(settings.zones))  # a form has empty fields
    now = clock.now()
    return Template("live.html", zones=[table.read(name, now) for name in names], names=NAMES)


@app.get("/live/events", tags=["Live"], responses={404: NotFound})
async def live_events(zones: Watched, table: ZoneTable, clock: Clock) -> EventStream[list[Zone]]:
    """Stream what clocks show, every second.

    Args:
        zones: The zones to watch, such as `Asia/Tokyo`.
    """

    async def ticks() -> AsyncIterator[Event[list[Zone]]]:
        shown = None
        while True:
            now = clock.now()
            if now != shown:  # a timer may be a moment early
                shown = now
                yield Event([table.read(name, now) for name in zones], id=f"{now:%Y%m%dT%H%M%SZ}")
            await asyncio.sleep(1.001 - time() % 1)

    return EventStream(ticks())
