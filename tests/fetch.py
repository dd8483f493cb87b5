"""The functions of httpx that send one request, with a timeout that a busy machine does not exceed.

The default of httpx is 5 s.
"""

from functools import partial

import httpx

TIMEOUT_SECONDS = 30.0

delete = partial(httpx.delete, timeout=TIMEOUT_SECONDS)
get = partial(httpx.get, timeout=TIMEOUT_SECONDS)
options = partial(httpx.options, timeout=TIMEOUT_SECONDS)
post = partial(httpx.post, timeout=TIMEOUT_SECONDS)
put = partial(httpx.put, timeout=TIMEOUT_SECONDS)
request = partial(httpx.request, timeout=TIMEOUT_SECONDS)
