"""What a number of connected people needs, and what a room can carry: `python -m benchmarks.scale`.

Prints the tables of docs/scale.md. Every assumption is a constant here; change them to yours.
"""

import math
from collections.abc import Sequence

PEOPLE = (1_000, 100_000, 10_000_000)
"""Connected at the same time."""

# --- how people use it (docs/cost.md has the same) ----------------------------------------------

ROOM_MEMBERS = 20
SECONDS_BETWEEN_MESSAGES = 120  # of one person

# --- Web PubSub (learn.microsoft.com/azure/azure-web-pubsub/concept-performance) ------------------

UNIT_CONNECTIONS = 1_000
USED_SHARE = 0.8
"""Of the connections of a unit; the billing model's page recommends no more."""

RESOURCE_UNITS = 100
UNIT_EVENTS_PER_SECOND = 500
"""Events with a response, of one unit."""

UNIT_SENDS_PER_SECOND = 3_000
"""Messages of 2 KB to connections, of one unit, from broadcasts by REST: 3 a second to 1,000."""

UNIT_USD = 49  # a month

# --- Functions ----------------------------------------------------------------------------------

PROCESSOR_SECONDS_PER_MESSAGE = 0.004
"""Of host and worker together, for an event that is stored and published: 1 ms is the real host's
invocation, the rest is the app's."""

INSTANCE_CORES = {512: 0.25, 2048: 1.0}
PROCESSOR_SHARE = 0.6
"""Of an instance, so that a burst finds room."""

# --- Table Storage (learn.microsoft.com/azure/storage/tables/scalability-targets) ---------------

ACCOUNT_ROWS_PER_SECOND = 20_000
PARTITION_ROWS_PER_SECOND = 2_000
ROWS_PER_MESSAGE = 3
"""Head, entry and `i:` row, if a message is alone in its commit."""

ROW_BYTES = 250

GROUP_SUBSCRIBERS = (1_000, 10_000, 100_000)
COMMIT_MESSAGES = (1, 4, 16, 49)
QUEUE_ROW_MESSAGES = (1, 4, 16)

SECONDS_OF_A_YEAR = 365 * 24 * 3600


def main() -> None:
    print("\n\n".join([format_people(), format_room(), format_broadcasts()]))


# --- what people need ---------------------------------------------------------------------------


def format_people() -> str:
    """A column for each number of people."""
    return format_table(
        ["connected at the same time", *(f"{people:,}" for people in PEOPLE)],
        [
            ["rooms of 20", *(f"{people // ROOM_MEMBERS:,}" for people in PEOPLE)],
            ["messages a second, sent", *(_number(messages_of(people)) for people in PEOPLE)],
            [
                "messages a second, delivered",
                *(_number(messages_of(people) * ROOM_MEMBERS) for people in PEOPLE),
            ],
            ["units of Web PubSub", *(f"{units_of(people):,}" for people in PEOPLE)],
            ["resources of Web PubSub: cells", *(f"{cells_of(people):,}" for people in PEOPLE)],
            ["units in each cell", *(f"{cell_units_of(people):,}" for people in PEOPLE)],
            ["events a second and unit (500)", *(_number(events_of(people)) for people in PEOPLE)],
            [
                "deliveries a second and unit (3,000)",
                *(_number(events_of(people) * ROOM_MEMBERS) for people in PEOPLE),
            ],
            [
                "instances of 512 MB, in each cell",
                *(f"{instances_of(people, 512):,}" for people in PEOPLE),
            ],
            [
                "instances of 2048 MB, in each cell",
                *(f"{instances_of(people, 2048):,}" for people in PEOPLE),
            ],
            [
                "rows a second, in each cell (20,000 an account)",
                *(_number(rows_of(people)) for people in PEOPLE),
            ],
            [
                "history, TB a year if all day is like this",
                *(_number(terabytes_of(people)) for people in PEOPLE),
            ],
            [
                "units, USD a month",
                *(f"{cells_of(people) * cell_units_of(people) * UNIT_USD:,}" for people in PEOPLE),
            ],
        ],
    )


def messages_of(people: float) -> float:
    return people / SECONDS_BETWEEN_MESSAGES


def units_of(people: int) -> int:
    return math.ceil(people / (UNIT_CONNECTIONS * USED_SHARE))


def cells_of(people: int) -> int:
    """A cell is one deployment: a resource of Web PubSub, a function app, a storage account."""
    return math.ceil(units_of(people) / RESOURCE_UNITS)


def cell_units_of(people: int) -> int:
    """Up to ten units a resource has any number, then tens."""
    units = math.ceil(units_of(people) / cells_of(people))
    return units if units <= 10 else math.ceil(units / 10) * 10


def events_of(people: int) -> float:
    return messages_of(people) / (cells_of(people) * cell_units_of(people))


def instances_of(people: int, memory: int) -> int:
    cores = messages_of(people) / cells_of(people) * PROCESSOR_SECONDS_PER_MESSAGE
    return math.ceil(cores / (INSTANCE_CORES[memory] * PROCESSOR_SHARE))


def rows_of(people: int) -> float:
    return messages_of(people) / cells_of(people) * ROWS_PER_MESSAGE


def terabytes_of(people: int) -> float:
    bytes_of_a_year = messages_of(people) * SECONDS_OF_A_YEAR * 2 * ROW_BYTES
    return bytes_of_a_year / 1e12


# --- what a room can carry ----------------------------------------------------------------------


def format_room() -> str:
    """The messages a second at which the partition of one room is full, by who writes it."""
    alone = [
        [f"one instance, {count} in a commit", f"{rows:.2f}", f"{_most(rows):,}"]
        for count in COMMIT_MESSAGES
        for rows in [rows_of_commit(count)]
    ]
    shared = [
        [
            f"several instances, 49 in a commit, {count} in a queue row",
            f"{rows:.2f}",
            f"{_most(rows):,}",
        ]
        for count in QUEUE_ROW_MESSAGES
        for rows in [rows_of_commit(49) + 2 / count]
    ]
    return format_table(
        ["who writes the room", "rows written a message", "messages a second, at most"],
        [*alone, *shared],
    )


def rows_of_commit(messages: int) -> float:
    """Rows that a message needs if so many share a commit: their own two, and a part of the head.

    With queue rows two more for each row: its insert and its deletion.
    """
    return 2 + 1 / messages


def _most(rows: float) -> int:
    return math.floor(PARTITION_ROWS_PER_SECOND / rows)


# --- what a unit can broadcast ------------------------------------------------------------------


def format_broadcasts() -> str:
    """Frames a second to one group, by its subscribers and the units."""
    units = (1, 10, 100)
    return format_table(
        ["subscribers of one group", *(f"frames a second, {count} units" for count in units)],
        [
            [
                f"{subscribers:,}",
                *(_number(UNIT_SENDS_PER_SECOND * count / subscribers) for count in units),
            ]
            for subscribers in GROUP_SUBSCRIBERS
        ],
    )


# --- tables -------------------------------------------------------------------------------------


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


if __name__ == "__main__":
    main()
