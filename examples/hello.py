from quintet import App

app = App()


@app.get("/hello/{name}")
async def hello(name: str, times: int = 1) -> dict[str, str]:
    """Greet someone."""
    return {"message": "Hello, " + ", ".join([name] * times)}
