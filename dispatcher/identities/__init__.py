"""`shardgate accounts`, `users`, `keys`, `groups`, `roles`, `policies` and `oidc-providers`.

They work on the store of identities itself, by the settings that the gateway has, whether it runs or not.
"""

from dispatcher.identities.accounts import accounts
from dispatcher.identities.explain import explain_command
from dispatcher.identities.groups import groups
from dispatcher.identities.keys import keys
from dispatcher.identities.policies import policies
from dispatcher.identities.providers import oidc_providers
from dispatcher.identities.roles import roles
from dispatcher.identities.users import users

policies.add_command(explain_command)

COMMANDS = (accounts, users, keys, groups, roles, policies, oidc_providers)
"""For the command line's main group."""

__all__ = ["COMMANDS"]
