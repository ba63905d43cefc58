"""The table of operations, walked row by row, and the resolver over it."""

import re
from itertools import product
from pathlib import Path

import pytest

from workers.operations import MODULES, operation_table
from workers.protocol.errors import S3Error
from workers.protocol.target import Query, parse_query
from workers.routing import (
    METHODS,
    SELECTING_HEADERS,
    SUBRESOURCES,
    Level,
    NoBody,
    Operation,
    OperationTable,
    Stream,
    Xml,
    declared_in,
)

TABLE = operation_table()
TESTS = Path(__file__).parents[1]
ALL = list(product(sorted(METHODS), Level))


def resolve(method: str, level: Level, query: str = "", headers: dict[str, str] | None = None) -> Operation:
    parsed = parse_query(query)
    return TABLE.resolve(method, level, parsed or None, (headers or {}).get)


def refused(method: str, level: Level, query: str = "", headers: dict[str, str] | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        resolve(method, level, query, headers)
    return caught.value


@pytest.fixture(params=TABLE.rows, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest) -> Operation:
    return request.param


def selecting_query(row: Operation) -> str:
    if not row.query:
        return ""
    return f"{row.query}={row.selector_value}" if row.selector_value else row.query


def test_row_has_an_action_unless_anybody_may(row: Operation) -> None:
    assert row.anonymous or re.fullmatch(r"s3:[A-Z][A-Za-z]+", row.action)


def test_row_says_what_becomes_of_the_body(row: Operation) -> None:
    assert isinstance(row.body, NoBody | Xml | Stream)
    if isinstance(row.body, NoBody):
        return
    assert row.writes, "only what writes takes a body here"
    assert row.method in ("PUT", "POST")
    assert 0 < row.body.limit < 6 << 30


def test_row_that_reads_does_not_write(row: Operation) -> None:
    assert row.writes == (row.method in ("PUT", "POST", "DELETE"))


@pytest.fixture(scope="module")
def tests_of_operations() -> str:
    """The text of all tests that an operation can have."""
    places = ("integration", "unit/operations", "clients")
    return "\n".join(path.read_text() for place in places for path in sorted((TESTS / place).rglob("*.py")))


def test_row_has_a_docstring_and_a_test(row: Operation, tests_of_operations: str) -> None:
    assert row.handler.__doc__ or row.handler.__name__ == "answer"
    named = re.compile(rf"\b{row.name}\b|def test_{row.metric}(?![a-z])|\.{row.metric}\(")
    assert named.search(tests_of_operations), f"no test says {row.name} or test_{row.metric}"


def test_row_is_found_by_what_it_declares(row: Operation) -> None:
    headers = {row.header: "x"} if row.header else {}
    assert resolve(row.method, row.level, selecting_query(row), headers) is row


def test_row_takes_a_version_only_where_it_says_so(row: Operation) -> None:
    query = "&".join(filter(None, (selecting_query(row), "versionId=v1")))
    headers = {row.header: "x"} if row.header else {}
    if row.level is not Level.OBJECT or row.versioned or row.anonymous:
        assert resolve(row.method, row.level, query, headers) is row
    else:
        error = refused(row.method, row.level, query, headers)
        assert (error.code, error.message) == ("InvalidArgument", "This operation does not accept a version-id.")


def test_metric_is_the_name_in_snake_case() -> None:
    assert {row.name: row.metric for row in TABLE.rows if row.name in ("PutObject", "ListObjectsV2", "HeadBucket")} == {
        "PutObject": "put_object",
        "ListObjectsV2": "list_objects_v2",
        "HeadBucket": "head_bucket",
    }
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", row.metric) for row in TABLE.rows)


def test_names_and_metrics_are_unique() -> None:
    assert len({row.name for row in TABLE.rows}) == len(TABLE.rows) == len({row.metric for row in TABLE.rows})


def test_selectors_are_known_to_the_resolver(row: Operation) -> None:
    assert not row.query or row.query in SUBRESOURCES
    assert not row.header or row.header in SELECTING_HEADERS
    assert row.modifiers <= SUBRESOURCES


def test_every_module_declares_something() -> None:
    assert all(list(declared_in([module])) for module in MODULES)


MISPLACED = {
    ("GET", Level.OBJECT, "uploads"): ("InvalidRequest", "Key is not expected for the GET method ?uploads subresource"),
    ("GET", Level.OBJECT, "versions"): (
        "InvalidRequest",
        "There is no such thing as the ?versions sub-resource for a key",
    ),
    ("PUT", Level.OBJECT, "partNumber"): (
        "InvalidArgument",
        "This operation does not accept partNumber without uploadId",
    ),
}


def unnamed() -> list[tuple[str, Level, str]]:
    """Every sub-resource at every method and level where no row takes it."""
    found = []
    for (method, level), name in product(ALL, sorted(SUBRESOURCES)):
        rows = [row for row in TABLE.rows if (row.method, row.level) == (method, level)]
        if method != "OPTIONS" and not any(name == row.query or name in row.modifiers for row in rows):
            found.append((method, level, name))
    return found


@pytest.mark.parametrize("value", ["", "=", "=x"])
def test_sub_resource_that_no_row_names_is_not_implemented(value: str) -> None:
    assert len(unnamed()) > 300
    for method, level, name in unnamed():
        if (method, level, name) not in MISPLACED:
            assert refused(method, level, name + value).code == "NotImplemented", (method, level, name)


@pytest.mark.parametrize(("method", "level", "name"), MISPLACED)
def test_what_is_wrong_with_a_misplaced_sub_resource_is_said(method: str, level: Level, name: str) -> None:
    """The codes and texts of AWS."""
    error = refused(method, level, f"{name}=1")
    assert (error.code, error.message) == MISPLACED[method, level, name]


def test_a_copy_to_half_a_part_is_refused_like_half_a_part() -> None:
    error = refused("PUT", Level.OBJECT, "partNumber=1", {"x-amz-copy-source": "b/k"})
    assert (error.code, error.elements["ArgumentName"]) == ("InvalidArgument", "partNumber")


@pytest.mark.parametrize("query", ["foo", "foo=", "ACL", "Tagging", "tagging%20", "a%00", "foo&prefix=x", "%61cl2"])
def test_what_looks_like_a_sub_resource_is_not_implemented(query: str) -> None:
    for method, level in ALL:
        if method != "OPTIONS":
            assert refused(method, level, query).code == "NotImplemented", (method, level)


def test_parameters_with_values_are_ignored_where_they_mean_nothing() -> None:
    assert resolve("PUT", Level.OBJECT, "x-id=PutObject&utm_source=mail").name == "PutObject"
    assert resolve("GET", Level.BUCKET, "list-type=2&x-id=ListObjectsV2&foo=bar").name == "ListObjectsV2"
    assert resolve("GET", Level.OBJECT, "X-Amz-Algorithm=a&X-Amz-Security-Token=").name == "GetObject"


def test_percent_encoded_sub_resource_is_the_same() -> None:
    assert resolve("PUT", Level.OBJECT, "%74agging").name == "PutObjectTagging"


@pytest.mark.parametrize("query", ["acl&tagging", "tagging&acl", "list-type=2&versions", "policy&cors&website"])
def test_conflicting_sub_resources_are_refused(query: str) -> None:
    error = refused("GET", Level.BUCKET, query)
    assert error.code == "InvalidArgument"
    assert error.message.startswith("Conflicting query string parameters: ")


@pytest.mark.parametrize("value", ["1", "3", "", "x"])
def test_list_type_takes_only_two(value: str) -> None:
    error = refused("GET", Level.BUCKET, f"list-type={value}")
    assert (error.code, error.elements["ArgumentName"]) == ("InvalidArgument", "list-type")


def test_selecting_headers_never_reach_the_plain_operation() -> None:
    assert resolve("PUT", Level.OBJECT, "", {"x-amz-copy-source": "a/b"}).name == "CopyObject"
    assert refused("PUT", Level.OBJECT, "", {"x-amz-write-offset-bytes": "0"}).code == "NotImplemented"
    assert refused("PUT", Level.OBJECT, "tagging", {"x-amz-copy-source": "a/b"}).code == "NotImplemented"
    assert resolve("GET", Level.OBJECT, "", {"x-amz-copy-source": "a/b"}).name == "GetObject"


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "PROPFIND", "CONNECT", "FOO", "get"])
@pytest.mark.parametrize("level", Level)
def test_unknown_method_is_not_allowed(method: str, level: Level) -> None:
    error = refused(method, level)
    assert error.code == "MethodNotAllowed"
    allowed = error.headers["Allow"].split(", ")
    assert allowed == sorted({row.method for row in TABLE.rows if row.level is level})
    assert refused(method, level, "acl").code == "MethodNotAllowed"


def test_two_plain_operations_for_one_place_are_a_programming_error() -> None:
    row = TABLE.by_name["GetObject"]
    with pytest.raises(ValueError, match="two plain operations"):
        OperationTable([row, row])


def test_a_form_upload_does_not_take_what_a_sub_resource_names() -> None:
    assert resolve("POST", Level.BUCKET).name == "PostObject"
    assert resolve("POST", Level.BUCKET, "delete").name == "DeleteObjects"
    assert refused("POST", Level.BUCKET, "uploads").code == "NotImplemented"


def test_preflight_is_answered_whatever_the_query() -> None:
    for level in Level:
        found = TABLE.resolve("OPTIONS", level, Query([("acl", "")], [("acl", "")]), {}.get)
        assert found.anonymous
