"""The blueprint of the HTTP API."""

import azure.functions as func

bp = func.Blueprint()
