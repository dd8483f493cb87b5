"""The baseline of negotiate: a sync FastAPI route that calls the sync SDK."""

import os

from azure.messaging.webpubsubservice import WebPubSubServiceClient
from fastapi import FastAPI

app = FastAPI()
client = WebPubSubServiceClient.from_connection_string(
    os.environ["WEBPUBSUB_CONNECTION_STRING"], hub="townsquare"
)


@app.get("/negotiate")
def negotiate(user_id: str, room: str) -> dict[str, str]:
    """A token for one user in one room."""
    token = client.get_client_access_token(
        user_id=user_id,
        roles=["webpubsub.joinLeaveGroup.stocks"],
        groups=[f"room.{room}"],
        minutes_to_expire=60,
    )
    return {"url": token["url"], "token": token["token"], "user_id": user_id}
