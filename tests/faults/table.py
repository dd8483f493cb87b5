"""The table that a run prints."""

from tests.faults.runner import Result

COLUMNS = ("faults", "confirmed", "stored")
VIOLATIONS = ("lost", "twice", "holes", "disorder", "changes", "pages", "ghosts", "unsent")


def format_header() -> str:
    names = [f"{one:>9}" for one in (*COLUMNS, *VIOLATIONS, "settled")]
    return f"{'scenario':16}{''.join(names)}"


def format_result(result: Result) -> str:
    """One line; below it what was found, if anything was."""
    numbers = [f"{getattr(result, one):9}" for one in COLUMNS]
    numbers += [f"{getattr(result.findings, one):9}" for one in VIOLATIONS]
    line = f"{result.scenario:16}{''.join(numbers)}{result.settle_seconds:7.1f} s"
    problems = [result.problem] if result.problem else []
    below = [*result.notes, *problems, *result.findings.examples]
    return "\n".join([line, *(f"    {one}" for one in below)])
