# pyright: basic
from sanic import Blueprint, Sanic, json, text
from sanic.exceptions import NotFound, SanicException

app = Sanic("shop")


# --8<-- [start:routes]
@app.get("/users/<id:int>")
async def user(request, id):
    return json({"id": id, "self": app.url_for("user", id=id)})


@app.get("/search")
async def search(request):
    return json(
        {
            "q": request.args.get("q", ""),
            "tags": request.args.getlist("tags", []),
        }
    )


# --8<-- [end:routes]


# --8<-- [start:body]
@app.post("/orders")
async def create_order(request):
    data = request.json
    if not isinstance(data.get("article"), str) or not isinstance(
        data.get("quantity", 1), int
    ):
        raise SanicException("wrong order", status_code=422)
    return json(
        {"article": data["article"], "quantity": data.get("quantity", 1)},
        status=201,
    )


# --8<-- [end:body]


# --8<-- [start:listeners]
@app.before_server_start
async def open_stock(app):
    app.ctx.stock = {"tea": 3}


@app.after_server_stop
async def close_stock(app):
    app.ctx.stock.clear()


@app.get("/stock/<article>")
async def stock(request, article):
    if article not in request.app.ctx.stock:
        raise NotFound(f"no {article}")
    return json(request.app.ctx.stock[article])


# --8<-- [end:listeners]


# --8<-- [start:middleware]
@app.on_request
async def load_user(request):
    request.ctx.user = request.headers.get("x-user", "nobody")


@app.on_response
async def add_header(request, response):
    response.headers["x-app"] = "shop"


@app.get("/me")
async def me(request):
    return json({"user": request.ctx.user})


# --8<-- [end:middleware]


# --8<-- [start:blueprint]
shop = Blueprint("things", url_prefix="/shop")


@shop.get("/items")
async def items(request):
    return json(["tea", "pot"])


app.blueprint(shop)
# --8<-- [end:blueprint]


# --8<-- [start:stream]
@app.get("/poem")
async def poem(request):
    response = await request.respond(content_type="text/plain; charset=utf-8")
    await response.send("Roses are red,\n")
    await response.send("violets are blue.\n")
    await response.eof()


# --8<-- [end:stream]


# --8<-- [start:errors]
class SoldOut(Exception):
    pass


@app.exception(SoldOut)
async def sold_out(request, error):
    return json({"sold out": str(error)}, status=409)


@app.get("/buy/<article>")
async def buy(request, article):
    raise SoldOut(article)


# --8<-- [end:errors]


@app.get("/")
async def home(request):
    return text("home")
