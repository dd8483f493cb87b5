"""The Azure Functions app: its three packages, each a blueprint."""

import azure.functions as func

import events
import negotiate
import producers

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(negotiate.bp)
app.register_functions(events.bp)
app.register_functions(producers.bp)
