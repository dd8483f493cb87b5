"""References between the files of infra/: modules, parameters, outputs and declarations."""

import re

import pytest

from tests.deployment.bicep import FILES, Choice, Expression, File, read, seed_error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_has_no_syntax_error(path):
    assert not File(path).root.has_error


def find_module_errors(file: File) -> list[str]:
    """Arguments that a module does not declare, and required ones that it does not get."""
    errors = []
    for module in file.modules:
        target = file.path.parent / module.path
        if not target.exists():
            errors.append(f"{module.symbol}: {module.path} does not exist")
            continue
        declared = {one.name: one for one in File(target).parameters}
        given = set(module.arguments)
        errors += [f"{module.symbol}.{name} is not a parameter" for name in given - set(declared)]
        errors += [
            f"{module.symbol}.{name} is missing"
            for name, one in declared.items()
            if name not in given and not one.has_default
        ]
        for name, value in module.arguments.items():
            if name in declared and not _matches(value, declared[name].type):
                errors.append(f"{module.symbol}.{name} is not of type {declared[name].type}")
    return errors


def _matches(value, kind: str) -> bool:
    if isinstance(value, Choice):
        return all(_matches(one, kind) for one in value.values)
    kinds = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
    return isinstance(value, Expression) or kind not in kinds or type(value) is kinds[kind]


def find_output_errors(file: File) -> list[str]:
    """Outputs that a file reads from a module which does not declare them."""
    modules = {module.symbol: file.path.parent / module.path for module in file.modules}
    return [
        f"{module}.outputs.{output} does not exist"
        for module, output in re.findall(r"(\w+)!?\.outputs\.(\w+)", file.text)
        if module not in modules or output not in File(modules[module]).outputs
    ]


def find_unused_names(file: File) -> list[str]:
    """Unused parameters and variables."""
    names = [one.name for one in file.parameters] + file.variables
    used = re.sub(r"^ *\w+:", "", file.text, flags=re.MULTILINE)
    return [name for name in names if len(re.findall(rf"\b{name}\b", used)) < 2]


CHECKS = [find_module_errors, find_output_errors, find_unused_names]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_references_between_the_files_are_valid(path, check):
    assert check(File(path)) == []


SEEDED = {
    "missing argument": ("main", "    publicAccess: !vnetEnabled\n", "", "publicAccess is missing"),
    "unknown argument": (
        "main", "units: webPubSubUnits", "unit: webPubSubUnits", "unit is not a parameter",
    ),
    "argument of the wrong type": (
        "main", "email: alertEmail", "email: 1", "email is not of type string",
    ),
    "unknown output": (
        "main", "storage.outputs.tablesEndpoint", "storage.outputs.tableEndpoint",
        "storage.outputs.tableEndpoint does not exist",
    ),
    "unused variable": ("vault", "var secretsUser", "var unused = 1\nvar secretsUser", "unused"),
    "missing file": ("main", "'budget.bicep'", "'budgets.bicep'", "budgets.bicep does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDED.values(), ids=SEEDED.keys())
def test_an_error_of_each_kind_is_found(seed):
    name, right, wrong, expected = seed

    file = seed_error(name, right, wrong)

    errors = [*find_module_errors(file), *find_output_errors(file), *find_unused_names(file)]
    assert [error for error in errors if expected in error], errors


def test_a_role_assignment_to_a_new_principal_has_its_type():
    """Without the type, an assignment to an identity that was just created fails."""
    for path in FILES:
        for resource in File(path).resources:
            if resource.type != "Microsoft.Authorization/roleAssignments":
                continue
            properties = resource.body["properties"]
            is_new = properties["principalId"].text == "principalId"
            assert (properties.get("principalType") == "ServicePrincipal") == is_new


def test_nothing_accepts_keys_or_passwords():
    app, storage, service = read("app"), read("storage"), read("webpubsub")

    assert storage.resource("account").body["properties"]["allowSharedKeyAccess"] is False
    assert service.resource("service").body["properties"]["disableLocalAuth"] is True
    assert read("monitoring").resource("insights").body["properties"]["DisableLocalAuth"] is True
    assert app.resource("publishing").body["properties"]["allow"] is False
    assert "['ftp', 'scm']" in app.text


def test_list_functions_use_no_output_as_their_id():
    """`list()` needs an id that is known before a deployment starts; an output is not (BCP181)."""
    for path in FILES:
        for argument in re.findall(r"\blist\w*\(([^,]*),", path.read_text()):
            assert ".outputs." not in argument, path.name


def test_the_token_of_web_pubsub_passes_app_service_authentication():
    """A token for another audience gets a 401, also on excluded paths."""
    text = read("authentication").text

    assert "excludedPaths" not in text
    assert "allowedAudiences: filter(audiences" in text
    audiences = text[text.index("var audiences") : text.index("]")]
    assert "webhookAudience" in audiences
    assert "replace(webhookAudience, 'api://', '')" in audiences


def test_the_app_accepts_tokens_of_both_versions():
    text = read("settings").text

    assert "'https://sts.windows.net/${tenantId}/'" in text
    assert "'${environment().authentication.loginEndpoint}${tenantId}/v2.0'" in text
    assert "WEBHOOK_SUBJECT: webPubSubPrincipalId" in text


def test_the_home_page_of_the_host_is_disabled():
    assert "AzureWebJobsDisableHomepage: 'true'" in read("settings").text


def test_requests_that_the_app_rejects_raise_no_alert():
    text = read("alerts").text

    assert "requests/failed" not in text
    assert "toint(ResultCode) >= 500" in text
