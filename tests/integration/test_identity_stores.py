"""Gateways whose identities are in a directory, or in Vault together with the master key; people of a directory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from click.testing import CliRunner

from dispatcher.cli import cli
from tests.support.directory import Directory
from tests.support.gateway import Gateway, s3_client, wait_until
from tests.support.vault import Vault


def command(gateway: Gateway, given: Mapping[str, str], *words: str) -> Any:
    environ = {
        "SHARDGATE_DIRECTORY": str(gateway.directory),
        "SHARDGATE_STATE_DIR": str(gateway.state_dir),
        "SHARDGATE_ACCESS_KEY": gateway.access_key,
        "SHARDGATE_SECRET_KEY": gateway.secret_key,
        **given,
    }
    found = CliRunner().invoke(cli, words, env=environ)
    assert found.exit_code == 0, (found.output, found.exception)
    return json.loads(found.output) if "--json" in words else None


def works(gateway: Gateway, access_key: str, secret: str) -> bool:
    """Whether a key may create a bucket; false where it is not known, or not any more."""
    client = s3_client(gateway.endpoint, access_key, secret)
    try:
        client.create_bucket(Bucket="of-" + access_key.lower())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("BucketAlreadyOwnedByYou", "InvalidAccessKeyId", "AccessDenied"):
            raise
        return bool(code == "BucketAlreadyOwnedByYou")
    return True


def connection(directory: Directory) -> dict[str, str]:
    return {
        "SHARDGATE_LDAP_URLS": directory.url,
        "SHARDGATE_LDAP_CA": str(directory.ca),
        "SHARDGATE_LDAP_BIND_DN": directory.manager,
        "SHARDGATE_LDAP_BIND_PASSWORD": directory.password,
    }


def test_identities_in_a_directory(tmp_path: Path) -> None:
    with Directory(tmp_path / "directory") as directory:
        given = {
            **connection(directory),
            "SHARDGATE_IAM_STORE": "ldap",
            "SHARDGATE_LDAP_BASE": f"ou=gateway,{directory.base}",
            "SHARDGATE_LDAP_FORM": "shardgate",
        }
        with Gateway(tmp_path / "data", environ=given, workers=1) as gateway:
            made = command(gateway, given, "accounts", "create", "alice", "--key", "--json")
            assert works(gateway, made["access_key"], made["secret_key"])
            directory.stop()
            assert works(gateway, made["access_key"], made["secret_key"])
            directory.start()
            command(gateway, given, "keys", "disable", made["access_key"])
            wait_until(lambda: not works(gateway, made["access_key"], made["secret_key"]), what="the end of the key")
        assert directory.password not in gateway.log.read_text()


def test_identities_and_master_key_in_vault_and_people_of_a_directory(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault") as vault, Directory(tmp_path / "directory") as directory:
        given = {
            **connection(directory),
            "SHARDGATE_VAULT_URL": vault.url,
            "SHARDGATE_VAULT_CA": str(vault.ca),
            "SHARDGATE_VAULT_TOKEN": vault.token,
            "SHARDGATE_IAM_STORE": "vault",
            "SHARDGATE_MASTER_KEY_VAULT": "secret/gateway/master",
            "SHARDGATE_LDAP_PEOPLE_BASE": f"ou=people,{directory.base}",
            "SHARDGATE_LDAP_PEOPLE_INTERVAL": "1",
            "SHARDGATE_LDAP_SECRET_ATTRIBUTE": "employeeNumber",
        }
        vault.root.secrets.kv.v2.create_or_update_secret("gateway/master", {"keys": "k" * 64})
        directory.add(
            f"dn: uid=alice,ou=people,{directory.base}\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n"
            "uid: alice\ncn: alice\nsn: alice\nuidNumber: 1000\ngidNumber: 100\nhomeDirectory: /\n"
            "employeeNumber: the secret of alice\n"
        )
        with Gateway(tmp_path / "data", environ=given, workers=1) as gateway:
            wait_until(lambda: works(gateway, "alice", "the secret of alice"), what="the account of alice")
            found = command(gateway, given, "accounts", "sync", "--json")
            assert found == {"created": [], "changed": [], "disabled": [], "complaints": []}
            assert command(gateway, given, "accounts", "show", "alice", "--json")["uid"] == 1000
            status = command(gateway, given, "master-key", "status", "--json")
            assert status["source"] == "vault: secret/gateway/master"
            assert status["keys"][0]["records"] > 0
        assert not (gateway.directory / ".shardgate" / "documents").exists() or not list(
            (gateway.directory / ".shardgate" / "documents").glob("iam*")
        )
        for secret in (vault.token, directory.password, "the secret of alice", "k" * 64):
            assert secret not in gateway.log.read_text()
