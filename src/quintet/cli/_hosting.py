"""The options of `run` and `dev` for apps that are not Quintet's: they are settings, which child processes inherit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])


def hosting_options(command: C) -> C:
    """Add `--interface`, `--factory` and `--root-path`; the command itself does not see them."""
    for option in (
        click.option("--root-path", help="Where another framework's app is for its clients, when a proxy removes that "
                     "prefix.", expose_value=False, callback=_remember),
        click.option("--factory", is_flag=True, default=None, help="TARGET names a function that makes the app.",
                     expose_value=False, callback=_remember),
        click.option("--interface", type=click.Choice(["auto", "asgi", "wsgi"]),
                     help="How to call another framework's app.  [default: auto]", expose_value=False,
                     callback=_remember),
    ):  # fmt: skip
        command = option(command)
    return command


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    del ctx
    if value is not None:
        os.environ[f"HOSTED_{str(param.name).upper()}"] = str(value).lower() if isinstance(value, bool) else value
