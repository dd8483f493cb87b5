import os

from fastapi import FastAPI, HTTPException, Request
from starlette.middleware.sessions import SessionMiddleware
from townsquare_client import AsyncTownsquare

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"], same_site="lax")
townsquare = AsyncTownsquare(os.environ["TOWNSQUARE_URL"], key=os.environ["TOWNSQUARE_KEY"])


@app.post("/townsquare/session")
async def townsquare_session(request: Request) -> dict[str, str]:
    """Vouches for the user who has signed in here."""
    user = request.session.get("user")  # your own login has put it there
    if user is None:
        raise HTTPException(401)
    minted = await townsquare.mint_session(f"user-{user['id']}", user["name"], hours=8)
    return {"session": minted.session}
