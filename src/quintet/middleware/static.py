"""Static files: the handler behind `app.static`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quintet.errors import ConfigurationError, NotFound, Problem
from quintet.http.file import File
from quintet.http.paths import safe_join


def static_handler(folder: Path, max_age: int, where: str) -> Callable[..., File]:
    """Return the handler that answers the files of a folder.

    Raises:
        ConfigurationError: the folder does not exist.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise ConfigurationError(
            Problem(
                id="static.folder",
                message=f"the folder {str(folder)!r} does not exist",
                where=where,
                fix="create it; a relative folder is looked for beside the file that makes the app",
            )
        )
    cache = f"public, max-age={max_age}"

    def static(path: str) -> File:
        """Answer one file."""
        target = safe_join(root, path)
        if not target.is_file():
            raise NotFound
        return File(target, inline=True, headers={"cache-control": cache})

    return static
