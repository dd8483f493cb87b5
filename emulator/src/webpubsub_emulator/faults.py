"""Faults: the next upstream calls, REST requests or frames are refused, delayed or dropped."""

from collections import deque
from dataclasses import dataclass

TARGETS = ("upstream", "rest", "frame")
ACTIONS = ("refuse", "delay", "drop")
_DEFAULT_STATUS = 503
_DEFAULT_DELAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next `count` upstream calls, REST requests or frames."""

    target: str
    action: str
    count: int = 1
    seconds: float = _DEFAULT_DELAY_SECONDS
    status: int = _DEFAULT_STATUS

    def __post_init__(self) -> None:
        if self.target not in TARGETS or self.action not in ACTIONS:
            raise ValueError(
                f"a fault has a target ({', '.join(TARGETS)}) and an action "
                f"({', '.join(ACTIONS)}), not {self.target!r} and {self.action!r}"
            )
        if self.target == "frame" and self.action == "refuse":
            raise ValueError("a frame can be delayed or dropped, not refused")
        if self.count < 1 or self.seconds < 0 or not 400 <= self.status <= 599:
            raise ValueError("count is 1 or more, seconds 0 or more, status 400 to 599")


def parse_fault(text: str) -> Fault:
    """Read `target:action[:count[:seconds or status]]`, for example `upstream:refuse:2:503`."""
    target, action, *numbers = (*text.split(":"), "") if ":" in text else (text, "")
    count, detail = (*(number for number in numbers if number), "", "")[:2]
    try:
        amount = int(count or 1)
        if detail and action == "delay":
            return Fault(target, action, amount, seconds=float(detail))
        return Fault(target, action, amount, status=int(detail or _DEFAULT_STATUS))
    except ValueError as error:
        raise ValueError(f"{text!r} is not target:action[:count[:detail]]: {error}") from error


class Faults:
    """The pending faults of each target, applied in the order in which they were added."""

    def __init__(self) -> None:
        self._pending: dict[str, deque[Fault]] = {target: deque() for target in TARGETS}
        self._remaining: dict[str, int] = dict.fromkeys(TARGETS, 0)
        # Read for every frame that is sent, so it is no method.
        self.frame_is_pending = False

    def add(self, fault: Fault) -> None:
        self._pending[fault.target].append(fault)
        if len(self._pending[fault.target]) == 1:
            self._remaining[fault.target] = fault.count
        self.frame_is_pending = self.has_pending("frame")

    def take(self, target: str) -> Fault | None:
        """Return the fault for the next operation on this target, if there is one."""
        pending = self._pending[target]
        if not pending:
            return None
        fault = pending[0]
        self._remaining[target] -= 1
        if self._remaining[target] == 0:
            pending.popleft()
            self._remaining[target] = pending[0].count if pending else 0
            self.frame_is_pending = self.has_pending("frame")
        return fault

    def has_pending(self, target: str) -> bool:
        return bool(self._pending[target])
