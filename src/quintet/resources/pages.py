"""The HTML pages of a resource: what their templates see, and the handlers of its forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union, cast
from urllib.parse import quote, urlencode

import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from quintet.db.shapes import New, columns_of, shape_of
from quintet.db.translate import answer_to
from quintet.errors import FieldError, ValidationError
from quintet.handlers.params import Form, Patch
from quintet.http.request import Request
from quintet.http.response import Page, Redirect
from quintet.resources.fields import Field, field_of, form_fields, label_of, plain, text_of, yes_or_no
from quintet.resources.handlers import HandlerMaker, Locate
from quintet.resources.plan import Plan, shown_columns
from quintet.schema.describe import describe

_WORDS = {
    "eq": "", "ne": "is not", "lt": "below", "lte": "up to", "gt": "above", "gte": "from", "in": "is one of",
    "is_null": "is empty", "contains": "contains", "startswith": "begins with",
}  # fmt: skip


@dataclass
class Site:
    """A resource as its pages see it: its addresses, columns and fields."""

    plan: Plan
    locate: Locate
    #: The path of the list.
    home: str
    #: The path of the form for a new row, below the list.
    new_path: str

    @property
    def title(self) -> str:
        """The name of the model, for people."""
        return label_of(self.plan.declaration.name)

    def can(self, action: str) -> bool:
        """Tell whether the resource has an action."""
        return action in self.plan.declaration.actions

    @cached_property
    def columns(self) -> list[Field]:
        """The columns that are shown."""
        relations = [
            r.partition(".")[0] for r in (self.plan.declaration.view.relations if self.plan.declaration.view else ())
        ]
        names = [*shown_columns(self.plan.model), *dict.fromkeys(relations)]
        return [Field(name=name, label=label_of(name)) for name in names]

    @cached_property
    def fields(self) -> list[Field]:
        """The fields of its form."""
        return form_fields(self.plan.model)

    @property
    def field_names(self) -> list[str]:
        """The names of the fields of its form."""
        return [f.name for f in self.fields]

    @cached_property
    def starts(self) -> dict[str, str]:
        """What its form for a new row begins with: defaults that are plain values; others are made when it is saved."""
        columns = columns_of(self.plan.model)
        defaults: dict[str, Any] = {f.name: columns[f.name][1].default for f in self.fields if f.type != "password"}
        return {name: text_of(default.arg) for name, default in defaults.items() if default and default.is_scalar}

    @cached_property
    def filters(self) -> list[Field]:
        """The fields of the form above a list."""
        found: list[Field] = []
        for item in self.plan.filters.values():
            node, _ = plain(describe(item.type))
            one = field_of(item.parameter, node, required=False)
            if one is not None:
                one = msgspec.structs.replace(one, label=f"{label_of(item.field)} {_WORDS[item.operator]}".strip())
            if one is not None and one.element == "checkbox":
                one = yes_or_no(one.name, one.label)
            if one is not None:
                found.append(one)
        return found

    def name_of(self, row: Any) -> str:
        """Return what a row is called: its name or title where it has one, otherwise its key."""
        for name in ("title", "name", "subject", "label"):
            value = getattr(row, name, None)
            if isinstance(value, str) and value:
                return value
        return f"{self.title} {' '.join(map(text_of, self.plan.key_of(row)))}"

    def url(self, row: Any = None, page: str = "") -> str:
        """Return the address of a row, of a page about it (`edit`, `delete`), or of the list."""
        return f"{self.locate(row)}{f'/{page}' if page else ''}" if row is not None else self.home

    @property
    def new_url(self) -> str:
        """The address of the form for a new row."""
        return self.home + self.new_path

    def text(self, value: Any) -> str:
        """Return a value as a cell shows it."""
        if isinstance(value, list):
            return ", ".join(self.text(v) for v in cast("list[Any]", value))
        if isinstance(value, msgspec.Struct):
            fields = value.__struct_fields__
            named = next((n for n in ("title", "name", "subject", "label", "email", "id") if n in fields), None)
            return text_of(getattr(value, named)) if named else type(value).__name__
        if isinstance(value, bool):
            return "Yes" if value else "No"
        return text_of(value)


@dataclass
class ListPage:
    """What the template of a list sees beside the rows, as `request.state.page`."""

    site: Site
    request: Request
    params: Any
    #: The cursor of the next part.
    next: str | None = None
    #: Whether there is a next page.
    more: bool = False

    def value(self, name: str) -> str:
        """Return what was asked for in a parameter."""
        given = self.request.query.get(name, "")
        return given if isinstance(given, str) else given[0]

    def link(self, **changes: Any) -> str:
        """Return the address of this list with other parameters; None leaves one out."""
        query: dict[str, Any] = {name: value for name, value in self.request.query.items() if value != ""}
        query = {name: value for name, value in {**query, **changes}.items() if value is not None}
        text = urlencode(query, doseq=True)
        return f"{quote(self.request.path)}{f'?{text}' if text else ''}"

    def sorting(self, name: str) -> tuple[str, str] | None:
        """Return where a click on a column's head leads, and how the list is sorted by it; None where it cannot be."""
        if name not in self.site.plan.choices:
            return None
        asked = self.params.sort or list(self.site.plan.declaration.order)
        state = "ascending" if name in asked else "descending" if f"-{name}" in asked else "none"
        target = f"-{name}" if state == "ascending" else name
        return self.link(sort=target, page=None, cursor=None), state

    @property
    def by_cursor(self) -> bool:
        """Whether the list goes on by cursors."""
        return self.site.plan.declaration.pagination == "cursor"

    @property
    def filtered(self) -> bool:
        """Whether the list is filtered."""
        return any(self.value(f.name) for f in self.site.filters)

    @property
    def next_url(self) -> str:
        """The address of what comes next; empty where nothing does."""
        if self.by_cursor:
            return self.link(cursor=self.next) if self.next else ""
        return self.link(page=self.params.page + 1) if self.more else ""

    @property
    def previous_url(self) -> str:
        """The address of the page before, with cursors that of the beginning; empty where there is none."""
        if self.by_cursor:
            return self.link(cursor=None) if self.params.cursor else ""
        return self.link(page=self.params.page - 1) if self.params.page > 1 else ""


class PageMaker:
    """Makes the handlers of a resource's forms."""

    def __init__(self, maker: HandlerMaker, site: Site) -> None:
        self.maker = maker
        self.site = site
        self.plan = maker.plan
        self.work = maker.operations

    def new(self) -> Callable[..., Any]:
        """Return the page with the form for a new row."""
        work, site, columns = self.work, self.site, columns_of(self.plan.model)

        async def run(db: Any, injected: Any, form: Any) -> Any:
            if not form.submitted:
                form.values = dict(site.starts)
            elif form.valid:
                row = form.data
                for name in site.starts:
                    if form.values.get(name) == "" and columns[name][1].nullable:
                        setattr(row, name, None)  # its default was seen, and taken away
                if await _attempt(db, form, work.create(db, [row], injected, many=False)):
                    return Redirect(site.url(row))
            return Page(form=form, site=site, row=None)

        parameters = {"form": Form[New[self.plan.model]]}
        return self.maker.make("new", parameters, Page | Redirect, run, ("create", "before_create", "after_create"), "")

    def edit(self) -> Callable[..., Any]:
        """Return the page with the form of a row."""
        work, site = self.work, self.site

        async def run(db: Any, injected: Any, request: Request, key: Any, form: Any) -> Any:
            row = await work.find(db, key, injected)
            if request.method != "POST":
                await work.allow("update", injected, obj=row, changes=Patch[Any]({}))
                names = [f.name for f in site.fields] + (["version"] if self.plan.versioned else [])
                form.values = {name: text_of(getattr(row, name)) for name in names}
            elif form.valid:
                changes = _changes(form, site.plan.model)
                version = changes.changes.pop("version", None)
                known = {name: getattr(row, name) for name in (*self.plan.keys, *shown_columns(self.plan.model))}
                if not form.errors and await _attempt(db, form, work.update(db, key, changes, version, injected)):
                    return Redirect(site.url(row))
                row = _Known(known)
            return Page(form=form, site=site, row=row)

        shape = shape_of(self.plan.model, "patch")
        extra = [("version", Union[int, msgspec.UnsetType], msgspec.UNSET)] if self.plan.versioned else []  # noqa: UP007 - made at run time
        kind = msgspec.defstruct(
            f"{self.plan.model.__name__}Edit", extra, bases=(shape,), kw_only=True, forbid_unknown_fields=True
        )
        parameters = {"request": Request, **self.plan.keys, "form": Form[kind]}
        rules = ("update", "visible", "before_update", "after_update")
        return self.maker.make("edit", parameters, Page | Redirect, run, rules, "")

    def delete(self) -> Callable[..., Any]:
        """Return the page that asks whether a row shall go."""
        work, site = self.work, self.site

        async def run(db: Any, injected: Any, request: Request, key: Any, form: Any) -> Any:
            if request.method == "POST" and form.valid:
                await work.delete(db, key, form.data.version, injected)
                return Redirect(site.home)
            row = await work.find(db, key, injected)
            await work.allow("delete", injected, obj=row)
            return Page(form=form, site=site, row=row)

        parameters = {"request": Request, **self.plan.keys, "form": Form[_Deletion]}
        rules = ("delete", "visible", "before_delete", "after_delete")
        return self.maker.make("delete", parameters, Page | Redirect, run, rules, "")


class _Deletion(msgspec.Struct, forbid_unknown_fields=True):
    version: int | None = None


class _Known:
    """What was read of a row whose transaction has been rolled back since."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__ |= values


def _changes(form: Form[Any], model: type[Any]) -> Patch[Any]:
    """Return what a form changes; a field that was emptied is None, or wrong where it cannot be."""
    data, columns = form.data, columns_of(model)
    changes: dict[str, Any] = {}
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if value is not msgspec.UNSET:
            changes[name] = value
        elif form.values.get(name) == "" and name in columns:
            changes[name] = None
            if not columns[name][1].nullable:
                form.errors = [*form.errors, FieldError(loc=("body", name), msg=_REQUIRED, code="missing")]
    return Patch(changes)


_REQUIRED = "This value is required."


async def _attempt(db: Any, form: Form[Any], work: Any) -> bool:
    """Do something; where a constraint or another's change refuses it, say so in the form."""
    try:
        await work
    except ValidationError as error:
        errors = error.errors or [FieldError(loc=("body",), msg=error.detail, code="conflict")]
    except (DBAPIError, StaleDataError) as error:
        answer = answer_to(error, db.sync_session)
        if not isinstance(answer, ValidationError):
            raise
        errors = answer.errors or [FieldError(loc=("body",), msg=answer.detail, code="conflict")]
    else:
        return True
    await db.rollback()
    form.errors = errors
    return False


def prepare(site: Site, request: Request, params: Any, result: Any) -> None:
    """Leave for the template of a list what it needs beside the rows."""
    request.state.page = ListPage(
        site, request, params, next=getattr(result, "next", None), more=getattr(result, "more", False)
    )
