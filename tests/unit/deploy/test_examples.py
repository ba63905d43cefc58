"""What lies in deploy/ for fleets fits the settings and the commands that exist."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from backends.api import BackendConfig
from backends.eos.options import options_of
from dispatcher.cli import cli
from workers.settings import load_settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


PLUGINS = sorted((DEPLOY / "examples").glob("eos*.toml"))
"""What --backend-config names: the plugin's options and none of the gateway's settings."""


@pytest.mark.parametrize("file", sorted({*DEPLOY.rglob("*.toml")} - {*PLUGINS}), ids=lambda file: file.name)
def test_examples_are_settings(file):
    settings = load_settings({}, {}, file)
    assert settings.state_dir.is_relative_to("/var/lib/shardgate")


@pytest.mark.parametrize("file", PLUGINS, ids=lambda file: file.name)
def test_examples_are_options_of_the_plugin(file, tmp_path):
    options = tomllib.loads(file.read_text())
    if "authkey_file" in options:
        key = tmp_path / "key"
        key.write_text("an-instances-key")
        key.chmod(0o600)
        options["authkey_file"] = str(key)
    options_of(BackendConfig(options=options))


@pytest.mark.parametrize(
    ("shard", "dispatcher"),
    [
        ("examples/fleet-shard.toml", "examples/fleet-dispatcher.toml"),
        ("examples/three-hosts.toml", "examples/three-hosts-dispatcher.toml"),
    ],
)
def test_hosts_of_a_fleet_share_what_they_must(shard, dispatcher):
    shard = load_settings({}, {}, DEPLOY / shard)
    dispatcher = load_settings({}, {}, DEPLOY / dispatcher)
    assert shard.redis_url == dispatcher.redis_url != ""
    assert shard.virtual_host_domains == dispatcher.virtual_host_domains
    assert shard.advertise
    assert not dispatcher.advertise


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.service")), ids=lambda file: file.name)
def test_units_start_a_command_and_wait_longer_than_transfers(file):
    unit = file.read_text()
    start = re.search(r"^ExecStart=/opt/shardgate/\.venv/bin/shardgate (\S+) --config \S+$", unit, re.MULTILINE)
    assert start is not None
    assert start[1] in cli.commands
    patience = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert patience is not None
    assert int(patience[1]) > load_settings({}, {}).graceful_timeout


def test_a_shard_and_a_dispatcher_of_one_host_keep_out_of_each_others_way():
    shard = load_settings({}, {}, DEPLOY / "examples" / "three-hosts.toml")
    dispatcher = load_settings({}, {}, DEPLOY / "examples" / "three-hosts-dispatcher.toml")
    assert shard.state_dir != dispatcher.state_dir
    assert shard.port != dispatcher.port
    assert shard.advertise.endswith(f":{shard.port}")
    assert shard.advertise.startswith(shard.shard_id)


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.service")), ids=lambda file: file.name)
def test_systemd_accepts_the_units(file, tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    # What the unit starts need not be on this machine.
    command = tmp_path / "shardgate"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / file.name
    unit.write_text(file.read_text().replace("/opt/shardgate/.venv/bin/shardgate", str(command)))
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
