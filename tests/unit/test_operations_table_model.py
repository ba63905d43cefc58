"""The table against the service model of S3 that the AWS SDKs ship, and the page that is made from it."""

from pathlib import Path

import botocore.session
import pytest

from workers.compatibility import S3_OPERATIONS, page
from workers.operations import operation_table
from workers.routing import PARAMETERS, SUBRESOURCES, Level, NoBody, Operation

TABLE = operation_table()
MODEL = botocore.session.Session().get_service_model("s3")
OURS = {"PostObject", "Preflight", "PreflightBucket", "PreflightObject"}
"""Operations without an SDK: forms and browsers send them."""


def level_of(path: str) -> Level:
    return Level.OBJECT if "{Key+}" in path else Level.BUCKET if "{Bucket}" in path else Level.SERVICE


def test_names_of_the_model_are_known() -> None:
    assert frozenset(MODEL.operation_names) == S3_OPERATIONS


def test_names_of_the_table_are_those_of_the_model() -> None:
    assert {row.name for row in TABLE.rows} <= S3_OPERATIONS | OURS


def test_every_sub_resource_of_the_model_is_one_here() -> None:
    for name in MODEL.operation_names:
        query = MODEL.operation_model(name).http["requestUri"].partition("?")[2]
        for item in filter(None, query.split("&")):
            parameter, _, value = item.partition("=")
            known = parameter in SUBRESOURCES or (value and parameter in PARAMETERS)
            assert known, f"{name}: {parameter} would be taken for a parameter of the plain operation"


@pytest.mark.parametrize("row", [row for row in TABLE.rows if row.name not in OURS], ids=lambda row: row.name)
def test_row_agrees_with_the_model(row: Operation) -> None:
    operation = MODEL.operation_model(row.name)
    path, _, query = operation.http["requestUri"].partition("?")
    assert (row.method, row.level) == (operation.http["method"], level_of(path))
    # The model leaves `uploadId` and `partNumber` to the input, and marks some operations by x-id alone.
    names = {item.partition("=")[0] for item in query.split("&")} - {"", "x-id"}
    assert names <= {row.query, *row.modifiers}
    members = operation.input_shape.members if operation.input_shape else {}
    version = any(shape.serialization.get("name") == "versionId" for shape in members.values())
    assert row.versioned == version
    payload = operation.input_shape is not None and operation.input_shape.serialization.get("payload")
    if isinstance(row.body, NoBody):
        assert not payload
    else:
        assert payload


def test_page_is_current() -> None:
    path = Path(__file__).parents[2] / "docs" / "compatibility.md"
    made = page(TABLE)
    assert path.read_text(encoding="utf-8") == made, "run: python -m workers.compatibility > docs/compatibility.md"
    assert all(f"| {row.name}" in made for row in TABLE.rows)
