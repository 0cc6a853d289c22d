"""The command `quintet`: one file per command, loaded when it is used."""

from __future__ import annotations

from quintet.cli.main import main as main

__all__ = ["main"]
