from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

from quintet import App, Meta, Struct, Upload

app = App()
FOLDER = Path(mkdtemp())


# --8<-- [start:one]
@app.post("/photos", max_body=10_000_000)
async def photo(picture: Upload) -> dict[str, object]:
    await picture.save(FOLDER / picture.filename, overwrite=True)
    return {
        "name": picture.filename,
        "type": picture.content_type,
        "size": picture.size,
    }


# --8<-- [end:one]


# --8<-- [start:many]
@app.post("/albums")
async def album(
    pictures: list[Upload], cover: Upload | None = None
) -> dict[str, object]:
    return {
        "pictures": [p.filename for p in pictures],
        "cover": cover is not None,
    }


# --8<-- [end:many]


# --8<-- [start:fields]
class Document(Struct):
    title: Annotated[str, Meta(min_length=1)]
    file: Upload


@app.post("/documents", accepts=("multipart",))
async def document(document: Document) -> dict[str, object]:
    text = await document.file.read()
    return {"title": document.title, "words": len(text.split())}


# --8<-- [end:fields]
