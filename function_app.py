"""The Azure Functions app: registers the blueprint of each package."""

from realtime.garbage_collection import pause_collections

with pause_collections():
    import azure.functions as func

    import api
    import events
    import negotiate
    import pages
    import producers
    import timers

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(negotiate.bp)
app.register_functions(events.bp)
app.register_functions(api.bp)
app.register_functions(pages.bp)
app.register_functions(producers.bp)
app.register_functions(timers.bp)
