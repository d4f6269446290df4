from api.domain.access.principal import Permission
from api.util.http.base_path import BASE_PATH
from api.web.operations import Operation, OperationTable, ResourceKind


def test_operation_is_found_by_method_and_pattern():
    found = OperationTable().find("POST", "/api/v1/training/start")
    assert found is not None
    assert (found.name, found.permission) == ("POST /api/v1/training/start", Permission.TRAINING_WRITE)


def test_head_is_found_as_get():
    table = OperationTable()
    assert table.find("HEAD", "/health") is table.find("GET", "/health") is not None


def test_unknown_operation_is_none():
    table = OperationTable()
    assert table.find("POST", "/health") is None
    assert table.find("GET", "/api/v1/nothing") is None


def test_reading_changes_nothing_and_everything_else_does():
    changing = {each.method for each in OperationTable().all if each.changes}
    assert changing == {"POST", "PUT", "PATCH", "DELETE"}


def test_table_has_no_duplicates():
    one = Operation("GET", "/a", None)
    assert OperationTable([one, one]).all == (one,)
    names = [each.name for each in OperationTable().all]
    assert len(names) == len(set(names))


def test_only_the_page_its_sign_in_and_health_are_open():
    assert {each.name for each in OperationTable().all if each.is_open} == {
        "GET /",
        "GET /dashboard/<digest>/<path:name>",
        "GET /favicon.ico",
        "GET /health",
        "GET /health/ready",
        "POST /api/v1/auth/login",
        "GET /api/v1/auth/ways",
        "GET /api/v1/auth/oidc/login",
        "GET /api/v1/auth/oidc/callback",
    }


def test_operations_on_owned_resources_name_them_in_the_address():
    owned = [each for each in OperationTable().all if each.resource_kind is not None]
    assert all(f"<{each.resource_kind.argument}>" in each.pattern for each in owned if each.resource_kind)
    assert {each.resource_kind for each in owned} == set(ResourceKind)


def test_every_address_with_a_task_has_an_owner():
    named = [each for each in OperationTable().all if "<task_id>" in each.pattern or "/datasets/<name>" in each.pattern]
    # Until it starts, the task of an upload is the upload itself, whose owner its service checks.
    assert [each.name for each in named if each.resource_kind is None] == [
        f"GET {BASE_PATH}/preprocess/status/<task_id>"
    ]
