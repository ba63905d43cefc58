"""What IAM has and this gateway has none of: lists that tools ask for before they delete, which are empty here."""

from __future__ import annotations

from typing import Final

from workers.iam.records import NotFound
from workers.protocol.xml import Node
from workers.query.caller import account_of, registry_of
from workers.query.rendering import reply
from workers.query.resources import account_resource, iam_operation, role_resource, user_resource
from workers.request import Request, Response
from workers.routing import Handler, Resource

_LISTS: Final[tuple[tuple[str, str, Resource], ...]] = (
    ("ListInstanceProfiles", "InstanceProfiles", account_resource),
    ("ListInstanceProfilesForRole", "InstanceProfiles", role_resource),
    ("ListMFADevices", "MFADevices", user_resource),
    ("ListVirtualMFADevices", "VirtualMFADevices", account_resource),
    ("ListSAMLProviders", "SAMLProviderList", account_resource),
)


def _empty(name: str, member: str, resource: Resource) -> Handler:
    @iam_operation(name, resource)
    def answer(request: Request) -> Response:
        if resource is role_resource:
            registry_of(request).roles.get(account_of(request), request.payload.require("RoleName"))
        more: list[Node] = [] if name == "ListSAMLProviders" else [("IsTruncated", False)]
        return reply(request, [(member, ""), *more])

    answer.__doc__ = "An empty list: there are none."
    return answer


@iam_operation("GetLoginProfile", user_resource)
def get_login_profile(request: Request) -> Response:
    """There are no passwords: NoSuchEntity."""
    raise NotFound(f"Login Profile for User {request.payload.get('UserName')[:64]} cannot be found.")


HANDLERS: Final = tuple(_empty(*row) for row in _LISTS)
