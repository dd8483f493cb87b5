"""Pushes a value of two sensors every second; the sensors are simulated."""

import os
import random
import time

from townsquare_client import Townsquare, TownsquareError

INTERVAL_SECONDS = 1.0


def main() -> None:
    url, key = os.environ["TOWNSQUARE_URL"], os.environ["TOWNSQUARE_KEY"]
    celsius, humidity = 21.0, 60.0
    with Townsquare(url, key=key) as townsquare:
        townsquare.put_stream("greenhouse", "Greenhouse", type="greenhouse_update", fresh_seconds=5)
        while True:
            celsius += random.uniform(-0.2, 0.2)
            humidity = min(100.0, max(0.0, humidity + random.uniform(-1, 1)))
            try:
                townsquare.push(
                    "greenhouse", {"celsius": round(celsius, 2), "humidity": round(humidity, 1)}
                )
            except TownsquareError as error:
                print(f"not pushed: {error}", flush=True)
            time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
