"""Checks raw answers of the query protocol against the models of IAM and STS that botocore ships.

    iam = checked(make_client("iam"))       # every call of this client raises ModelMismatch for a bad answer

botocore drops elements that it does not know and fills in what is missing. This reads the raw XML before it does.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any, Final

TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class ModelMismatch(AssertionError):
    """An answer that the service model does not allow; the text lists every difference."""


def checked(client: Any) -> Any:
    """*client*, with every answer checked before botocore parses it."""
    namespace = client.meta.service_model.metadata["xmlNamespace"]

    def check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        headers = {name.lower(): value for name, value in response_dict["headers"].items()}
        findings = _Check(namespace).answer(
            operation_model, response_dict["status_code"], headers, response_dict["body"]
        )
        if findings:
            lines = "\n".join(f"  {finding}" for finding in findings)
            raise ModelMismatch(f"{operation_model.name}:\n{lines}\n{response_dict['body'][:2000]!r}")

    client.meta.events.register_first(f"before-parse.{client.meta.service_model.service_id.hyphenize()}", check)
    return client


class _Check:
    def __init__(self, namespace: str) -> None:
        self.prefix = f"{{{namespace}}}"
        self.findings: list[str] = []

    def report(self, where: str, what: str) -> None:
        self.findings.append(f"{where}: {what}")

    def answer(self, operation: Any, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
        if headers.get("content-type") != "text/xml":
            self.report("header content-type", repr(headers.get("content-type")))
        try:
            root = ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            self.report("body", f"not well-formed: {error}")
            return self.findings
        if status >= 300:
            self.error(root, status, headers)
        else:
            self.success(operation, root, headers)
        return self.findings

    def error(self, root: ElementTree.Element, status: int, headers: Mapping[str, str]) -> None:
        self.names(root, "ErrorResponse", ["Error", "RequestId"])
        error = root.find(f"{self.prefix}Error")
        if error is not None:
            self.names(error, "Error", ["Type", "Code", "Message"])
            if error.findtext(f"{self.prefix}Type") != ("Sender" if status < 500 else "Receiver"):
                self.report("Error/Type", str(error.findtext(f"{self.prefix}Type")))
        if root.findtext(f"{self.prefix}RequestId") != headers.get("x-amz-request-id"):
            self.report("RequestId", "not the x-amz-request-id of the headers")

    def success(self, operation: Any, root: ElementTree.Element, headers: Mapping[str, str]) -> None:
        output = operation.output_shape
        wrapper = None if output is None else output.serialization["resultWrapper"]
        self.names(root, f"{operation.name}Response", [*([wrapper] if wrapper else []), "ResponseMetadata"])
        identifier = root.findtext(f"{self.prefix}ResponseMetadata/{self.prefix}RequestId")
        if identifier != headers.get("x-amz-request-id"):
            self.report("ResponseMetadata/RequestId", f"{identifier}, not the x-amz-request-id of the headers")
        result = None if wrapper is None else root.find(f"{self.prefix}{wrapper}")
        if output is not None and result is not None:
            self.structure(wrapper, output, result)

    def names(self, element: ElementTree.Element, name: str, children: list[str]) -> None:
        if element.tag != self.prefix + name:
            self.report(name, f"is called {element.tag}")
        found = [child.tag.removeprefix(self.prefix) for child in element]
        if found != children:
            self.report(name, f"has {found}, not {children}")

    def structure(self, path: str, shape: Any, element: ElementTree.Element) -> None:
        seen = set()
        for child in element:
            name = child.tag.removeprefix(self.prefix)
            if name not in shape.members:
                self.report(f"{path}/{name}", "not in the model")
                continue
            if name in seen:
                self.report(f"{path}/{name}", "comes more than once")
            seen.add(name)
            self.value(f"{path}/{name}", shape.members[name], child)
        for name in shape.required_members:
            if name not in seen:
                self.report(f"{path}/{name}", "missing")

    def value(self, path: str, shape: Any, element: ElementTree.Element) -> None:
        if shape.type_name == "structure":
            self.structure(path, shape, element)
        elif shape.type_name == "list":
            for child in element:
                if child.tag != f"{self.prefix}member":
                    self.report(path, f"{child.tag} in a list")
                self.value(f"{path}/member", shape.member, child)
        elif shape.type_name == "map":
            for entry in element:
                self.names(entry, "entry", ["key", "value"])
                self.text(f"{path}/key", shape.key, entry[0].text or "")
                self.value(f"{path}/value", shape.value, entry[1])
        else:
            if len(element):
                self.report(path, "has elements where there is text")
            self.text(path, shape, element.text or "")

    def text(self, path: str, shape: Any, text: str) -> None:
        metadata = shape.metadata
        kind = shape.type_name
        allowed = {
            "boolean": lambda: text in ("true", "false"),
            "integer": lambda: re.fullmatch(r"-?\d+", text),
            "long": lambda: re.fullmatch(r"-?\d+", text),
            "timestamp": lambda: TIME.fullmatch(text),
        }.get(kind, lambda: True)
        if not allowed():
            self.report(path, f"{text!r} is no {kind}")
        if kind == "string":
            if "enum" in metadata and text not in metadata["enum"]:
                self.report(path, f"{text!r} is none of {metadata['enum']}")
            # The root user's id is the number of his account, which the model's own type forgets.
            if len(text) < metadata.get("min", 0) and not re.fullmatch(r"\d{12}", text):
                self.report(path, f"{text!r} is shorter than {metadata['min']}")
            if "max" in metadata and len(text) > metadata["max"]:
                self.report(path, f"{text!r} is longer than {metadata['max']}")
