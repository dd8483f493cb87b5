"""Before the deployment: waits until the app's identity may read the storage account.

The platform stores the package with the app's identity. A role assignment takes effect some time
after it was made; until then the upload fails with 403 (github.com/Azure/azure-dev/issues/8026).
Nobody but the identity can see whether it has taken effect, so the hook waits until the assignments
are ROLE_WAIT_SECONDS old (default 120). Later deployments do not wait.
"""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure_api import SETTLING, ResourceManager, repeat, require, run_hook

WAIT_SECONDS = float(os.environ.get("ROLE_WAIT_SECONDS", "120"))

NEEDED_ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
}


def main() -> None:
    storage = require("STORAGE_ID")
    manager = ResourceManager()
    path = f"{storage}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01"
    problem = ""

    def attempt() -> float | None:
        nonlocal problem
        response = manager.call("GET", path, retry=SETTLING)
        assignments = [one["properties"] for one in response.json["value"]]
        mine = [one for one in assignments if one["scope"].lower() == storage.lower()]
        given = {one["roleDefinitionId"].rpartition("/")[2].lower() for one in mine}
        missing = [name for role, name in NEEDED_ROLES.items() if role not in given]
        age = min((_age(one["createdOn"], response.headers) for one in mine), default=0.0)
        if missing:
            problem = f"{' and '.join(missing)} on the storage account is not assigned yet"
        elif age < WAIT_SECONDS:
            problem = f"roles take effect up to {WAIT_SECONDS:.0f} s after their assignment"
        else:
            return age
        return None

    age = repeat("the roles of the app", attempt, lambda: problem)
    print(f"The roles of the app were assigned {age:.0f} s ago.")


def _age(created: str, headers: Any) -> float:
    """Seconds since an assignment, by the clock of the service that made it."""
    now = parsedate_to_datetime(headers["date"]) if "date" in headers else None
    return ((now or datetime.now(UTC)) - datetime.fromisoformat(created)).total_seconds()


if __name__ == "__main__":
    run_hook(main)
