"""The oracle tests need Python 3.13; on an older one they run in a process of their own."""

from tests import oracle

collect_ignore = [
    "test_functions_oracle.py" if oracle.is_needed() else "test_functions_oracle_elsewhere.py"
]
