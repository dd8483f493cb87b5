"""Live data on the page: updates, age, and switching streams off."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.page.conftest import Enter, Post

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_prices_and_metrics_are_updated(enter: Enter) -> None:
    ann = await enter("ann")
    price = ann.stream("stock-prices").locator(".quote .price")
    await expect(price).to_have_text(re.compile(r"\d+\.\d\d"))
    before = await price.text_content()

    await expect(price).not_to_have_text(before or "")
    await expect(ann.stream("stock-prices").locator(".note")).to_have_text("simulated")
    await expect(ann.stream("stock-prices").locator(".age")).to_have_text(re.compile("now|[12] s"))
    metrics = ann.stream("system-metrics")
    await expect(metrics.locator(".big").first).to_have_text(re.compile(r"\d %$"))
    await expect(metrics.locator(".big").last).to_have_text(re.compile(r" \w?B/s$"))


async def test_lines_are_drawn(enter: Enter) -> None:
    ann = await enter("ann")
    stocks = ann.stream("stock-prices")
    await expect(stocks.locator(".symbols li")).to_have_count(5)

    for canvas in (stocks.locator(".plot canvas"), stocks.locator(".symbols canvas").first):
        await expect_ink(canvas)

    await stocks.get_by_role("button", name="TSLA").click()
    await expect(stocks.locator(".quote .symbol")).to_have_text("TSLA")


async def test_a_chart_begins_with_the_history_of_its_stream(enter: Enter) -> None:
    """Who comes later, with a browser that has stored nothing, sees the time before too."""
    ann = await enter("ann")
    stocks = ann.stream("stock-prices")
    await expect(stocks.locator(".quote .price")).to_be_visible()
    count_points = """async () => {
        const since = new Date(Date.now() - 900_000).toISOString();
        const response = await fetch(`/api/streams/stock-prices/history?since=${since}`);
        return (await response.json()).points.length; }"""
    for _ in range(60):
        if await ann.page.evaluate(count_points) > 10:
            break
        await asyncio.sleep(0.5)

    bob = await enter("bob")

    plot = bob.stream("stock-prices").locator(".plot canvas")
    await expect(plot).to_be_visible()
    await bob.stream("stock-prices").locator(".plot").hover(position={"x": 12, "y": 60})
    when = bob.stream("stock-prices").locator(".quote .when")
    await expect(when).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    shown, now = await when.text_content(), datetime.now().astimezone()
    hours, minutes, seconds = map(int, str(shown).split(":"))
    then = now.replace(hour=hours, minute=minutes, second=seconds)
    assert (now - then).total_seconds() % 86_400 >= 9


async def test_a_stream_can_be_switched_off_and_on(enter: Enter) -> None:
    ann = await enter("ann")
    stocks = ann.stream("stock-prices")
    switch = stocks.get_by_role("switch")
    await expect(stocks.locator(".quote .price")).to_be_visible()

    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "false")
    await expect(stocks.locator(".age")).to_have_text(re.compile("^paused · [2-9] s ago"))

    await ann.page.reload()
    await expect(switch).to_have_attribute("aria-checked", "false")
    await switch.click()
    await expect(stocks.locator(".age")).to_have_text(re.compile("now|1 s"))


async def test_weather_shows_stale_and_missing_values(enter: Enter, post: Post) -> None:
    ann = await enter("ann")

    await post("/api/publish?group=weather", weather())

    cities = ann.stream("weather").locator(".city")
    await expect(cities).to_have_count(3)
    await expect(ann.stream("weather").locator(".note")).to_have_text("by Open-Meteo.com")
    await expect(cities.nth(0)).to_have_text(re.compile("London.*9°.*Light rain", re.DOTALL))
    await expect(cities.nth(1)).to_contain_text("stale, 10 min ago")
    await expect(cities.nth(2)).to_contain_text("No data yet")


async def test_a_stream_with_many_values_scrolls_inside_of_its_card(
    enter: Enter, post: Post
) -> None:
    ann = await enter("ann")
    values = {f"value {n}": {"nested": [[n] * 60] * 8} for n in range(40)}
    frame = {**weather(), "type": "tide_update", "data": values}

    await post("/api/publish?group=weather", frame)

    card = ann.stream("weather")
    await expect(card).to_contain_text("value 39")
    assert await card.evaluate("node => node.clientHeight") < 480
    await ann.screenshot("nested-stream")
    listed = card.locator(".plain-values")
    await listed.focus()
    await ann.page.keyboard.press("End")
    await expect(card.get_by_text("value 39")).to_be_in_viewport()


async def test_a_stream_without_frames_becomes_stale(enter: Enter) -> None:
    ann = await enter("ann", clock=True)
    age = ann.stream("stock-prices").locator(".age")
    await expect(age).to_have_text(re.compile("^(now|. s ago)"))
    await ann.silences_network()

    await ann.page.clock.fast_forward("05:00")

    await expect(age).to_have_text("stale · 5 min ago")


async def test_a_hidden_page_stores_frames_and_draws_nothing(enter: Enter) -> None:
    ann = await enter("ann")
    price = ann.stream("stock-prices").locator(".quote .price")
    await expect(price).to_be_visible()
    # A background tab gets no animation frames; a headless one gets them.
    await ann.page.evaluate(
        """async () => {
            window.frames_ = []; window.drawing_ = window.requestAnimationFrame;
            window.requestAnimationFrame = (draw) => window.frames_.push(draw);
            await new Promise((done) => window.drawing_(() => window.drawing_(done))); }"""
    )
    before = await price.text_content()

    await ann.page.wait_for_timeout(2_500)  # two ticks
    assert await price.text_content() == before
    assert await ann.page.evaluate("window.frames_.length") <= 4  # requested once, not per frame
    await ann.page.evaluate(
        """() => { window.requestAnimationFrame = window.drawing_;
                   window.frames_.forEach((draw) => draw()); }"""
    )

    await expect(price).not_to_have_text(before or "")


def weather() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {"humidity_percent": 81, "wind_kph": 19.4, "observed_at": now}
    unknown = dict.fromkeys([*known, "temperature_c", "condition", "code", "age_seconds"])
    cities = [
        {"city": "London", "temperature_c": 9.4, "condition": "Light rain", "code": 61,
         "stale": False, "age_seconds": 20, **known},
        {"city": "Oslo", "temperature_c": -3.2, "condition": "Clear sky", "code": 0,
         "stale": True, "age_seconds": 600, **known},
        {"city": "Nowhere", "stale": True, **unknown},
    ]  # fmt: skip
    return {
        "type": "weather_update", "stream": "weather", "tick": 1, "timestamp": now,
        "stale": False, "full": True, "data": {"source": "open-meteo", "cities": cities},
    }  # fmt: skip


async def expect_ink(canvas: Locator) -> None:
    """The canvas is not blank within the timeout."""
    drawn = """canvas => {
        const blank = Object.assign(document.createElement("canvas"), {
            width: canvas.width, height: canvas.height });
        return canvas.width > 0 && canvas.toDataURL() !== blank.toDataURL();
    }"""
    for _ in range(50):
        if await canvas.evaluate(drawn):
            return
        await canvas.page.wait_for_timeout(100)
    pytest.fail("nothing is drawn")
