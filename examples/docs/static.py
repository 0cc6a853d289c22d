from __future__ import annotations

from pathlib import Path

from quintet import App

app = App()

# --8<-- [start:static]
app.static("/files", Path(__file__).parent / "public", max_age=86400)
# --8<-- [end:static]
