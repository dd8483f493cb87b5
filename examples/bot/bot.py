"""A bot that replies to `!time` with the time and to `!roll` with a die."""

import os
import random
from datetime import UTC, datetime

from townsquare_client import Message, Townsquare

ROOM = os.environ.get("BOT_ROOM", "lobby")
BOT = "helper-bot"


def answer(content: str) -> str | None:
    """The reply of the bot to a message, if there is one."""
    match content.strip():
        case "!time":
            return f"It is {datetime.now(UTC):%H:%M} UTC."
        case "!roll":
            return f"You rolled a {random.randint(1, 6)}."
    return None


def main() -> None:
    url, key = os.environ["TOWNSQUARE_URL"], os.environ["TOWNSQUARE_KEY"]
    with Townsquare(url, key=key) as townsquare:
        for event in townsquare.listen(ROOM, BOT, name="Helper"):
            message = event.entry
            if not isinstance(message, Message) or message.sender == BOT:
                continue
            if (text := answer(message.content)) is not None:
                townsquare.reply(ROOM, message, text, sender=BOT)


if __name__ == "__main__":
    main()
