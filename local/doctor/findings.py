"""What a check found."""

from dataclasses import dataclass
from typing import Literal

WHERE_TO_SET = (
    "Set it in the function app's application settings, or locally under Values in "
    "local.settings.json."
)


class CheckFailedError(Exception):
    """What is wrong and what was expected, in one sentence."""


class CheckSkippedError(Exception):
    """A check that cannot be made, and what it needs."""


State = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    state: State
    message: str
