"""What the tests of identities share."""

from typing import Any

import pytest

from realtime.errors import ApiError

SECRET = "a secret of thirty-two characters or more, and this one has sixty-five"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def error_code(awaitable: Any) -> str:
    """The code of the error that is raised."""
    with pytest.raises(ApiError) as raised:
        await awaitable
    return raised.value.code
