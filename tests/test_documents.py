"""The generated documents are current."""

from local import documents


def test_the_documents_made_from_the_code_are_current():
    assert documents.outdated() == [], "run: python -m local.documents"


def test_every_setting_is_in_the_table_of_settings():
    from dataclasses import fields

    from realtime.settings import Settings

    table = documents.settings_page()
    names = sorted(one.name.upper() for one in fields(Settings))

    assert [name for name in names if f"| `{name}` |" not in table] == []


def test_the_asyncapi_document_has_every_event_that_the_app_understands():
    from events.handlers import CLIENT_EVENTS

    messages = documents.asyncapi()["components"]["messages"]
    assert {f"send-{name}" for name in CLIENT_EVENTS} <= set(messages)


def test_every_field_of_the_asyncapi_document_has_a_valid_example():
    import jsonschema_rs

    from pages.schemas import is_self_explanatory

    components = documents.asyncapi()["components"]
    without = []
    for name, schema in components["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            flag = value.get("type") == "boolean"
            if "examples" not in value and not is_self_explanatory(value) and not flag:
                without.append(f"{name}.{field}")
            for example in value.get("examples", ()):
                jsonschema_rs.validate({**value, "components": components}, example)

    assert without == []
