"""Messages that users have reported: the table `reports`, one partition.

open:<key>, closed:<key>   a report; keys sort the newest first
id:<digest>                the key of the report that one user has made of one message
"""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, TableTransactionError
from msgspec import Struct
from msgspec.structs import replace

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.azure.row_keys import NEWEST_FIRST_KEY_PATTERN, newest_first_key
from realtime.azure.tables import Row, Table, Tables, tables
from realtime.errors import ApiError
from realtime.messages import format_timestamp
from realtime.visibility import is_visible

ReportState = Literal["open", "closed"]

PARTITION = "reports"

MAX_REASON_CHARACTERS = 500


class StoredReport(Struct, frozen=True):
    """`log` is a room, or the log of a direct conversation; `sender` has written the message.

    The message itself is not copied: a deleted text is gone here too.
    """

    id: str
    state: ReportState
    timestamp: str
    log: str
    epoch: str
    seq: int
    sender: str
    reporter: str
    reason: str


class Reports:
    """The reports of all users."""

    def __init__(
        self, tables: Tables, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tables = tables
        self._now = now

    def _table(self) -> Table:
        return self._tables.open("reports")

    async def add(
        self, reporter: str, log: str, epoch: str, seq: int, sender: str, reason: str
    ) -> str:
        """Store a report; returns its id, for a repetition that of the first one."""
        moment = self._now()
        key = newest_first_key(moment)
        report = StoredReport(
            key, "open", format_timestamp(moment), log, epoch, seq, sender, reporter, reason
        )
        digest = hashlib.sha256(f"{reporter}:{log}:{epoch}:{seq}".encode()).hexdigest()[:32]
        first = {"PartitionKey": PARTITION, "RowKey": f"id:{digest}", "report": key}
        try:
            await self._table().submit([Insert(first), Insert(_encode(report))])
        except TableTransactionError as error:
            if error.status_code != 409:
                raise
            return str((await self._table().get_entity(PARTITION, f"id:{digest}"))["report"])
        return key

    async def list_page(
        self, state: ReportState, limit: int, after: str = ""
    ) -> tuple[list[StoredReport], str | None]:
        """One page, the newest first, and the id after which the next one starts."""
        rows = self._table().query_entities(
            "PartitionKey eq @reports and RowKey gt @low and RowKey lt @high",
            parameters={"reports": PARTITION, "low": f"{state}:{after}", "high": f"{state};"},
            results_per_page=limit + 1,
        )
        found: list[StoredReport] = []
        async for row in rows:
            if len(found) == limit:
                return found, found[-1].id
            found.append(_parse(row))
        return found, None

    async def change_state(self, report_id: str, state: ReportState) -> StoredReport:
        """Close a report, or open it again. Raises ApiError `unknown_report`."""
        for present in ("open", "closed"):
            report = await self._find(report_id, present)
            if report is None:
                continue
            changed = replace(report, state=state)
            if changed != report:
                await self._move(report, changed)
            return changed
        raise unknown_report()

    async def remove_all(self, reporter: str) -> None:
        """Remove the reports of a user. It reads the reports of all users."""
        rows = self._table().query_entities(
            "PartitionKey eq @reports and reporter eq @reporter",
            parameters={"reports": PARTITION, "reporter": reporter},
            select=["RowKey"],
        )
        for key in [row["RowKey"] async for row in rows]:
            await self._table().delete_entity(PARTITION, key)

    async def _move(self, report: StoredReport, changed: StoredReport) -> None:
        operations: list[Operation] = [
            Delete(PARTITION, f"{report.state}:{report.id}"),
            Replace(_encode(changed)),
        ]
        try:
            await self._table().submit(operations)
        except TableTransactionError as error:
            if error.status_code != 404:  # Else another operator was faster.
                raise

    async def _find(self, report_id: str, state: str) -> StoredReport | None:
        try:
            row = await self._table().get_entity(PARTITION, f"{state}:{report_id}")
        except ResourceNotFoundError:
            return None
        return _parse(row)


def validate_report_id(text: str) -> str:
    """Raises ApiError `unknown_report` for what cannot be the id of a report."""
    if not re.fullmatch(NEWEST_FIRST_KEY_PATTERN, text):
        raise unknown_report()
    return text


def unknown_report() -> ApiError:
    return ApiError("unknown_report", "There is no such report.")


def validate_reason(text: str) -> str:
    """The reason without outer spaces. Raises ApiError `invalid_reason`."""
    reason = text.strip()
    if not is_visible(reason) or len(reason) > MAX_REASON_CHARACTERS:
        raise ApiError("invalid_reason", f"A reason has 1 to {MAX_REASON_CHARACTERS} characters.")
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise ApiError("invalid_reason", "The reason is not valid Unicode.") from None
    return reason


def _encode(report: StoredReport) -> Row:
    return {
        "PartitionKey": PARTITION,
        "RowKey": f"{report.state}:{report.id}",
        "timestamp": report.timestamp,
        "log": report.log,
        "epoch": report.epoch,
        "seq": EntityProperty(report.seq, EdmType.INT64),
        "sender": report.sender,
        "reporter": report.reporter,
        "reason": report.reason,
    }


def _parse(row: Row) -> StoredReport:
    state, _, key = row["RowKey"].partition(":")
    return StoredReport(
        key,
        "open" if state == "open" else "closed",
        row["timestamp"],
        row["log"],
        row["epoch"],
        row["seq"].value,
        row["sender"],
        row["reporter"],
        row["reason"],
    )


@cache
def reports() -> Reports:
    """The reports as this process reads and writes them."""
    return Reports(tables())
