"""The settings: precedence, origins, and one line for whatever is wrong."""

import dataclasses
import os
from pathlib import Path

import pytest

from workers.settings import (
    OPTIONS,
    Settings,
    SettingsError,
    load_settings,
    load_worker_settings,
    unknown_variables,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_option_is_a_field_and_every_field_an_option():
    names = {field.name for field in dataclasses.fields(Settings)}
    assert names == {option.name for option in OPTIONS} | {"config_file", "origins"}


def test_defaults_of_the_table_and_of_the_class_agree():
    for field in dataclasses.fields(Settings):
        option = next((option for option in OPTIONS if option.name == field.name), None)
        if option is not None and option.name not in ("state_dir", "workers"):
            assert field.default == option.default, field.name


def test_a_later_source_wins_and_is_named(tmp_path):
    file = write(tmp_path / "c.toml", 'region = "from-file"\nport = 9100\nworkers = 7\n')
    environ = {"SHARDGATE_REGION": "from-env", "SHARDGATE_PORT": "9200"}
    settings = load_settings({"region": "from-cli", "port": None}, environ, file)
    assert (settings.region, settings.port, settings.workers, settings.host) == ("from-cli", 9200, 7, "127.0.0.1")
    assert settings.origins["region"] == "--region"
    assert settings.origins["port"] == "SHARDGATE_PORT"
    assert settings.origins["workers"] == f"workers in {file}"
    assert settings.origins["host"] == "default"


def test_relative_paths_count_from_their_source(tmp_path):
    (tmp_path / "etc").mkdir()
    file = write(tmp_path / "etc" / "c.toml", 'directory = "data"\nbackend_config = "eos.toml"\nbackend = "p.py:Own"\n')
    settings = load_settings({"directory": "here"}, {}, file, base=tmp_path)
    assert settings.directory == tmp_path / "here"
    assert settings.backend_config == tmp_path / "etc" / "eos.toml"
    assert settings.backend == f"{tmp_path}/etc/p.py:Own"


def test_the_environment_may_name_the_file(tmp_path):
    file = write(tmp_path / "c.toml", "port = 9300\n")
    assert load_settings({}, {"SHARDGATE_CONFIG": str(file)}).port == 9300


def test_an_empty_variable_counts_as_not_set():
    assert load_settings({}, {"SHARDGATE_PORT": "", "SHARDGATE_STATE_DIR": ""}).port == 9000


def test_the_state_directory_lies_in_the_served_directory(tmp_path):
    assert load_settings({"directory": str(tmp_path)}, {}).state_dir == tmp_path / ".shardgate" / "state"
    assert load_settings({}, {}, base=tmp_path).state_dir == tmp_path / "shardgate-state"


def test_workers_follow_the_cpus_except_for_the_memory_backend():
    assert load_settings({}, {}).workers == len(os.sched_getaffinity(0))
    assert load_settings({"backend": "memory"}, {}).workers == 1
    assert load_settings({"backend": "memory", "workers": "3"}, {}).workers == 3


def test_lists_from_every_source(tmp_path):
    file = write(tmp_path / "c.toml", 'virtual_host_domains = ["S3.example", "b.example."]\n')
    assert load_settings({}, {}, file).virtual_host_domains == ("s3.example", "b.example")
    environ = {"SHARDGATE_VIRTUAL_HOST_DOMAINS": "c.example, d.example,c.example"}
    assert load_settings({}, environ, file).virtual_host_domains == ("c.example", "d.example")
    assert load_settings({"virtual_host_domains": ("e.example",)}, environ).virtual_host_domains == ("e.example",)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("port = 0", "port"),
        ("port = true", "port"),
        ('port = "http"', "port"),
        ("port = 9000.5", "port"),
        ("workers = 0", "workers"),
        ("keepalive = nan", "keepalive"),
        ('body_timeout = "soon"', "body_timeout"),
        ('durability = "maybe"', "durability"),
        ('read_only = "perhaps"', "read_only"),
        ('region = "EU West"', "region"),
        ('host = ""', "host"),
        ('host = "a b"', "host"),
        ('redis_url = "http://user:topsecret@h"', "redis_url"),
        ('redis_url = "sentinel://h"', "redis_url"),
        ('backend = "no such!"', "backend"),
        ("directory = 5", "directory"),
        ('directory = "a\\u0000b"', "directory"),
        ('virtual_host_domains = "a b"', "virtual_host_domains"),
        ("virtual_host_domains = 5", "virtual_host_domains"),
        ('trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies"),
        ('trusted_proxies = "proxy.example"', "trusted_proxies"),
        ('tls_certificate = "none.pem"', "tls_certificate"),
        ('tls_key = "none.pem"', "tls_certificate is not set, but tls_key is"),
        ('access_key = "x"', "access_key"),
        ('access_key = "ACCESSKEY"', "secret_key is not set, but access_key is"),
        ('secret_key = "topsecret"', "access_key is not set, but secret_key is"),
        ('access_key = "ACCESSKEY"\nsecret_key = "topsecret with blanks"', "secret_key"),
        ('master_key = "topsecret"', "master_key"),
        ("prot = 1", "prot"),
        ("port = ", "config: cannot read"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_name_and_file(tmp_path, toml, named):
    file = write(tmp_path / "c.toml", toml + "\n")
    with pytest.raises(SettingsError) as caught:
        load_settings({}, {}, file)
    text = str(caught.value)
    assert text.startswith(named)
    assert str(file) in text
    assert "\n" not in text
    assert "topsecret" not in text


def test_a_wrong_value_names_the_variable_or_the_flag():
    with pytest.raises(SettingsError, match=r"^port \(SHARDGATE_PORT\): '9k' is not a whole number$"):
        load_settings({}, {"SHARDGATE_PORT": "9k"})
    with pytest.raises(SettingsError, match=r"^port \(--port\): 70000 is not within 1 and 65535$"):
        load_settings({"port": "70000"}, {})


def test_a_misspelt_key_gets_a_hint(tmp_path):
    file = write(tmp_path / "c.toml", "prot = 9000\n")
    with pytest.raises(SettingsError, match="did you mean port"):
        load_settings({}, {}, file)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(SettingsError, match=r"^config: cannot read .*nowhere.toml: No such file or directory$"):
        load_settings({}, {}, tmp_path / "nowhere.toml")


def test_secrets_have_no_flag_and_stay_out_of_repr_and_environment():
    environ = {
        "SHARDGATE_ACCESS_KEY": "ACCESSKEY",
        "SHARDGATE_SECRET_KEY": "topsecret1",
        "SHARDGATE_MASTER_KEY": "m" * 32,
    }
    settings = load_settings({}, environ)
    assert settings.secret_key == "topsecret1"
    assert "topsecret1" not in repr(settings)
    assert "m" * 32 not in repr(settings)
    assert not any("topsecret1" in value or "m" * 32 in value for value in settings.as_environment().values())
    assert [option.name for option in OPTIONS if not option.flag] == [
        *("secret_key", "master_key", "ldap_bind_password", "vault_token", "vault_secret_id")
    ]


def test_a_secret_may_come_from_a_file(tmp_path):
    file = write(tmp_path / "secret", "topsecret1\n")
    environ = {"SHARDGATE_ACCESS_KEY": "ACCESSKEY", "SHARDGATE_SECRET_KEY_FILE": str(file)}
    settings = load_settings({}, environ)
    assert settings.secret_key == "topsecret1"
    assert settings.origins["secret_key"] == "SHARDGATE_SECRET_KEY_FILE"
    with pytest.raises(SettingsError, match=r"^secret_key \(SHARDGATE_SECRET_KEY_FILE\): cannot read"):
        load_settings({}, {**environ, "SHARDGATE_SECRET_KEY_FILE": str(tmp_path / "none")})


def test_the_environment_for_children_gives_the_same_settings(tmp_path):
    file = write(tmp_path / "c.toml", "keepalive = 12.5\n")
    given = {
        "directory": str(tmp_path / "a b"),
        "read_only": True,
        "virtual_host_domains": ("a.example", "b.example"),
        "port": "9001",
        "access_log": "-",
        "workers": "3",
    }
    settings = load_settings(given, {}, file)
    assert load_settings({}, settings.as_environment()) == settings


def test_what_kubernetes_sets_is_neither_read_nor_reported():
    environ = {
        "SHARDGATE_PORT": "tcp://10.0.0.1:9000",
        "SHARDGATE_SERVICE_HOST": "10.0.0.1",
        "SHARDGATE_PORT_9000_TCP": "x",
    }
    assert load_settings({}, environ).port == 9000
    assert unknown_variables(environ) == []


def test_misspelt_variables_are_reported():
    lines = unknown_variables(
        {"SHARDGATE_REGOIN": "x", "SHARDGATE_CONFIG": "", "SHARDGATE_SECRET_KEY_FILE": "", "PATH": ""}
    )
    assert lines == ["SHARDGATE_REGOIN is not a setting (did you mean SHARDGATE_REGION?); ignored"]


@pytest.mark.parametrize(
    ("given", "bind", "endpoint"),
    [
        ({}, "127.0.0.1:9000", "http://127.0.0.1:9000"),
        ({"host": "0.0.0.0", "port": "80"}, "0.0.0.0:80", "http://127.0.0.1:80"),
        ({"host": "[::1]"}, "[::1]:9000", "http://[::1]:9000"),
        ({"host": "::"}, "[::]:9000", "http://[::1]:9000"),
        ({"listen_socket": "/run/s.sock"}, "unix:/run/s.sock", "http+unix:///run/s.sock"),
    ],
)
def test_bind_and_endpoint(given, bind, endpoint):
    settings = load_settings(given, {})
    assert (settings.bind, settings.endpoint) == (bind, endpoint)


def test_proxies_are_addresses_and_networks():
    environ = {"SHARDGATE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7, 2001:DB8::/32"}
    assert load_settings({}, environ).trusted_proxies == ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")


def test_workers_find_what_the_first_start_generated(tmp_path):
    environ = {"SHARDGATE_STATE_DIR": str(tmp_path)}
    assert load_worker_settings(environ).access_key == ""
    write(tmp_path / "root-credentials.json", '{"access_key": "GENERATED", "secret_key": "generated-secret"}')
    write(tmp_path / "master-key", "k" * 64 + "\n")
    settings = load_worker_settings(environ)
    assert (settings.access_key, settings.secret_key) == ("GENERATED", "generated-secret")
    assert settings.master_key_file == tmp_path / "master-key"
    assert settings.origins["secret_key"] == str(tmp_path / "root-credentials.json")


def test_configured_keys_win_over_generated_ones(tmp_path):
    write(tmp_path / "root-credentials.json", '{"access_key": "GENERATED", "secret_key": "generated-secret"}')
    environ = {
        "SHARDGATE_STATE_DIR": str(tmp_path),
        "SHARDGATE_ACCESS_KEY": "CONFIGURED",
        "SHARDGATE_SECRET_KEY": "configured-secret",
    }
    assert load_worker_settings(environ).access_key == "CONFIGURED"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"access_key": "A"}'])
def test_a_broken_credentials_file_is_one_line(tmp_path, text):
    write(tmp_path / "root-credentials.json", text)
    with pytest.raises(SettingsError, match=r"^root credentials cannot be read from [^\n]*$"):
        load_worker_settings({"SHARDGATE_STATE_DIR": str(tmp_path)})
