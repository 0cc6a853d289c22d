"""Where the content of attachments is: a folder, with a name of our own for each file."""

from __future__ import annotations

from pathlib import Path

from quintet import Upload
from quintet.db import uuid7

from .models import Attachment


class FileStore:
    """The folder of attachments."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    async def add(self, upload: Upload) -> Attachment:
        """Save a file and return its row.

        The file comes first: where the row is not saved after all, a file that nobody knows is left, and never a row
        without its file.
        """
        stored_as = uuid7().hex
        await upload.save(self.folder / stored_as)
        return Attachment(
            name=upload.filename, media_type=upload.content_type[:100], size=upload.size, stored_as=stored_as
        )

    def path(self, attachment: Attachment) -> Path:
        """Return where the content of an attachment is."""
        return self.folder / attachment.stored_as
