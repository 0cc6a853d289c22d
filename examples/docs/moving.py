from __future__ import annotations

from flask import Flask, jsonify

from quintet import App, Struct

shop = Flask("shop")


@shop.get("/orders/<int:number>")
def old_order(number: int):
    return jsonify(number=number, by="Flask")


@shop.get("/prices")
def prices():
    return jsonify(tea=3)


# --8<-- [start:app]
app = App()


class Order(Struct):
    number: int
    by: str = "Quintet"


@app.get("/orders/{number}")
async def order(number: int) -> Order:
    return Order(number=number)


app.mount("/", shop)  # what no route above answers
# --8<-- [end:app]
