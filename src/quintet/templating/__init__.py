"""HTML and text from Jinja2 templates: escaped everywhere, checked at start-up, rendered fast.

Importing this package is cheap; Jinja2 is loaded with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quintet.templating.checks import check_templates as check_templates
    from quintet.templating.environment import TemplateLoader as TemplateLoader
    from quintet.templating.environment import build_environment as build_environment
    from quintet.templating.templates import BlockNotFound as BlockNotFound
    from quintet.templating.templates import Templates as Templates

_MODULES = {
    "BlockNotFound": "templates",
    "TemplateLoader": "environment",
    "Templates": "templates",
    "build_environment": "environment",
    "check_templates": "checks",
}

__all__ = ["BlockNotFound", "TemplateLoader", "Templates", "build_environment", "check_templates"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
