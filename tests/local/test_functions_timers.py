"""Timer functions run when they would run on the real host."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.functions.meta import Datum

from local.functions.timers import Timer
from realtime.ncrontab import parse
from tests import fetch
from tests.local.small_app import host_app, write_app

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIMEOUT_SECONDS = 30.0


class Clock:
    """Starts at noon. A sleep moves it forward and takes no time."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def jump(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)  # a cancelled sleep does not move the clock
        self.jump(seconds)


class Ticks:
    """A timer function that records when it runs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.durations: list[float] = []  # of the next runs, in seconds

    async def __call__(self, timer: Datum) -> None:
        self.queue.put_nowait({**json.loads(timer.value), "at": self.clock.now()})
        self.clock.jump(self.durations.pop(0) if self.durations else 0)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.queue.get(), TIMEOUT_SECONDS)


@pytest.fixture
async def ticks() -> Ticks:
    return Ticks(Clock())


def timer(ticks: Ticks, schedule: str, **options: Any) -> Timer:
    parsed = parse(schedule)
    defaults = {
        "monitored": parsed.is_monitored(NOON),
        "run_on_startup": False,
        "status_file": None,
    }
    return Timer(
        name="tick",
        schedule=parsed,
        tick=ticks,
        now=ticks.clock.now,
        sleep=ticks.clock.sleep,
        **{**defaults, **options},
    )


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_timer_runs_once_in_each_second(ticks: Ticks) -> None:
    task = asyncio.create_task(timer(ticks, "* * * * * *").run())

    seconds = [(await ticks.next())["at"].second for _ in range(3)]
    await stop(task)

    assert seconds == [1, 2, 3]


async def test_a_run_missed_during_a_crash_runs_at_once(ticks: Ticks) -> None:
    crashed_at = ticks.clock.now() - timedelta(seconds=0.4)
    ticks.clock.jump(0.3)  # 11:59:59.6 to 12:00:00.3: one occurrence without a worker
    task = asyncio.create_task(timer(ticks, "* * * * * *").run(resumed_from=crashed_at))

    late, on_time = await ticks.next(), await ticks.next()
    await stop(task)

    assert NOON + timedelta(seconds=0.3) <= late["at"] < NOON + timedelta(seconds=1)
    assert on_time["at"].replace(microsecond=0) == NOON + timedelta(seconds=1)
    assert not late["IsPastDue"]


async def test_a_crash_between_two_runs_causes_no_extra_run(ticks: Ticks) -> None:
    crashed_at = ticks.clock.now() + timedelta(seconds=0.1)
    ticks.clock.jump(0.5)
    task = asyncio.create_task(
        timer(ticks, "* * * * * *", run_on_startup=True).run(resumed_from=crashed_at)
    )

    first = await ticks.next()
    await stop(task)

    assert first["at"].replace(microsecond=0) == NOON + timedelta(seconds=1)


async def test_an_unreadable_status_file_is_replaced(
    ticks: Ticks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for content in ("", "{", "[]", '{"Last": 1}', '{"Last": "x", "Next": "y", "LastUpdated": ""}'):
        stored = tmp_path / "status.json"
        stored.write_text(content)
        caplog.clear()
        task = asyncio.create_task(timer(ticks, "0 * * * * *", status_file=stored).run())
        await asyncio.sleep(0)
        await stop(task)

        assert set(json.loads(stored.read_text())) == {"Last", "Next", "LastUpdated"}
        assert "cannot be read" in caplog.text


async def test_a_folder_that_cannot_be_written_does_not_stop_the_timer(
    ticks: Ticks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = tmp_path / "not a folder"
    stored.write_text("")
    ticks.clock.jump(59.5)
    task = asyncio.create_task(
        timer(ticks, "0 * * * * *", status_file=stored / "status.json").run()
    )
    await ticks.next()
    await stop(task)

    assert "cannot be written" in caplog.text


async def test_a_slow_run_is_followed_by_one_late_run(ticks: Ticks) -> None:
    ticks.durations = [3.5]
    task = asyncio.create_task(timer(ticks, "* * * * * *").run())

    slow, late, on_time = [await ticks.next() for _ in range(3)]
    await stop(task)

    assert timedelta(seconds=3.5) <= late["at"] - slow["at"] < timedelta(seconds=4.5)
    assert on_time["at"].second == late["at"].second + 1
    assert not late["IsPastDue"]


async def test_a_fast_schedule_has_no_status_and_is_never_past_due(
    ticks: Ticks, tmp_path: Path
) -> None:
    stored = tmp_path / "status.json"
    first = asyncio.create_task(timer(ticks, "*/5 * * * * *", status_file=stored).run())
    ticks.clock.jump(4.9)
    run = await ticks.next()
    await stop(first)

    assert (run["ScheduleStatus"], run["IsPastDue"]) == (None, False)
    assert not stored.exists()


async def test_after_downtime_a_monitored_timer_is_past_due_once(
    ticks: Ticks, tmp_path: Path
) -> None:
    minutely = timer(ticks, "0 * * * * *", status_file=tmp_path / "status.json")
    before = asyncio.create_task(minutely.run())
    await asyncio.sleep(0)
    await stop(before)
    ticks.clock.jump(8 * 3600 + 59)

    after = asyncio.create_task(minutely.run())
    late, on_time = await ticks.next(), await ticks.next()
    await stop(after)

    assert (late["IsPastDue"], on_time["IsPastDue"]) == (True, False)
    assert late["ScheduleStatus"]["Next"] == "2026-11-21T12:01:00+00:00"
    assert on_time["at"].replace(microsecond=0) == NOON + timedelta(hours=8, minutes=1)


async def test_a_changed_schedule_is_not_past_due(ticks: Ticks, tmp_path: Path) -> None:
    stored = tmp_path / "status.json"
    before = asyncio.create_task(timer(ticks, "0 * * * * *", status_file=stored).run())
    await asyncio.sleep(0)
    await stop(before)
    ticks.clock.jump(3600)

    after = asyncio.create_task(timer(ticks, "0 30 * * * *", status_file=stored).run())
    ticks.clock.jump(1799)
    run = await ticks.next()
    await stop(after)

    assert not run["IsPastDue"]


async def test_run_on_startup_runs_at_once(ticks: Ticks) -> None:
    task = asyncio.create_task(timer(ticks, "0 0 0 1 1 *", run_on_startup=True).run())

    run = await ticks.next()
    await stop(task)

    assert not run["IsPastDue"]


SOURCE = """
runs = []

@app.timer_trigger("timer", "%WHEN%")
async def tick(timer: func.TimerRequest) -> None:
    logging.info("tick %s %s", timer.past_due, timer.schedule)
    if len(runs) == 0:
        runs.append("failed")
        raise RuntimeError("the first tick fails")

@app.timer_trigger("timer", "0 0 0 1 1 *")
def yearly(timer: func.TimerRequest) -> None:
    logging.info("yearly has run")

@app.timer_trigger("timer", "0 0 0 1 1 *", run_on_startup=True)
def returning(timer: func.TimerRequest) -> str:
    return "too much"
"""


def test_a_timer_continues_after_a_failed_run(tmp_path: Path) -> None:
    app = write_app(tmp_path, SOURCE, settings={"Values": {"WHEN": "* * * * * *"}})
    with host_app(app) as part:
        lines = part.wait_for_output(lambda line: "] tick" in line, count=2)

        assert all(line.endswith("tick False {'AdjustForDST': True}") for line in lines)
        assert "RuntimeError: the first tick fails" in part.output
        assert "TypeError: returning has no output, but returned str" in part.output


def test_a_timer_can_be_run_with_an_admin_request(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE), environment={"WHEN": "0 0 0 1 1 *"}) as part:
        admin = f"{part.url}/admin/functions"

        assert fetch.post(f"{admin}/yearly", json={}).status_code == 202
        part.wait_for_output(lambda line: line.endswith("yearly has run"))
        assert fetch.post(f"{admin}/no-such-timer", json={}).status_code == 404
        assert fetch.post(f"{admin}/yearly", content=b"[]").status_code == 400
        assert fetch.get(f"{admin}/yearly").json()["name"] == "yearly"
