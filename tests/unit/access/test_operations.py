from api.domain.access import Permission
from api.util.base_path import BASE_PATH
from api.web.operations import Belonging, Operation, OperationTable


def test_an_operation_is_found_by_method_and_pattern():
    found = OperationTable().find("POST", "/api/v1/training/start")
    assert found is not None
    assert (found.name, found.permission) == ("POST /api/v1/training/start", Permission.TRAINING_WRITE)


def test_head_is_the_get_without_its_body():
    table = OperationTable()
    assert table.find("HEAD", "/health") is table.find("GET", "/health") is not None


def test_what_is_not_in_the_table_is_no_operation():
    table = OperationTable()
    assert table.find("POST", "/health") is None
    assert table.find("GET", "/api/v1/nothing") is None


def test_reading_changes_nothing_and_everything_else_does():
    changing = {each.method for each in OperationTable().all if each.changes}
    assert changing == {"POST", "PATCH", "DELETE"}


def test_no_operation_stands_twice_in_the_table():
    one = Operation("GET", "/a", None)
    assert OperationTable([one, one]).all == (one,)
    names = [each.name for each in OperationTable().all]
    assert len(names) == len(set(names))


def test_open_are_only_the_page_its_sign_in_and_whether_the_service_lives():
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


def test_what_belongs_to_somebody_names_it_in_its_address():
    owned = [each for each in OperationTable().all if each.belonging is not None]
    assert all(f"<{each.belonging.argument}>" in each.pattern for each in owned if each.belonging)
    assert {each.belonging for each in owned} == set(Belonging)


def test_every_address_with_a_task_belongs_to_somebody():
    named = [each for each in OperationTable().all if "<task_id>" in each.pattern or "/datasets/<name>" in each.pattern]
    # The task of an upload is the upload until it has begun: its service asks whose it is.
    assert [each.name for each in named if each.belonging is None] == [f"GET {BASE_PATH}/preprocess/status/<task_id>"]
