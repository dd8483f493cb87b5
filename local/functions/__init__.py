"""A Functions host for one machine: runs a Python v2 app (function_app.py) the way Azure does.

    python -m local.functions --port 7071 --app DIR

Two processes, as in Azure: the supervisor owns the port and starts the worker again when it dies;
the worker answers HTTP and runs timers. It behaves like the real host (4.1037) wherever an app can
observe a difference. Not supported, use `func start` for them: other triggers and bindings, HTTP
streaming, retry policies, extension bundles, returned strings that describe a response, time zones
(timers run in UTC).
"""
