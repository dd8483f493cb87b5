"""Trouble to order: refuse, delay or drop what comes next, to see how an application takes it."""

from collections import deque
from dataclasses import dataclass

TARGETS = ("upstream", "rest", "frame")
ACTIONS = ("refuse", "delay", "drop")
_DEFAULT_STATUS = 503
_DEFAULT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What shall happen to the next `count` upstream calls, REST requests or frames."""

    target: str
    action: str
    count: int = 1
    seconds: float = _DEFAULT_SECONDS
    status: int = _DEFAULT_STATUS

    def __post_init__(self) -> None:
        if self.target not in TARGETS or self.action not in ACTIONS:
            raise ValueError(
                f"a fault is one of {', '.join(TARGETS)} and one of {', '.join(ACTIONS)}, "
                f"not {self.target!r} and {self.action!r}"
            )
        if self.target == "frame" and self.action == "refuse":
            raise ValueError("a frame can be delayed or dropped, but nobody can refuse it")
        if self.count < 1 or self.seconds < 0 or not 400 <= self.status <= 599:
            raise ValueError("count is 1 or more, seconds 0 or more, status 400 to 599")


def read_fault(words: str) -> Fault:
    """Read `target:action[:count[:seconds or status]]`, for example `upstream:refuse:2:503`."""
    target, action, *numbers = (*words.split(":"), "") if ":" in words else (words, "")
    count, detail = (*(number for number in numbers if number), "", "")[:2]
    try:
        amount = int(count or 1)
        if detail and action == "delay":
            return Fault(target, action, amount, seconds=float(detail))
        return Fault(target, action, amount, status=int(detail or _DEFAULT_STATUS))
    except ValueError as error:
        raise ValueError(f"{words!r} is no target:action[:count[:detail]]: {error}") from error


class Faults:
    """The trouble still to come, first ordered first served."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Fault]] = {target: deque() for target in TARGETS}
        self._left: dict[str, int] = dict.fromkeys(TARGETS, 0)

    def order(self, fault: Fault) -> None:
        self._waiting[fault.target].append(fault)
        if len(self._waiting[fault.target]) == 1:
            self._left[fault.target] = fault.count

    def take(self, target: str) -> Fault | None:
        """The trouble for this one, if there is any."""
        waiting = self._waiting[target]
        if not waiting:
            return None
        fault = waiting[0]
        self._left[target] -= 1
        if self._left[target] == 0:
            waiting.popleft()
            self._left[target] = waiting[0].count if waiting else 0
        return fault

    def expect(self, target: str) -> bool:
        return bool(self._waiting[target])
