from __future__ import annotations

from pathlib import Path

from quintet import App, File, NotFound, Redirect, Request, Response, Struct
from quintet.http.paths import safe_join

app = App()
PUBLIC = Path(__file__).parent / "public"


# --8<-- [start:response]
class Item(Struct):
    id: int
    name: str


@app.post("/items", status=201)
async def create(item: Item) -> Response[Item]:
    return Response(item, headers={"location": f"/items/{item.id}"})


@app.put("/items/{id}")
async def replace(id: int, item: Item) -> Response[Item]:
    return Response(item, status=201 if id > 100 else 200)


# --8<-- [end:response]


# --8<-- [start:cookies]
@app.post("/theme/{name}")
async def theme(name: str) -> Response[None]:
    response = Response(None)
    response.set_cookie("theme", name, max_age=30 * 86400, httponly=False)
    return response


@app.post("/logout")
async def logout() -> Response[None]:
    response = Response(None)
    response.delete_cookie("theme")
    return response


# --8<-- [end:cookies]


# --8<-- [start:redirect]
@app.get("/old")
async def old() -> Redirect:
    return Redirect("/new", status=308)


@app.get("/elsewhere")
async def elsewhere() -> Redirect:
    return Redirect("https://example.com/", external=True)


# --8<-- [end:redirect]


# --8<-- [start:file]
@app.get("/style")
async def style() -> File:
    return File(PUBLIC / "site.css")


@app.get("/download/{name:path}")
def download(name: str) -> File:
    return File(safe_join(PUBLIC, name), filename=Path(name).name)


# --8<-- [end:file]


# --8<-- [start:etag]
revision = "42"


@app.get("/report")
async def report() -> Response[dict[str, str]]:
    return Response({"revision": revision}, headers={"etag": f'"{revision}"'})


# --8<-- [end:etag]


# --8<-- [start:after]
log: list[str] = []


@app.get("/items/{id}")
async def show(id: int, request: Request) -> Item:
    if id > 100:
        raise NotFound(f"there is no item {id}")
    request.call_after(lambda: log.append(f"item {id} was sent"))
    return Item(id=id, name="tea")


# --8<-- [end:after]
