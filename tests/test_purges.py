"""The nightly purge: its parts do not depend on each other."""

import pytest
from azure.core.exceptions import ServiceRequestError

from timers import purge_all


async def test_an_error_in_one_purge_does_not_leave_out_the_others() -> None:
    done: list[str] = []

    async def purge_rows() -> int:
        done.append("messages")
        return 1

    async def fail() -> int:
        done.append("frames")
        raise ServiceRequestError("the storage does not answer")

    with pytest.raises(ServiceRequestError):
        await purge_all({"frames": fail, "messages": purge_rows, "acts": fail})

    assert done == ["frames", "messages", "frames"]
