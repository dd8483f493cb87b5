"""A backend with its own login: it vouches for its users, who talk under their names."""

import html
import os
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware
from townsquare_client import AsyncTownsquare

USERS = {"carol": ("4711", "Carol Müller", "bread"), "dave": ("4712", "Dave Okafor", "butter")}
"""The user name, the id, the display name and the password: a table of yours."""

URL = os.environ["TOWNSQUARE_URL"]
townsquare = AsyncTownsquare(URL, key=os.environ["TOWNSQUARE_KEY"])
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SECRET_KEY", os.urandom(32).hex()))

LOGIN = """
<form method="post" action="/login">
  <label>Name <input name="user" autocomplete="username"></label>
  <label>Password <input name="password" type="password" autocomplete="current-password"></label>
  <button>Sign in</button>
</form>
<p>carol has the password bread, dave has butter.</p>
"""

TALK = """
<p>Signed in as NAME.</p>
<div id="talk"></div>
<script type="module">
  import "URL/assets/townsquare-elements.js";
  const answer = await fetch("/townsquare/session", { method: "POST" });
  const room = document.createElement("townsquare-room");
  room.setAttribute("session", (await answer.json()).session);
  room.setAttribute("room", "staff");
  document.querySelector("#talk").append(room);
</script>
"""


@app.get("/")
async def show_page(request: Request) -> HTMLResponse:
    """The login, or the room for a user who has signed in."""
    user = request.session.get("user")
    body = LOGIN
    if user is not None:
        body = TALK.replace("URL", URL).replace("NAME", html.escape(user["name"]))
    return HTMLResponse(f'<!doctype html><html lang="en"><title>Staff</title><h1>Staff</h1>{body}')


@app.post("/login")
async def log_in(request: Request) -> Response:
    """Sign in with a name and a password."""
    form = dict(parse_qsl((await request.body()).decode()))
    user_id, name, expected = USERS.get(form.get("user", ""), ("", "", ""))
    if not user_id or form.get("password") != expected:
        raise HTTPException(401, "The name or the password is wrong.")
    request.session["user"] = {"id": user_id, "name": name}
    return RedirectResponse("/", status_code=303)


@app.post("/townsquare/session")
async def townsquare_session(request: Request) -> dict[str, str]:
    """Vouches for the user who has signed in here."""
    user = request.session.get("user")
    if user is None:
        raise HTTPException(401)
    minted = await townsquare.mint_session(f"user-{user['id']}", user["name"], hours=8)
    return {"session": minted.session}


if __name__ == "__main__":
    uvicorn.run(
        app, host="localhost", port=int(os.environ.get("PORT", "8000")), log_level="warning"
    )
