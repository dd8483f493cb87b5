"""The client of forty lines in web/README.md."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from local.parts import ROOT, Stack, node
from tests.users import SECOND

EXAMPLE = ROOT / "web/examples/plain.mjs"


async def test_the_plain_client_joins_sends_and_receives(stack: Stack) -> None:
    async with running(stack, "ann", "Hello from ann") as lines:
        assert re.match(r"I am ann-\w+. \d+ messages so far", await next_with("I am", lines))
        assert await next_with("Hello from ann", lines)
        assert await next_with("prices:", lines)
        assert re.search(r"price: \d", await next_with("price: ", lines))


async def test_two_plain_clients_receive_each_other(stack: Stack) -> None:
    async with running(stack, "ann", "ann is here") as ann:
        await next_with("ann is here", ann)
        async with running(stack, "bob", "bob came too") as bob:
            await next_with("bob came too", bob)

            assert re.match("#\\d+ bob-", await next_with("bob came too", ann))


@asynccontextmanager
async def running(stack: Stack, name: str, text: str) -> AsyncIterator[asyncio.StreamReader]:
    """The example as a process; its output, line by line."""
    process = await asyncio.create_subprocess_exec(
        node(), EXAMPLE, stack.url, name, text, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def next_with(text: str, lines: asyncio.StreamReader) -> str:
    """The next line that contains a text."""
    async with asyncio.timeout(10 * SECOND):
        while text not in (line := (await lines.readline()).decode()):
            assert line, "the example ended"
    return line
