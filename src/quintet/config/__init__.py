"""Typed settings: sections declared as structs, read from the environment, `.env` and `quintet.toml`.

`settings` declares, `load` reads, `text`, `dotenv` and `secret` are its parts. Nothing here knows HTTP or the app.
"""

from __future__ import annotations

from quintet.config.load import LoadedSettings, load_settings
from quintet.config.secret import Secret
from quintet.config.settings import AppSettings, Settings

__all__ = ["AppSettings", "LoadedSettings", "Secret", "Settings", "load_settings"]
