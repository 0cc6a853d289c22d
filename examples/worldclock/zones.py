"""The time zones of the IANA database and what their clocks show. Nothing here knows of HTTP."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, ClassVar, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from msgspec import structs

from quintet import CSV, XML, Bounds, FieldError, Meta, Struct, ValidationError

Area = Literal[
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific", "Other"
]  # fmt: skip
AREAS: tuple[Area, ...] = get_args(Area)
NAMES = sorted(available_timezones() - {"Factory", "localtime"})

#: The name of a zone, listed in the documentation; `ZoneTable` says what is wrong with one that does not exist.
ZoneName = Annotated[str, Meta(examples=["Europe/Paris"], extra_json_schema={"enum": NAMES})]

#: What `<input type="datetime-local">` sends. Before 1973 some offsets had seconds, which RFC 3339 cannot write.
LocalTime = Annotated[
    datetime,
    Meta(examples=["2026-07-14T20:30:00"], description="Date and time on the wall, without an offset."),
    Bounds(ge=datetime(1973, 1, 1), lt=datetime(2100, 1, 1)),  # noqa: DTZ001 - local times
]


class Zone(Struct):
    """A time zone, and what its clocks show."""

    name: ZoneName
    area: Area
    city: str
    local_time: datetime
    utc_offset: Annotated[str, Meta(examples=["UTC+02:00"])]
    abbreviation: Annotated[str, Meta(examples=["CEST"])] | None
    is_dst: Annotated[bool, Meta(description="Whether daylight saving time is in force.")]


class Change(Struct):
    """The next time that the clocks of a zone change."""

    at: Annotated[datetime, Meta(description="The moment, in UTC.")]
    utc_offset: Annotated[str, Meta(description="The offset from then on.", examples=["UTC+01:00"])]


class ZoneDetail(Zone):
    """A time zone, what its clocks show, and when they change next."""

    __xml__: ClassVar = XML(name="zone")

    next_change: Change | None


class ZonePage(Struct):
    """Some of the zones that were found."""

    __xml__: ClassVar = XML(name="zones")
    #: What its HTML offers to filter by; no field, so no data.
    areas: ClassVar = AREAS

    total: Annotated[int, XML(attribute=True), Meta(description="How many zones there are on all pages.")]
    zones: Annotated[list[Zone], XML(name="zone"), CSV(rows=True)]
    previous: Annotated[str, XML(attribute=True)] | None = None
    next: Annotated[str, XML(attribute=True)] | None = None


class Conversion(Struct):
    """A local time in one zone, to be told in another."""

    when: LocalTime
    source: ZoneName
    target: Annotated[ZoneName, Meta(examples=["Asia/Tokyo"])]
    fold: Annotated[Literal["", "first", "second"], Meta(description="Which one, if clocks show it twice.")] = ""


class Converted(Struct):
    """One moment as the clocks of two zones show it."""

    source: Zone
    target: Zone
    hours_ahead: Annotated[float, Meta(description="How far the target's clocks are ahead of the source's.")]


class ZoneTable:
    """Every time zone of this machine, read once."""

    def __init__(self) -> None:
        self._zones = {name: ZoneInfo(name) for name in NAMES}

    def read(self, name: str, moment: datetime) -> Zone:
        """Return a zone with what its clocks show at a moment."""
        local = moment.astimezone(self._zones[name])
        area, _, city = name.partition("/")
        abbreviation = local.tzname() or ""
        return Zone(
            name=name,
            area=area if city and area in AREAS else "Other",
            city=(city or area).replace("_", " ").replace("/", ", "),
            local_time=local,
            utc_offset=_label(local),
            abbreviation=abbreviation if abbreviation.isalpha() else None,
            is_dst=bool(local.dst()),
        )

    def detail(self, name: str, moment: datetime) -> ZoneDetail:
        """Return a zone with its next change of clocks."""
        change = _next_change(self._zones[name], moment)
        return ZoneDetail(**structs.asdict(self.read(name, moment)), next_change=change)

    def search(self, moment: datetime, text: str, area: Area | None, utc: float | None) -> list[Zone]:
        """Return the zones whose name contains a text, in an area, by their present hours from UTC."""
        text = text.strip().replace(" ", "_").casefold()
        zones = [self.read(name, moment) for name in NAMES if text in name.casefold()]
        offset = None if utc is None else timedelta(hours=utc)
        return [z for z in zones if area in (None, z.area) and offset in (None, z.local_time.utcoffset())]

    def refusal(self, name: str) -> str | None:
        """Return what is wrong with a name, None for one that exists."""
        if name in self._zones:
            return None
        near = get_close_matches(name[:40], NAMES, 1)
        return f"There is no time zone {name[:40]!r}" + (f"; did you mean {near[0]!r}?" if near else ".")

    def check(self, source: str, /, **names: str) -> None:
        """Raise a ValidationError with every name that does not exist, by the field it is from."""
        wrong = {field: msg for field, name in names.items() if (msg := self.refusal(name))}
        if wrong:
            raise ValidationError([FieldError(loc=(source, f), msg=m, code="zone") for f, m in wrong.items()])

    def convert(self, wanted: Conversion) -> Converted:
        """Tell a local time in another zone; a ValidationError says that clocks never show it, or twice."""
        self.check("body", source=wanted.source, target=wanted.target)
        moment = _resolve(wanted.when, self._zones[wanted.source], wanted.fold)
        source, target = self.read(wanted.source, moment), self.read(wanted.target, moment)
        ahead = target.local_time.replace(tzinfo=None) - source.local_time.replace(tzinfo=None)
        return Converted(source=source, target=target, hours_ahead=ahead / timedelta(hours=1))


def _resolve(when: datetime, zone: ZoneInfo, fold: str) -> datetime:
    """Return the moment at which clocks show a time. PEP 495: a gap and a fold differ in the order of the offsets."""
    first, second = (when.replace(tzinfo=zone, fold=n).astimezone(UTC) for n in (0, 1))
    if first > second:
        message = f"Clocks in {zone.key} skip this time; did you mean {first.astimezone(zone):%H:%M}?"
        raise ValidationError([FieldError(loc=("body", "when"), msg=message, code="skipped_time")])
    if first < second and not fold:
        message = f"Clocks in {zone.key} are put back and show this time twice; say which one is meant."
        raise ValidationError([FieldError(loc=("body", "fold"), msg=message, code="repeated_time")])
    return second if fold == "second" else first


def _next_change(zone: ZoneInfo, moment: datetime) -> Change | None:
    """Find the week of the coming 13 months in which clocks change, and halve it until the second is found."""
    before, start, week = moment.astimezone(zone).utcoffset(), int(moment.timestamp()), 7 * 86400

    def is_changed(second: int) -> bool:
        return datetime.fromtimestamp(second, zone).utcoffset() != before

    for end in range(start + week, start + 57 * week, week):
        if is_changed(end):
            seconds = range(end - week, end)
            at = datetime.fromtimestamp(seconds[0] + bisect_left(seconds, True, key=is_changed), zone)
            return Change(at=at.astimezone(UTC), utc_offset=_label(at))
    return None


def _label(moment: datetime) -> str:
    return "UTC" + moment.isoformat(timespec="seconds")[19:]
