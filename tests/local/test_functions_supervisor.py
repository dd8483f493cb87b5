"""A worker process that exits is replaced, and its requests get a response."""

import asyncio
import mmap
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from local.functions.connections import (
    MAX_CONNECTIONS,
    SupervisedConnections,
    WorkerConnections,
)
from local.parts import Part, free_ports
from tests import fetch
from tests.local.small_app import host_app, write_app

DEADLINE_SECONDS = 30.0
SOURCE = """
@app.route("hello")
async def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(os.getpid()))

@app.route("wait")
async def wait(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("waiting")
    await asyncio.sleep(float(req.params["seconds"]))
    return func.HttpResponse("done")

@app.route("block")
async def block(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("blocking")
    time.sleep(float(req.params["seconds"]))
    return func.HttpResponse("done")

@app.route("die")
async def die(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(3)

@app.timer_trigger("timer", "* * * * * *")
async def tick(timer: func.TimerRequest) -> None:
    logging.info("tick at %d", time.time())
"""


def is_waiting(line: str) -> bool:
    return line.endswith("waiting")


def test_a_crashed_worker_is_replaced_and_its_requests_get_a_500(tmp_path: Path) -> None:
    with (
        host_app(write_app(tmp_path, SOURCE)) as part,
        httpx.Client(base_url=f"{part.url}/api", timeout=DEADLINE_SECONDS) as client,
        ThreadPoolExecutor() as threads,
    ):
        before = client.get("/hello").text
        waiting = [threads.submit(client.get, "/wait?seconds=60") for _ in range(3)]
        part.wait_for_output(is_waiting, count=3)

        died = client.get("/die")
        after = fetch.get(f"{part.url}/api/hello", timeout=DEADLINE_SECONDS)

        assert (died.status_code, died.content) == (500, b"")
        assert [one.result().status_code for one in waiting] == [500, 500, 500]
        assert after.status_code == 200
        assert after.text != before
        part.wait_for_output(lambda line: "ended with code 3; 4 requests got a 500" in line)


def test_an_idle_connection_is_closed_without_a_response(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part, httpx.Client(timeout=30) as client:
        client.get(f"{part.url}/api/hello")

        fetch.get(f"{part.url}/api/die")

        # The client's pool detects the closed connection and opens another.
        assert client.get(f"{part.url}/api/hello").status_code == 200


def test_timers_continue_in_the_next_worker(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part:
        for _ in range(2):
            ticks = len(part.wait_for_output(lambda line: "tick at" in line))
            fetch.get(f"{part.url}/api/die")
            part.wait_for_output(lambda line: "tick at" in line, count=ticks + 2)


@pytest.mark.parametrize("route", ["wait", "block"])
def test_a_function_past_its_timeout_ends_the_worker(tmp_path: Path, route: str) -> None:
    app = write_app(tmp_path, SOURCE, host={"functionTimeout": "00:00:01"})
    with host_app(app) as part:
        response = fetch.get(f"{part.url}/api/{route}?seconds=60", timeout=DEADLINE_SECONDS)
        after = fetch.get(f"{part.url}/api/hello", timeout=DEADLINE_SECONDS)

        assert (response.status_code, after.status_code) == (500, 200)
        part.wait_for_output(lambda line: f"exceeded by function {route}" in line)


def test_a_function_below_its_timeout_is_not_stopped(tmp_path: Path) -> None:
    app = write_app(tmp_path, SOURCE, host={"functionTimeout": "00:00:04"})
    with host_app(app) as part:
        for _ in range(4):
            response = fetch.get(f"{part.url}/api/wait?seconds=1.2", timeout=DEADLINE_SECONDS)
            assert response.text == "done"


def test_no_worker_outlives_its_supervisor(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part:
        worker = psutil.Process(int(fetch.get(f"{part.url}/api/hello").text))

        os.kill(part.process.pid, signal.SIGKILL)

        worker.wait(DEADLINE_SECONDS)
        assert not worker.is_running()


def test_a_stop_ends_both_processes(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part:
        worker = psutil.Process(int(fetch.get(f"{part.url}/api/hello").text))
        part.stop()

        assert part.process.returncode == 0
        assert not worker.is_running()


def test_closed_connections_leave_no_open_files(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part:
        supervisor = psutil.Process(part.process.pid)
        before = supervisor.num_fds()
        for _ in range(60):
            assert fetch.get(f"{part.url}/api/hello").status_code == 200

        deadline = time.monotonic() + DEADLINE_SECONDS
        while supervisor.num_fds() > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert supervisor.num_fds() <= before


def kill_worker(part: Part, number: int) -> None:
    os.kill(int(fetch.get(f"{part.url}/api/hello").text), number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_is_replaced(tmp_path: Path, number: int) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part:
        kill_worker(part, number)

        assert fetch.get(f"{part.url}/api/hello", timeout=DEADLINE_SECONDS).status_code == 200
        part.wait_for_output(lambda line: f"ended with code {-number}" in line)


def test_a_connection_without_a_file_descriptor_is_left_to_the_worker() -> None:
    ours, theirs = socket.socketpair()
    is_waiting = mmap.mmap(-1, 16)
    held = SupervisedConnections(ours, is_waiting)
    worker = WorkerConnections(theirs, is_waiting)
    client, server = socket.socketpair()
    theirs.sendall(b"O\0\0\0\0")  # without its file descriptor, as at the limit of open files
    slot = worker.open(server)
    is_waiting[slot] = 1
    worker.close(MAX_CONNECTIONS)
    theirs.sendall(b"C\0\0\0\x07")
    worker.announce_ready()
    theirs.close()
    server.close()

    events: list[str] = []
    held.follow(lambda: events.append("ready"))

    assert events == ["ready"]
    assert held.fail_waiting() == 1
    assert client.recv(1000).startswith(b"HTTP/1.1 500 ")


async def test_more_connections_than_the_soft_file_limit_are_served(tmp_path: Path) -> None:
    [port] = free_ports(1)
    host = ["-m", "local.functions", "--app", str(write_app(tmp_path, SOURCE)), "--port", str(port)]
    limited = ["sh", "-c", 'ulimit -S -n 256; exec "$0" "$@"', sys.executable, *host]
    part = Part("Functions", f"http://localhost:{port}", "/admin/host/ping", limited)
    part.start()
    try:
        part.wait()
        opened = [await asyncio.open_connection("localhost", port) for _ in range(600)]
        for reader, writer in opened:
            writer.write(b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
            response = await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)
            assert response.startswith(b"HTTP/1.1 200 ")
        for _, writer in opened:
            writer.close()
    finally:
        part.stop()
