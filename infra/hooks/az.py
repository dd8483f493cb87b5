"""The two command lines that the hooks speak through: az for Azure, azd for its environment."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

MANAGEMENT = "https://management.azure.com"


class HookError(Exception):
    """A step failed; the text says which, and what to do."""


def az(*words: str, said: str | None = None) -> Any:
    """What `az` answers, from JSON; None where it says nothing. It reads `said`, if anything."""
    answer = run("az", *words, "--output", "json", said=said)
    return json.loads(answer) if answer.strip() else None


def rest(method: str, resource: str, version: str, body: Any = None) -> Any:
    """One call of Azure Resource Manager."""
    words = ["rest", "--method", method, "--url", f"{MANAGEMENT}{resource}?api-version={version}"]
    if body is None:
        return az(*words)
    # By standard input: no shell of any system can misread its quotes there.
    return az(*words, "--body", "@-", said=json.dumps(body))


def run(program: str, *words: str, said: str | None = None) -> str:
    path = shutil.which(program)
    if path is None:
        raise HookError(f"{program} is not installed; the hooks need it.")
    command = [path, *words]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)  # noqa: S603 - the hooks' own words
    if done.returncode:
        raise HookError(f"`{program} {' '.join(words[:3])} ...` failed: {done.stderr.strip()}")
    return done.stdout


def needed(name: str) -> str:
    """A value of the azd environment, which azd hands to its hooks."""
    value = os.environ.get(name, "")
    if not value:
        raise HookError(f"{name} is not set; run `azd provision` first.")
    return value


def told(main: Any) -> None:
    """Run a hook; a failure is one sentence and exit code 1."""
    try:
        main()
    except HookError as error:
        sys.exit(f"{error}")
