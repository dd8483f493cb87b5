"""Azure Web PubSub on one desk: an emulator for development and tests.

    async with webpubsub.serve(settings=Path("webpubsub.json")) as server:
        WebPubSubServiceClient.from_connection_string(server.connection_string, hub="chat")

In a process of its own: webpubsub-emulator --help.

Emulated, as the service's documentation and the official emulator have it: JSON, reliable JSON
and raw WebSocket clients; groups, roles with wildcards, permissions; acknowledgements, replay
after a lost socket, streams of the JavaScript client; the REST data plane 2024-12-01 with OData
filters, message ttl and paging; event handlers over HTTP with validation, signature by both keys,
retries, connection state and cookies, reloaded while running. Beyond the official emulator: ttl
that expires, faults to order, and the limits of the Free tier.

Not emulated: MQTT, Socket.IO, protobuf clients and bodies, event listeners (Event Hubs), Entra
tokens and managed identity, Key Vault references, client certificates, anonymous clients,
invocations, group state, presence events, several instances. Nothing is kept when it stops.

server.py, websocket.py and frame_writer.py are the network; everything else opens no socket,
imports no web framework and can be used without them.
"""

from webpubsub_emulator.cloud_events import Handler
from webpubsub_emulator.server import Server, serve
from webpubsub_emulator.settings import Settings, load_settings, read_settings

__all__ = ["Handler", "Server", "Settings", "load_settings", "read_settings", "serve"]
