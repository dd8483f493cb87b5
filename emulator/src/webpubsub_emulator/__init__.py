"""An emulator of Azure Web PubSub for development and tests.

    async with serve(settings=Path("appsettings.json")) as server:
        WebPubSubServiceClient.from_connection_string(server.connection_string, hub="chat")

As a command: webpubsub-emulator --help. As pytest fixtures: see pytest_webpubsub.py. README.md
lists what is emulated and what is not.

The files that use the network are those of the endpoints, server.py, websocket.py,
frame_writer.py, broadcast.py and upstream_http.py; all others can be used without it.
"""

from webpubsub_emulator._version import __version__
from webpubsub_emulator.clock import Clock, ManualClock
from webpubsub_emulator.faults import Fault
from webpubsub_emulator.server import Server, serve
from webpubsub_emulator.settings import Handler, Settings, load_settings, read_settings

__all__ = [
    "Clock",
    "Fault",
    "Handler",
    "ManualClock",
    "Server",
    "Settings",
    "__version__",
    "load_settings",
    "read_settings",
    "serve",
]
