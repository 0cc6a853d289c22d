"""What differs from one installation to the next, beside the database's own `DATABASE_URL`."""

from __future__ import annotations

from typing import Annotated

from quintet import Meta, Settings


class HelpdeskSettings(Settings, section="helpdesk"):
    """Read from `HELPDESK_…`, or from `[helpdesk]` in quintet.toml."""

    #: The folder of attachments.
    uploads: str = "uploads"
    #: Tickets on a page of the list.
    page_size: Annotated[int, Meta(ge=5, le=200)] = 24
