"""The documents that are made from the code are current."""

from local import documents


def test_the_documents_made_from_the_code_are_current():
    assert documents.outdated() == [], "run: python -m local.documents"


def test_every_setting_is_in_the_table_of_settings():
    from dataclasses import fields

    from realtime.settings import Settings

    table = documents.settings_table()
    names = sorted(one.name.upper() for one in fields(Settings))

    assert [name for name in names if f"| `{name}` |" not in table] == []


def test_the_asyncapi_document_has_every_event_that_the_app_understands():
    from events.conversation import EVENTS

    assert set(documents.SAID) == set(EVENTS)
