"""`quintet check`: everything that is wrong with an app, and with `--deploy` what is risky in production."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from quintet.cli._serving import has_database, start_or_exit
from quintet.cli.dev import is_own_address
from quintet.cli.load import load_own_app
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.db.database import Database
    from quintet.db.engines import Engines

#: A body limit beyond which a route should say why.
_LARGE = 100 * 1024 * 1024


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, with how serious it is."""

    level: Literal["error", "warning"]
    id: str
    message: str
    where: str = ""
    fix: str = ""

    def text(self) -> str:
        """Return it for people."""
        where = f"{self.where}: " if self.where else ""
        fix = f"\n    fix: {self.fix}" if self.fix else ""
        return f"{self.level}: {where}{self.message} [{self.id}]{fix}"


@click.command("check")
@click.argument("target", required=False)
@click.option("--deploy", is_flag=True, help="Check what matters in production too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(target: str | None, deploy: bool, as_json: bool) -> None:
    """Check TARGET (FILE.py or module:app). The exit code is 1 where there are errors; warnings do not count."""
    findings = check(target, deploy=deploy)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        for finding in findings:
            click.echo(finding.text())
        click.echo(_summary(findings))
    if any(f.level == "error" for f in findings):
        raise SystemExit(1)


def check(target: str | None, *, deploy: bool = False) -> list[Finding]:
    """Load and freeze an app and run its checks; return all that was found."""
    try:
        app: Application = start_or_exit(lambda: load_own_app(target))
    except ConfigurationError as exc:
        return errors(exc.problems)
    findings: list[Finding] = []
    try:
        start_or_exit(lambda: app.dispatcher)
    except ConfigurationError as exc:
        findings += errors(exc.problems)
    findings += _check_settings() + _check_commands(app)
    for function in app.checks:
        findings += errors(start_or_exit(function))
    if deploy:
        findings += check_deployment(app)
    elif not findings and has_database(app):
        from quintet.db.migrations.glance import look

        findings += [_warning(p.id, p.message, p.where, p.fix) for p in start_or_exit(lambda: look(app))]
    return list(dict.fromkeys(findings))


def _check_settings() -> list[Finding]:
    """Return what is wrong with the settings that the app itself does not read: those of its server and its log."""
    from quintet.config import load_settings
    from quintet.observability.settings import LogSettings
    from quintet.server.certificates import TLSSettings
    from quintet.server.settings import ServerSettings

    try:
        load_settings(ServerSettings, LogSettings, TLSSettings)
    except ConfigurationError as exc:
        return errors(exc.problems)
    return []


def _check_commands(app: Application) -> list[Finding]:
    from quintet.cli.custom import command_names, find_command
    from quintet.cli.main import COMMANDS

    found: list[Finding] = []
    names = command_names(app)
    for name in dict.fromkeys(names):
        if name in COMMANDS or names.count(name) > 1:
            taken = "Quintet's own" if name in COMMANDS else "another of the app"
            message = f"the command {name!r} cannot be reached, because {taken} has its name"
            found.append(_error("commands.name", message, "", 'give it another name: @app.command("name")'))
            continue
        try:
            find_command(app, name)
        except ConfigurationError as exc:
            found += errors(exc.problems)
    return found


def errors(problems: Sequence[Problem]) -> list[Finding]:
    """Return problems as findings."""
    return [Finding(level="error", id=p.id, message=p.message, where=p.where, fix=p.fix) for p in problems]


def check_deployment(app: Application) -> list[Finding]:
    """Return what is risky about an app in production."""
    checks = (
        _check_hosts, _check_https, _check_headers, _check_docs, _check_limits, check_resources, check_databases,
        _check_migrations,
    )  # fmt: skip
    return [finding for one in checks for finding in one(app)] + _check_environment()


def _error(id: str, message: str, where: str, fix: str) -> Finding:
    return Finding(level="error", id=id, message=message, where=where, fix=fix)


def _warning(id: str, message: str, where: str, fix: str) -> Finding:
    return Finding(level="warning", id=id, message=message, where=where, fix=fix)


def _check_hosts(app: Application) -> list[Finding]:
    allowed = app.hosts.allowed
    if not allowed:
        fix = 'App(allowed_hosts=["example.com"])'
        return [_error("deploy.hosts", "every well-formed Host is served", "allowed_hosts", fix)]
    if "*" in allowed:
        return [_error("deploy.hosts", "'*' serves every Host", "allowed_hosts", "name the hosts, or `.example.com`")]
    return []


def check_resources(app: Application) -> list[Finding]:
    """Row E19, for resources: those that nothing keeps anybody from changing."""
    from quintet.resources.plugin import resources_of

    found: list[Finding] = []
    for resource in resources_of(app):
        said = resource.declaration
        open_to_all = [
            item.method
            for item in app.compiled
            if item.route is not None and item.route.where == said.where and item.plan is not None
            and item.method in ("POST", "PATCH", "DELETE") and not item.plan.guards
        ]  # fmt: skip
        if said.policy is None and open_to_all:
            methods = ", ".join(dict.fromkeys(open_to_all))
            message = f"everybody may change the rows of resource({said.model.__name__}): {methods}"
            fix = "policy=…, or guards=[…]; a policy whose `every` returns True says that it is meant"
            found.append(_warning("deploy.policy", message, said.where, fix))
    return found


def check_databases(app: Application) -> list[Finding]:
    """Row E15, as far as URLs tell it: encryption beyond this machine, passwords, and who connects."""
    found: list[Finding] = []
    databases: dict[str, Database] = app.state.get("quintet.db", {})
    for database in databases.values():
        for engines in (database.primary, *database.replicas):
            found += _check_database(engines, str(database.name))
    return list(dict.fromkeys(found))


def _check_database(engines: Engines, where: str) -> list[Finding]:
    url, query = engines.url, engines.url.query
    found: list[Finding] = []
    if url.username in _SUPERUSERS:
        message = f"the app connects as {url.username}, who may do everything on the server"
        found.append(_warning("deploy.database_user", message, where, "make a user that owns this database alone"))
    if engines.kind == "sqlite" or not url.host or is_own_address(url.host):
        return found
    encrypts = query["sslmode"] in _ENCRYPTING if "sslmode" in query else any(key.startswith("ssl") for key in query)
    if not encrypts and engines.tls.mode not in ("require", "verify"):
        message = f"nothing makes the connection to {url.host} encrypted"
        fix = 'DATABASE_TLS=verify, or Database(tls=TLS(mode="verify"))'
        found.append(_error("deploy.database_tls", message, where, fix))
    if not url.password and not any(key in query for key in ("sslcert", "ssl_cert")):
        message = f"the URL has no password for {url.host}"
        found.append(_warning("deploy.database_password", message, where, "give the user one, and the URL"))
    return found


_SUPERUSERS = ("postgres", "root", "system", "sys")
#: What libpq calls encryption that is not given up.
_ENCRYPTING = ("require", "verify-ca", "verify-full")


def _check_migrations(app: Application) -> list[Finding]:
    """Row E14: revisions that were not applied or half applied, and models that differ from the database."""
    if not has_database(app):
        return []
    from quintet.db.migrations.plugin import targets_of
    from quintet.db.migrations.review import review

    return errors([problem for target in targets_of(app) for problem in review(target)])


def _check_https(app: Application) -> list[Finding]:
    value = app.security.strict_transport_security
    fix = 'App(security=SecurityHeaders(strict_transport_security="max-age=31536000; includeSubDomains"))'
    if not value:
        return [_warning("deploy.hsts", "browsers are not told to use HTTPS alone", "security", fix)]
    pairs = (part.strip().partition("=") for part in value.split(";"))
    age = next((v.strip('"') for n, _, v in pairs if n.lower() == "max-age"), "")
    if not age.isdigit() or int(age) < 31536000:
        return [_error("deploy.hsts", f"{value!r} is less than a year", "security.strict_transport_security", fix)]
    return []


def _check_headers(app: Application) -> list[Finding]:
    policy = app.security.content_security_policy
    where = "security.content_security_policy"
    if not policy:
        return [_error("deploy.csp", "pages have no Content-Security-Policy", where, "leave the default")]
    words = policy.replace(";", " ").split()
    wrong = [word for word in ("'unsafe-inline'", "'unsafe-eval'", "*") if word in words]
    if wrong:
        fix = "serve scripts and styles as files of the app"
        return [_error("deploy.csp", f"the Content-Security-Policy allows {', '.join(wrong)}", where, fix)]
    return []


def _check_docs(app: Application) -> list[Finding]:
    plugin: Any = app.plugins.get("openapi")
    if plugin is None or getattr(plugin, "docs", None) == "public" or getattr(plugin, "protect", None) is not None:
        return []
    message = "everybody can read the documentation of the API"
    return [_warning("deploy.docs", message, "docs", 'App(docs="public") if that is meant, or App(docs=False)')]


def _check_limits(app: Application) -> list[Finding]:
    found: list[Finding] = []
    for name in msgspec.structs.fields(app.limits):
        value = getattr(app.limits, name.name)
        if not math.isfinite(value) or value <= 0:
            fix = "give a number"
            found.append(_error("deploy.limits", f"{name.name}={value!r} is no bound", f"limits.{name.name}", fix))
    for item in app.compiled:
        if item.route is not None and (item.max_body or 0) > _LARGE:
            message = f"{item.method} {item.route.path} takes bodies of {item.max_body} bytes"
            found.append(_warning("deploy.body", message, item.route.where, "lower max_body=, if that is not meant"))
    return found


def _check_environment() -> list[Finding]:
    if os.environ.get("QUINTET_DEV"):
        message = "QUINTET_DEV is set: templates and errors behave as in development"
        return [_error("deploy.dev", message, "environment", "unset it")]
    return []


def _summary(findings: list[Finding]) -> str:
    count = sum(f.level == "error" for f in findings)
    warnings = len(findings) - count
    if not findings:
        return "No problems found."
    return f"{count} {'error' if count == 1 else 'errors'}, {warnings} {'warning' if warnings == 1 else 'warnings'}"
