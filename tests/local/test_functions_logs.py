"""Log lines outside an invocation are marked, because Azure does not show them."""

from pathlib import Path

from local.functions.logs import LOST, level_of
from tests import fetch
from tests.local.small_app import host_app, write_app

SOURCE = """
logging.warning("line: import")
tasks = []

async def later():
    await asyncio.sleep(0)
    logging.warning("line: task during")
    await released.wait()
    logging.warning("line: task after")

@app.route("start")
async def start(req: func.HttpRequest) -> func.HttpResponse:
    global released
    released = asyncio.Event()
    logging.warning("line: function")
    tasks.append(asyncio.create_task(later()))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(logging.warning, "line: to_thread")
    thread = threading.Thread(target=logging.warning, args=("line: thread",))
    thread.start()
    thread.join()
    called = asyncio.Event()
    def callback():
        logging.warning("line: callback")
        called.set()
    asyncio.get_running_loop().call_soon(callback)
    await called.wait()
    return func.HttpResponse("started")

@app.route("release")
async def release(req: func.HttpRequest) -> func.HttpResponse:
    asyncio.get_running_loop().call_later(0.05, released.set)
    return func.HttpResponse("released")

@app.route("sync")
def sync(req: func.HttpRequest) -> func.HttpResponse:
    logging.warning("line: sync")
    return func.HttpResponse("sync")

@app.timer_trigger("timer", "* * * * * *")
async def tick(timer: func.TimerRequest) -> None:
    logging.warning("line: timer")
"""


def test_a_line_outside_a_running_invocation_is_marked(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE)) as part:
        for route in ("start", "release", "sync"):
            fetch.get(f"{part.url}/api/{route}")
        expected = {
            "import": True, "function": False, "task during": False, "to_thread": True,
            "thread": True, "callback": True, "task after": True, "sync": False, "timer": False,
        }  # fmt: skip
        for name, is_lost in expected.items():
            line = part.wait_for_output(lambda line, name=name: line.endswith(f"line: {name}"))[0]
            assert (LOST in line) is is_lost, line


LEVELS = """
@app.route("quiet")
async def quiet(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("line: info of quiet")
    logging.warning("line: warning of quiet")
    return func.HttpResponse("")

@app.route("usual")
async def usual(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("line: info of usual")
    return func.HttpResponse("")
"""


def test_the_log_levels_of_host_json_apply(tmp_path: Path) -> None:
    host = {"logging": {"logLevel": {"default": "Information", "Function.quiet": "Warning"}}}
    with host_app(write_app(tmp_path, LEVELS, host=host)) as part:
        fetch.get(f"{part.url}/api/quiet")
        fetch.get(f"{part.url}/api/usual")
        part.wait_for_output(lambda line: line.endswith("line: info of usual"))

        printed = [line.rpartition("line: ")[2] for line in part.output if "line: " in line]
        assert printed == ["warning of quiet", "info of usual"]


def test_the_longest_matching_category_sets_the_level() -> None:
    levels = {"default": 10, "function": 20, "function.a": 30, "function.a.user": 40}

    assert level_of("Function.A.User", levels) == 40
    assert level_of("Function.A", levels) == 30
    assert level_of("Function.B.User", levels) == 20
    assert level_of("Host.Results", levels) == 10
    assert level_of("Host.Results", {}) == 20
