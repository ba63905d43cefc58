"""What lies in deploy/ for fleets fits the settings and the commands that exist."""

import re
from pathlib import Path

import pytest

from dispatcher.cli import cli
from workers.settings import load_settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.toml")), ids=lambda file: file.name)
def test_examples_are_settings(file):
    settings = load_settings({}, {}, file)
    assert settings.state_dir == Path("/var/lib/shardgate")


def test_hosts_of_a_fleet_share_what_they_must():
    shard = load_settings({}, {}, DEPLOY / "examples" / "fleet-shard.toml")
    dispatcher = load_settings({}, {}, DEPLOY / "examples" / "fleet-dispatcher.toml")
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
