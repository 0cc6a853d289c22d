# pyright: basic
from flask import (
    Blueprint,
    Flask,
    abort,
    g,
    redirect,
    render_template,
    request,
    url_for,
)

app = Flask(__name__)


# --8<-- [start:routes]
@app.get("/users/<int:id>")
def user(id):
    return {"id": id, "self": url_for("user", id=id)}


# --8<-- [end:routes]


# --8<-- [start:query]
@app.get("/search")
def search():
    q = request.args.get("q", "")
    try:
        page = int(request.args.get("page", "1"))
    except ValueError:
        abort(422)
    tags = request.args.getlist("tags")
    return {"q": q, "page": page, "tags": tags}


# --8<-- [end:query]


# --8<-- [start:body]
@app.post("/orders")
def create_order():
    data = request.get_json()
    article = data.get("article")
    quantity = data.get("quantity", 1)
    if not isinstance(article, str):
        abort(422)
    if not isinstance(quantity, int) or quantity < 1:
        abort(422)
    return {"article": article, "quantity": quantity}, 201


# --8<-- [end:body]


# --8<-- [start:page]
@app.get("/greet/<name>")
def greet(name):
    return render_template("greeting.html", name=name)


# --8<-- [end:page]


# --8<-- [start:form]
@app.route("/sign", methods=["GET", "POST"])
def sign():
    if request.method == "POST":
        name = request.form.get("name", "")
        if name:
            return redirect(url_for("greet", name=name), 303)
        return render_template("greeting.html", name="nobody"), 422
    return render_template("greeting.html", name="you")


# --8<-- [end:form]


# --8<-- [start:errors]
class SoldOut(Exception):
    pass


@app.errorhandler(SoldOut)
def sold_out(error):
    return {"sold out": str(error)}, 409


@app.get("/buy/<article>")
def buy(article):
    raise SoldOut(article)


# --8<-- [end:errors]


# --8<-- [start:before]
@app.before_request
def load_user():
    g.user = request.headers.get("X-User", "nobody")


@app.get("/me")
def me():
    return {"user": g.user}


# --8<-- [end:before]


# --8<-- [start:after]
@app.after_request
def add_header(response):
    response.headers["X-App"] = "shop"
    return response


# --8<-- [end:after]


# --8<-- [start:blueprint]
shop = Blueprint("shop", __name__, url_prefix="/shop")


@shop.get("/items")
def items():
    return ["tea", "pot"]


app.register_blueprint(shop)
# --8<-- [end:blueprint]
