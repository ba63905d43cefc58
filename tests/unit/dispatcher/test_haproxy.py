"""HAProxy's configuration as text: accepted without a warning, and the committed copy is current."""

import subprocess
from pathlib import Path

import pytest

from dispatcher.haproxy import Place, Server, render, server_arguments, template
from dispatcher.proxy import find_haproxy
from dispatcher.refusals import lua
from workers.settings import load_settings

ROOT = Path(__file__).resolve().parents[3]
SERVERS = [
    Server("shard-1", 7, "unix@/run/shard-1.sock", 100, 3000, True),
    Server("shard-2", 8, "[::1]:9000", 100, 3, False),
]


def rendered(tmp_path: Path, bind: str = "127.0.0.1:1", **settings: object) -> str:
    descriptors = settings.pop("descriptors", None)
    made = load_settings(settings, {}, base=tmp_path)
    script = tmp_path / "a script's.lua"
    script.write_text(lua())
    place = Place(bind, tmp_path / "a b's.sock", script=script)
    return render(made, place, SERVERS, descriptors=descriptors)  # type: ignore[arg-type]


def check(configuration: Path) -> str:
    """What HAProxy has to say of a configuration, without its two lines about itself."""
    program = find_haproxy(load_settings({}, {}, base=Path("/")))
    found = subprocess.run([program, "-c", "-f", str(configuration)], capture_output=True, text=True, check=False)
    lines = [line for line in (found.stdout + found.stderr).splitlines() if "[NOTICE]" not in line]
    assert found.returncode == 0, "\n".join(lines)
    return "\n".join(lines)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"virtual_host_domains": ("s3.example.org", "example.org"), "connections_per_client": "5"},
        {"max_header_bytes": "4096", "head_timeout": "1", "response_timeout": "86400", "balance_factor": "101"},
        {"max_header_bytes": "1048576", "max_connections": "10"},
    ],
)
def test_is_accepted_without_a_warning(tmp_path, settings):
    file = tmp_path / "haproxy.cfg"
    file.write_text(rendered(tmp_path, **settings))
    assert check(file) == "Configuration file is valid"


def test_the_committed_template_is_current_and_accepted():
    folder = ROOT / "deploy" / "haproxy"
    made = template(load_settings({}, {}, folder / "example.toml"))
    assert (folder / "haproxy.cfg").read_text() == made, "see the first line of deploy/haproxy/example.toml"
    assert check(folder / "haproxy.cfg") == "Configuration file is valid"


def test_a_shard_is_told_the_same_way_in_the_file_and_at_run_time(tmp_path):
    text = rendered(tmp_path)
    assert f"    server shard-1 {server_arguments(SERVERS[0])}\n" in text
    assert f"    server shard-2 {server_arguments(SERVERS[1])} disabled\n" in text
    # Idle connections take no more than a third of what a small shard has.
    assert " maxconn 3 send-proxy-v2-ssl " in text
    assert " pool-low-conn 1 pool-max-conn 1 " in text


def test_connections_fit_the_descriptors(tmp_path):
    assert "    maxconn 10000\n" in rendered(tmp_path)
    assert "    maxconn 10000\n" in rendered(tmp_path, descriptors=100_000)
    assert "    maxconn 400\n" in rendered(tmp_path, descriptors=1000)
    assert "    maxconn 10\n" in rendered(tmp_path, descriptors=64)


def test_a_head_that_a_shard_takes_fits_into_the_buffer(tmp_path):
    for size in (4096, 65536, 1_048_576):
        text = rendered(tmp_path, max_header_bytes=str(size))
        assert int(text.partition("tune.bufsize ")[2].split()[0]) - 1024 > size


def test_nothing_that_is_signed_is_touched(tmp_path):
    text = rendered(tmp_path, virtual_host_domains=("s3.example.org",))
    # Headers of answers are not signed.
    text = "\n".join(line for line in text.splitlines() if "http-after-response" not in line)
    for word in (
        "set-header",
        "del-header",
        "set-path",
        "set-uri",
        "normalize-uri",
        "forwardfor",
        "http-buffer-request",
    ):
        assert word not in text
