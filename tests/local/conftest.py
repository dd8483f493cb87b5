"""Selects the tests of the local parts.

The oracle tests need Python 3.13; with an older one they run in a separate process. With another
Functions host in $FUNCTIONS_HOST, the tests of our host are not collected.
"""

import os

from local.other_parts import FUNCTIONS_HOST
from tests import oracle

collect_ignore = [
    "test_functions_oracle.py" if oracle.is_needed() else "test_functions_oracle_elsewhere.py"
]
collect_ignore_glob = ["test_functions_*", "test_start.py"] if FUNCTIONS_HOST in os.environ else []
