from __future__ import annotations

from quintet import (
    HTML,
    App,
    Limits,
    ProxyPolicy,
    Request,
    Response,
    SecurityHeaders,
)

# --8<-- [start:app]
app = App(
    allowed_hosts=["example.com", ".shop.example", "testserver"],
    proxies=ProxyPolicy(["10.0.0.0/8", "127.0.0.1"]),
    limits=Limits(body=1_000_000, header_count=50),
    security=SecurityHeaders(
        content_security_policy="default-src 'self'; img-src 'self' https://img.example",
        strict_transport_security="max-age=31536000",
    ),
)
# --8<-- [end:app]


@app.get("/")
async def home() -> HTML:
    return HTML("<h1>Home</h1>")


# --8<-- [start:response]
@app.get("/embedded")
async def embedded() -> Response[HTML]:
    return Response(
        HTML("<p>a widget for other sites"),
        headers={
            "content-security-policy": "frame-ancestors https://partner.example"
        },
    )


# --8<-- [end:response]


# --8<-- [start:client]
@app.get("/client")
async def client(request: Request) -> dict[str, str]:
    return {
        "client": request.client,
        "scheme": request.scheme,
        "host": request.host,
    }


# --8<-- [end:client]
