import os

from flask import Flask, abort, session
from townsquare_client import Townsquare

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SAMESITE="Lax")
townsquare = Townsquare(os.environ["TOWNSQUARE_URL"], key=os.environ["TOWNSQUARE_KEY"])


@app.post("/townsquare/session")
def townsquare_session() -> dict[str, str]:
    """Vouches for the user who has signed in here."""
    user = session.get("user")  # your own login has put it there
    if user is None:
        abort(401)
    minted = townsquare.mint_session(f"user-{user['id']}", user["name"], hours=8)
    return {"session": minted.session}
