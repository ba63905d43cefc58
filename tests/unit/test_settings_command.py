"""`shardgate config` and docs/settings.md."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import dispatcher.cli
from dispatcher.cli import cli
from dispatcher.settings_page import render_page
from workers.settings_table import OPTIONS

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, env: dict[str, str] | None = None):
    return CliRunner().invoke(cli, arguments, env=env or {})


def test_the_settings_page_is_current():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == render_page(), "run: shardgate config --markdown > docs/settings.md"


def test_the_page_names_every_setting_with_flag_and_variable():
    page = render_page()
    for option in OPTIONS:
        assert f"`{option.name}`" in page
        assert f"`{option.variable}`" in page
        assert not option.flag or f"`{option.flag}`" in page


def test_serve_and_config_take_every_flag():
    for command in ("serve", "config"):
        offered = {flag for parameter in cli.commands[command].params for flag in parameter.opts}
        assert {option.flag for option in OPTIONS if option.flag.startswith("--")} <= offered
        assert "--config" in offered


def test_config_tells_origins_as_json():
    result = run("config", "data", "--port", "9001", "--json", env={"SHARDGATE_REGION": "eu-1"})
    document = json.loads(result.stdout)
    assert document["port"] == {"value": 9001, "origin": "--port"}
    assert document["region"] == {"value": "eu-1", "origin": "SHARDGATE_REGION"}
    assert document["directory"] == {"value": str(Path.cwd() / "data"), "origin": "DIR"}
    assert document["host"]["origin"] == "default"
    assert set(document) == {option.name for option in OPTIONS}


def test_config_masks_secrets():
    secrets = {
        "SHARDGATE_ACCESS_KEY": "ACCESSKEY",
        "SHARDGATE_SECRET_KEY": "topsecret1",
        "SHARDGATE_MASTER_KEY": "topsecret2" * 4,
        "SHARDGATE_REDIS_URL": "redis://user:topsecret3@h:1/0?password=topsecret4&db=2",
    }
    for arguments in (["config"], ["config", "--json"]):
        result = run(*arguments, env=secrets)
        assert result.exit_code == 0
        assert "topsecret" not in result.output
        assert "ACCESSKEY" in result.output
        assert "redis://user:********@h:1/0?password=********&db=2" in result.output


def test_config_as_text_has_a_line_for_each_setting():
    lines = run("config", "--read-only", "--virtual-host-domain", "a.example").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [option.name for option in OPTIONS]
    assert next(line for line in lines if line.startswith("read_only")).split()[1:] == ["true", "#", "--read-only"]
    assert any('["a.example"]' in line for line in lines)


def test_misspelt_variables_are_told_on_standard_error():
    assert "SHARDGATE_PROT is not a setting" in run("config", env={"SHARDGATE_PROT": "1"}).stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["config", "--port", "x"], "shardgate: port (--port): 'x' is not a whole number\n"),
        (
            ["serve", "d", "--durability", "x"],
            "shardgate: durability (--durability): 'x' is not one of commit, relaxed\n",
        ),
        (["serve"], "shardgate: directory is not set: name the directory to serve, as in `shardgate serve DIR`\n"),
    ],
)
def test_a_wrong_setting_ends_with_status_2_and_one_line(monkeypatch, capsys, arguments, line):
    monkeypatch.setattr("sys.argv", ["shardgate", *arguments])
    with pytest.raises(SystemExit) as ended:
        dispatcher.cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == line


def test_version():
    assert run("version").stdout.startswith("shardgate 0.")
