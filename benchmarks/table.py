"""The result of every benchmark, and the table of the results.

A benchmark is a module here with `async def run() -> list[Row]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line: the measured quantity, its value, and the value of the baseline."""

    what: str
    ours: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        if self.baseline is None:
            return self.what, f"{number(self.ours)} {self.unit}", "", ""
        return (
            self.what,
            f"{number(self.ours)} {self.unit}",
            f"{number(self.baseline)} {self.unit} ({self.baseline_name})",
            f"{self.ours / self.baseline:.2f}",
        )


def table(rows: Sequence[Row]) -> str:
    """All rows as a Markdown table with aligned columns."""
    lines = [("what", "ours", "beside", "ratio"), *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    lines.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def number(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
