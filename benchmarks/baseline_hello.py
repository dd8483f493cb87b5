"""The baseline of the Functions host: the smallest FastAPI app."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/api/hello")
async def hello() -> dict[str, str]:
    """The same response as that of the function."""
    return {"hello": "world"}
