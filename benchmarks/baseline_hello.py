"""What the Functions host is measured against: the smallest FastAPI app."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/api/hello")
async def hello() -> dict[str, str]:
    """The same words as the function's."""
    return {"hello": "world"}
