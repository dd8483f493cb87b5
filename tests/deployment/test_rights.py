"""The proxies that reject what the roles in infra/ do not allow.

`python -m tests.entra` calls every operation of the API through them.
"""

import pytest
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient

from local.parts import environment_of
from tests.deployment import rights
from tests.deployment.bicep import INFRA, File, read
from tests.deployment.through_rights import refused, start_proxy


def client_through(stack, *roles: str):
    proxy = start_proxy("tables", stack.tables.url, *roles)
    settings = environment_of(stack.webpubsub_url, proxy.url)["TABLES_CONNECTION_STRING"]
    return proxy, TableServiceClient.from_connection_string(settings, retry_total=0)


def test_the_proxy_rejects_operations_that_the_roles_do_not_allow(stack):
    proxy, service = client_through(stack)
    try:
        with service, pytest.raises(HttpResponseError) as error:
            service.get_service_properties()
    finally:
        proxy.stop()

    assert error.value.status_code == 403
    assert refused(proxy) == ["refused: read table service properties"]


def test_a_reader_role_allows_reads_and_no_writes(stack):
    reader = next(key for key, role in rights.ROLES.items() if role.name.endswith("Data Reader"))
    proxy, service = client_through(stack, reader)
    row = {"PartitionKey": "a", "RowKey": "b"}
    with TableServiceClient.from_connection_string(stack.tables_connection_string) as owner:
        owner.create_table_if_not_exists("streams")
    try:
        with service:
            table = service.get_table_client("streams")
            assert list(table.query_entities("PartitionKey eq 'nobody'")) == []
            for change in (
                lambda: table.create_entity(row),
                lambda: table.upsert_entity(row),
                lambda: table.submit_transaction([("delete", row)]),
            ):
                with pytest.raises(HttpResponseError):
                    change()
    finally:
        proxy.stop()

    # The SDK retries a rejected request.
    assert list(dict.fromkeys(refused(proxy))) == [
        "refused: insert entity", "refused: insert or update entity", "refused: delete entity",
    ]  # fmt: skip


def test_a_weaker_role_in_the_template_is_found():
    path = INFRA / "webpubsub.bicep"
    text = path.read_text().replace(
        "12cf5a90-567b-43ae-8102-96cf46c7d9b4", "bfb1c7d2-fb1a-466b-b2ba-aee63b92deaf"
    )

    roles = rights.assigned_roles(File(path, text))

    assert [role.name for role in roles] == ["Web PubSub Service Reader"]
    ((_, send),) = rights.webpubsub_needs("POST", "/api/hubs/townsquare/groups/g/:send")
    ((_, exists),) = rights.webpubsub_needs("HEAD", "/api/hubs/townsquare/groups/g")
    assert (rights.is_allowed(send, roles), rights.is_allowed(exists, roles)) == (False, True)


@pytest.mark.parametrize(
    ("method", "target", "headers", "needed"),
    [
        ("GET", "/devstoreaccount1/?restype=service&comp=properties", {}, "tableServices/read"),
        ("GET", "/devstoreaccount1/Tables", {}, "tables/read"),
        ("POST", "/devstoreaccount1/Tables", {}, "tables/write"),
        ("DELETE", "/devstoreaccount1/Tables('rooms')", {}, "tables/delete"),
        ("GET", "/devstoreaccount1/rooms(PartitionKey='a',RowKey='b')", {}, "entities/read"),
        ("GET", "/devstoreaccount1/rooms()?$top=1", {}, "entities/read"),
        ("POST", "/devstoreaccount1/rooms", {}, "entities/write"),
        ("PUT", "/devstoreaccount1/rooms(PartitionKey='a')", {"if-match": "*"}, "entities/write"),
        ("PATCH", "/devstoreaccount1/rooms(PartitionKey='a')", {}, "entities/write"),
        ("DELETE", "/devstoreaccount1/rooms(PartitionKey='a')", {}, "entities/delete"),
        ("GET", "/devstoreaccount1/rooms?comp=acl", {}, "tables/getAcl/action"),
    ],
)
def test_a_table_operation_requires_its_data_action(method, target, headers, needed):
    ((_, alternatives),) = rights.table_needs(method, target, headers, b"")

    assert next(iter(alternatives[0])).endswith(needed)


def test_an_unknown_operation_is_not_allowed():
    ((_, unknown),) = rights.webpubsub_needs("POST", "/api/hubs/townsquare/:unknown")

    assert not rights.is_allowed(unknown, rights.assigned_roles(read("webpubsub")))


def test_the_deployer_may_write_secrets_and_the_app_may_only_read_them():
    write = (frozenset({"Microsoft.KeyVault/vaults/secrets/setSecret/action"}),)
    get = (frozenset({"Microsoft.KeyVault/vaults/secrets/getSecret/action"}),)
    app = rights.assigned_roles(read("vault"))
    deployer = rights.assigned_roles(read("vault"), "deployerId")

    assert (rights.is_allowed(get, app), rights.is_allowed(write, app)) == (True, False)
    assert rights.is_allowed(write, deployer)
