"""Checks of the installed package, run without the source: the fixtures with Microsoft's SDK."""

import pytest
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubservice import WebPubSubServiceClient


@pytest.mark.parametrize("fixture", ["webpubsub", "webpubsub_process"])
def test_client_and_service_work_with_the_fixture(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    emulator = request.getfixturevalue(fixture)

    @emulator.on("chat", "say")
    def say(event: object) -> None: ...

    service = WebPubSubServiceClient.from_connection_string(emulator.connection_string, hub="chat")
    client = WebPubSubClient(emulator.client_url("chat", "ann"), start_timeout=2.0, ack_timeout=2.0)
    with client:
        assert service.user_exists("ann")
        client.send_event("say", "hi", "text")

    assert emulator.wait_for_event("say").text == "hi"
