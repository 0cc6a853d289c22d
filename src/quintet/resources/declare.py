"""`resource(Model)`: a router with the routes of a model, made when the app freezes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, partial
from importlib import import_module
from typing import Any, Literal, Unpack

from quintet.db.shapes import View
from quintet.errors import ConfigurationError, Conflict, Forbidden, PreconditionFailed, Problem
from quintet.media.registry import registry
from quintet.resources.filters import Operator, scalar_of
from quintet.resources.handlers import HandlerMaker
from quintet.resources.operations import OWNER, Operations
from quintet.resources.pages import PageMaker, Site
from quintet.resources.pages import prepare as prepare_page
from quintet.resources.plan import ACTIONS, Action, Declaration, Plan, build_plan, segment_of
from quintet.resources.rules import RuleSet
from quintet.routing.group import Router, location
from quintet.routing.path import quote_segment
from quintet.routing.route import GroupOptions, Guard, Middleware, Route, RouteOptions

_FORMATS = ("json", "msgpack")
_POLICY: dict[str, tuple[str, ...]] = {
    "list": (),
    "create": ("obj",),
    "read": ("obj",),
    "update": ("obj", "changes"),
    "delete": ("obj",),
    "every": (),
    "visible": ("query",),
}
_HOOKS: dict[str, tuple[str, ...]] = {
    "before_create": ("obj",),
    "after_create": ("obj",),
    "before_update": ("obj", "changes"),
    "after_update": ("obj", "changes"),
    "before_delete": ("obj",),
    "after_delete": ("obj",),
}


def resource(
    model: type[Any],
    *,
    path: str | None = None,
    name: str | None = None,
    key: str | None = None,
    only: Sequence[Action] | None = None,
    exclude: Sequence[Action] = (),
    filters: Sequence[str] | Mapping[str, Sequence[Operator]] = (),
    search: Sequence[str] = (),
    sorts: Sequence[str] = (),
    order: str | Sequence[str] = (),
    pagination: Literal["page", "cursor"] = "page",
    size: int = 20,
    max_size: int = 100,
    view: View | None = None,
    bulk: int = 100,
    idempotency: Callable[..., Any] | None = None,
    policy: Any = None,
    hooks: Any = None,
    sync: bool = False,
    tags: Sequence[str] | None = None,
    guards: Sequence[Guard] = (),
    middleware: Sequence[Middleware] = (),
    **options: Unpack[GroupOptions],
) -> Resource:
    """Return the routes of a model: `app.include(resource(Article, filters=["author"], policy=ArticlePolicy))`.

    Args:
        model: the model.
        path: where its rows are; `/` and the name of its table when absent.
        name: what its routes are called in front of the dot, as in `article.list`; the table's name when absent.
        key: the column whose value is in the path; the primary key when absent, a segment for each of its columns.
        only: the actions there are: `list`, `create`, `read`, `update`, `delete`.
        exclude: the actions there are not.
        filters: columns and relations that a list may be filtered by, with the operators of each where they are named.
        search: columns of text that `?q=` looks in.
        sorts: columns that a list may be sorted by.
        order: the order where none is asked for, `-` in front of a column that descends; the key comes last.
        pagination: `page` counts pages, `cursor` goes on behind the last row and stays right while rows come and go.
        size: the rows of a part.
        max_size: the most that may be asked for.
        view: the relations that are shown too.
        bulk: the most rows that one request creates; 0 takes no lists.
        idempotency: a function that says who asks, as a text, a number or a UUID: for each of them, an
            `Idempotency-Key` makes a creation happen once. Its parameters are filled as a handler's are. The table of
            keys comes with a migration.
        policy: the class that decides who may do what; without it everyone may do everything.
        hooks: the class with what is done before and after: `before_create`, `after_update` …
        sync: whether handlers are `def`, with a `SyncSession`.
        tags: its groups in the documentation; the model's name when absent.
        guards: functions that refuse requests by raising.
        middleware: functions around its routes.
        options: anything else that a group takes, such as `produces=("html", "json", "csv")`.

    Raises:
        ConfigurationError: when the app starts, everything that does not fit.
    """
    if idempotency:
        import_module("quintet.resources.idempotency").declare_beside(model)
    table: str = getattr(model, "__tablename__", "") or model.__table__.name
    wanted = tuple(only) if only is not None else ACTIONS
    declaration = Declaration(
        model=model,
        path=path if path is not None else f"/{table}",
        name=name or table,
        key=key,
        actions=tuple(a for a in wanted if a not in exclude),
        filters=filters,
        search=search,
        sorts=sorts,
        order=(order,) if isinstance(order, str) else tuple(order),
        pagination=pagination,
        size=min(size, max_size),
        max_size=max_size,
        view=view,
        bulk=bulk,
        idempotency=idempotency,
        produces=tuple(options.get("produces", _FORMATS)),
        accepts=tuple(options.get("accepts", _FORMATS)),
        policy=policy,
        hooks=hooks,
        sync=sync,
        where=location(),
    )
    group = Resource(
        declaration.path,
        name=declaration.name,
        tags=[model.__name__] if tags is None else tags,
        guards=guards,
        middleware=middleware,
        **options,
    )
    group.declaration = declaration
    return group


class Resource(Router):
    """The routes of a model. They are made when the app freezes: then all models are known."""

    declaration: Declaration
    plan: Plan | None = None
    #: The attributes whose values are in the path.
    keys: tuple[str, ...] = ()

    @cached_property
    def templates(self) -> dict[str, str]:
        """The templates of its pages, by kind, where they are not the usual ones; set by the plugin."""
        return {}

    def flatten(self) -> Iterable[Route]:
        """Yield the routes; the first time makes them.

        Raises:
            ConfigurationError: everything that does not fit in its declaration.
        """
        self.build()
        return super().flatten()

    def build(self) -> None:
        """Make the routes, once.

        Raises:
            ConfigurationError: everything that does not fit in its declaration.
        """
        if self.plan is not None:
            return
        said = self.declaration
        label = f"resource({said.model.__name__})"
        formats = dict.fromkeys([*said.produces, *said.accepts])
        problems = [
            Problem(id="resources.action", message=f"{label} has no action {a!r}; there are {', '.join(ACTIONS)}",
                    where=said.where)
            for a in said.actions if a not in ACTIONS
        ]  # fmt: skip
        problems += [_no_format(name, label, said.where) for name in formats if name not in registry]
        policy = RuleSet(said.policy, _POLICY, "a policy", sync=said.sync, where=said.where)
        hooks = RuleSet(said.hooks, _HOOKS, "hooks", sync=said.sync, where=said.where)
        owner = RuleSet(_owner(said, problems), {OWNER: ()}, label, sync=said.sync, where=said.where)
        problems += [*policy.problems, *hooks.problems, *owner.problems, *_silence(said, policy)]
        try:
            plan = build_plan(said)
        except ConfigurationError as error:
            raise ConfigurationError([*problems, *error.problems]) from None
        if problems:
            raise ConfigurationError(problems)
        self.plan, self.keys = plan, tuple(plan.keys)
        self._register(plan, Operations(plan, policy, hooks, owner))

    def _register(self, plan: Plan, operations: Operations) -> None:
        said = plan.declaration
        site, prepare = None, None
        if "html" in said.produces:
            # Keys of numbers, and those of several parts, have no row `new`; texts might.
            is_text = [scalar_of(tp) for tp in plan.keys.values()] == [str]
            site = Site(plan, self.locate, self.base, "/-/new" if is_text else "/new")
            prepare = partial(prepare_page, site)
        make = HandlerMaker(operations, self.locate, prepare)
        one = "".join(f"/{{{name}}}" for name in plan.keys)
        routes: dict[Action, tuple[str, str, Callable[[], Callable[..., Any]], tuple[str, ...]]] = {
            "list": ("", "GET", make.list, said.produces),
            "create": ("", "POST", make.create, said.data_formats),
            "read": (one, "GET", make.read, said.data_formats if site is None else said.produces),
            "update": (one, "PATCH", make.update, said.data_formats),
            "delete": (one, "DELETE", make.delete, said.data_formats),
        }
        for action in said.actions:
            path, method, build, produces = routes[action]
            options: RouteOptions = {"produces": produces, "accepts": said.accepts, **_documented(plan, action)}
            if "html" in produces:
                options["template"] = self.template("list" if action == "list" else "detail")
            self.route(path, (method,), **options)(build())
        if site is not None:
            self._register_pages(PageMaker(make, site), site, one)

    def _register_pages(self, make: PageMaker, site: Site, one: str) -> None:
        pages: dict[str, tuple[str, str, str, Callable[[], Callable[..., Any]]]] = {
            "create": ("new", site.new_path, "form", make.new),
            "update": ("edit", f"{one}/edit", "form", make.edit),
            "delete": ("confirm", f"{one}/delete", "delete", make.delete),
        }
        for action in self.declaration.actions:
            if action in pages:
                name, path, template, build = pages[action]
                options: RouteOptions = {"name": name, "template": self.template(template), "include_in_schema": False}
                options["produces"], options["accepts"] = ("html",), ("form", "multipart")
                self.page(path, **options)(build())

    def template(self, kind: str) -> str:
        """Return the name of the template of a page: `list`, `detail`, `form` or `delete`."""
        return self.templates.get(kind, f"resources/{kind}.html")

    def locate(self, row: Any) -> str:
        """Return the path of a row."""
        assert self.plan is not None
        return self.base + "".join(f"/{quote_segment(segment_of(value))}" for value in self.plan.key_of(row))

    @property
    def base(self) -> str:
        """The path in front of its routes, with the prefixes of the groups around it, as links have it."""
        return quote_segment(_prefix(self), rest=True)


def _documented(plan: Plan, action: Action) -> RouteOptions:
    """Return what the documentation says of an action beyond its signature."""
    responses: dict[int, Any] = {409: Conflict} if action in ("create", "update", "delete") else {}
    if plan.versioned and action in ("update", "delete"):
        responses[412] = PreconditionFailed
    if plan.declaration.policy is not None:
        responses[403] = Forbidden
    headers: dict[str, Any] = {}
    if action == "create":
        headers["Location"] = {"description": "Where the new row is.", "schema": {"type": "string"}}
    if plan.versioned and action in ("create", "read", "update"):
        headers["ETag"] = {"description": "The version of the row.", "schema": {"type": "string"}}
    status = 201 if action == "create" else 200
    options: RouteOptions = {"responses": responses}
    if action == "create":
        options["status"] = status
    if headers:
        options["openapi"] = {"responses": {str(status): {"headers": headers}}}
    return options


def _prefix(group: Any) -> str:
    for parent in group.parents:
        between = next((prefix for prefix, child in parent.children if child is group), "")
        return _prefix(parent) + between + group.prefix
    return group.prefix


def _no_format(name: str, label: str, where: str) -> Problem:
    known = [media_type.name for media_type in registry]
    near = get_close_matches(name, known, 1)
    return Problem(
        id="resources.format",
        message=f"{label}: there is no media type {name!r}; there are {', '.join(known)}",
        where=where,
        fix=f"did you mean {near[0]!r}?" if near else "write one of these, or register yours in quintet.media.registry",
    )


def _owner(said: Declaration, problems: list[Problem]) -> dict[str, Any] | None:
    """Return the function that says whose an idempotency key is, as a rule. A request alone does not say so."""
    if not said.idempotency:
        return None
    if callable(said.idempotency):
        return {OWNER: said.idempotency}
    problems.append(
        Problem(
            id="resources.idempotency",
            message=f"resource({said.model.__name__}): idempotency={said.idempotency!r} does not say whose a key is: "
            "one user could be answered what was created for another",
            where=said.where,
            fix="idempotency=owner, with `def owner(user: CurrentUser) -> int: return user.id`, or whatever tells "
            "those who ask apart; its parameters are filled as a handler's are",
        )
    )
    return None


def _silence(said: Declaration, policy: RuleSet) -> list[Problem]:
    """Return the actions that a policy says nothing of: to leave one out by mistake must not let everyone in."""
    if said.policy is None or "every" in policy.rules:
        return []
    missing = [a for a in said.actions if a not in policy.rules]
    if not missing:
        return []
    return [
        Problem(
            id="resources.policy",
            message=f"{policy.label} says nothing of {', '.join(missing)}, which resource({said.model.__name__}) has",
            where=said.where,
            fix=f"write `def {missing[0]}(self) -> bool`, or `every` for all that have none; or leave the action out "
            f"with exclude={missing!r}",
        )
    ]
