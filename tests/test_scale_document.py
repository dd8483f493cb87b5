"""docs/scale.md has the tables that the script prints."""

import pytest

from benchmarks.scale import format_broadcasts, format_people, format_room
from local.parts import ROOT


@pytest.mark.parametrize("table", [format_people(), format_room(), format_broadcasts()])
def test_the_document_has_the_table_that_the_script_prints(table: str) -> None:
    assert table in (ROOT / "docs/scale.md").read_text(encoding="utf-8")
