"""`shardgate master-key` on a store of its own: a key is made, shown and replaced, also beside a running process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dispatcher import master_key_command
from dispatcher.cli import cli
from dispatcher.processes import SupervisionError
from workers.iam.master_keys import KeyFile
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.file import FileDocuments
from workers.settings import SettingsError

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(master_key_command, "_SETTLED", 0.0)
    monkeypatch.setattr(KeyFile, "look_seconds", 0.0)
    (tmp_path / "data").mkdir()
    (tmp_path / "state").mkdir()
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    def made(*words: str, **environ: str) -> Result:
        given = {
            "SHARDGATE_DIRECTORY": str(home / "data"),
            "SHARDGATE_STATE_DIR": str(home / "state"),
            "SHARDGATE_IAM_STORE": "file",
            "SHARDGATE_DURABILITY": "relaxed",
            **environ,
        }
        return CliRunner().invoke(cli, ["master-key", *words], env=given)

    return made


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(result: Result) -> str:
    assert isinstance(result.exception, (SupervisionError, SettingsError)), result
    assert "\n" not in str(result.exception)
    return str(result.exception)


def status(run: Run) -> list[tuple[str, int]]:
    found: dict[str, Any] = json.loads(done(run("status", "--json")))
    return [(row["state"], row["records"]) for row in found["keys"]]


def registry_of(home: Path, sealer: Sealer) -> Registry:
    return Registry(FileDocuments(home / "state" / "identities", sealer, durable=False), sealer)


def test_a_key_is_made_once(home: Path, run: Run) -> None:
    path = home / "state" / "master-key"
    assert str(path) in done(run("generate"))
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_text()
    assert "exists" in refused(run("generate"))
    assert path.read_text() == first
    assert first.strip() not in done(run("status"))
    other = home / "other"
    done(run("generate", str(other)))
    assert other.read_text() != first


def test_a_key_is_replaced_beside_a_running_process(home: Path, run: Run) -> None:
    done(run("generate"))
    path = home / "state" / "master-key"
    now = [0.0]
    running = registry_of(home, Sealer(KeyFile(path).read(), reload=KeyFile(path).read, clock=lambda: now[0]))
    account = running.create_account("alice")
    made = running.create_key(account.id)
    # The file, account, name, number and key, and the secret in it.
    assert status(run) == [("present", 6)]
    done(run("rotate"))
    assert status(run) == [("present", 0), ("former", 6)]
    # Within a second the process still seals under the key that it knows.
    running.create_account("bob")
    assert [state for state, _ in status(run)] == ["present", "former"]
    done(run("reseal"))
    assert [count for _, count in status(run)][1] == 0
    now[0] += 2.0
    found = running.find_key(made.record.access_key)
    assert found is not None
    assert running.secret_of(found.record) == made.secret
    running.create_account("carol")
    assert "took 1 former keys away" in done(run("reseal", "--drop-former"))
    assert len(KeyFile(path).read()) == 1
    fresh = registry_of(home, Sealer(KeyFile(path).read()))
    assert fresh.secret_of(fresh.find_key(made.record.access_key).record) == made.secret  # type: ignore[union-attr]
    assert len(fresh.accounts()) == 3
    assert "no former master key" in done(run("reseal", "--drop-former"))


def test_a_run_that_was_broken_off_is_started_anew(home: Path, run: Run) -> None:
    done(run("generate"))
    path = home / "state" / "master-key"
    registry = registry_of(home, Sealer(KeyFile(path).read()))
    for number in range(5):
        registry.create_account(f"account{number}")
    done(run("rotate"))
    half = registry_of(home, Sealer(KeyFile(path).read()))
    half._records.reseal(next(iter(half._records.names("iam/accounts/"))))
    assert status(run)[1][1] > 0
    done(run("reseal"))
    assert status(run)[1][1] == 0


def test_former_keys_stay_while_something_cannot_be_sealed_anew(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(run("generate"))
    path = home / "state" / "master-key"
    registry_of(home, Sealer(KeyFile(path).read())).create_account("alice")
    done(run("rotate"))
    monkeypatch.setattr("workers.iam.resealing.reseal", lambda registry, store: 0)
    assert "none was taken away" in refused(run("reseal", "--drop-former"))
    assert len(KeyFile(path).read()) == 2


def test_a_file_that_others_may_read_is_refused(home: Path, run: Run) -> None:
    done(run("generate"))
    (home / "state" / "master-key").chmod(0o644)
    for words in (("status",), ("rotate",), ("reseal",)):
        assert "mode 0644" in refused(run(*words))


def test_a_key_of_the_environment_is_replaced_there(home: Path, run: Run) -> None:
    key = "k" * 32
    assert "in a file or in Vault only" in refused(run("rotate", SHARDGATE_MASTER_KEY=key))
    assert "SHARDGATE_MASTER_KEY" in done(run("status", SHARDGATE_MASTER_KEY=key))


def test_no_more_keys_than_can_be_read(home: Path, run: Run) -> None:
    done(run("generate"))
    for _ in range(7):
        done(run("rotate"))
    assert "--drop-former" in refused(run("rotate"))


def test_without_a_key_there_is_one_line(run: Run) -> None:
    assert "no master key is set" in refused(run("status"))
