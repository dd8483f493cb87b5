"""After `azd down`: removes the app registration that register_audience.py made, and only that."""

import os
from urllib.parse import quote

from azure_api import graph, run_hook, set_value

GONE = frozenset({404})


def main() -> None:
    name = os.environ.get("WEBHOOK_REGISTRATION", "")
    if not name:
        return
    api = graph()
    path = f"/v1.0/applications(uniqueName='{quote(name)}')"
    found = api.call("GET", path, accept=GONE)
    if found.status != 404:
        application = found.json["id"]
        api.call("DELETE", f"/v1.0/applications/{application}", accept=GONE)
        # A deleted registration could be restored for 30 days.
        deleted = f"/v1.0/directory/deletedItems/{application}"
        api.call("DELETE", deleted, accept=GONE)
    set_value("WEBHOOK_AUDIENCE", "")
    set_value("WEBHOOK_REGISTRATION", "")
    print(f"Removed the app registration {name}.")


if __name__ == "__main__":
    run_hook(main)
