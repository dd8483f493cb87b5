"""Which tests of the local parts run here.

The oracle tests need Python 3.13; on an older one they run in a process of their own. With another
Functions host in the place of ours, the tests of ours are left out.
"""

import os

from local.other_parts import FUNCTIONS_HOST
from tests import oracle

collect_ignore = [
    "test_functions_oracle.py" if oracle.is_needed() else "test_functions_oracle_elsewhere.py"
]
collect_ignore_glob = ["test_functions_*", "test_start.py"] if FUNCTIONS_HOST in os.environ else []
