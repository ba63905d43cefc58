"""A directory server of the tests' own: OpenLDAP's slapd with its configuration, database and certificate.

with Directory(tmp_path) as directory:
    directory.url, directory.tls_url      # ldap://localhost:PORT, ldaps://localhost:PORT
    directory.ca                          # the certificate that the server's is checked against
    directory.options(start_tls=False)    # LdapOptions of the manager
    directory.add(LDIF)                   # entries, as the manager
    directory.stop(); directory.start()
"""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.support.gateway import free_port, wait_until
from workers.iam.ldap import LdapOptions

SCHEMAS = Path("/etc/ldap/schema")
OURS = Path(__file__).resolve().parents[2] / "deploy" / "ldap" / "shardgate.ldif"

BASE = "dc=example,dc=org"
MANAGER = f"cn=manager,{BASE}"
PASSWORD = "the manager's password, not to be seen"

_CONFIGURATION = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcTLSCertificateFile: {home}/certificate.pem
olcTLSCertificateKeyFile: {home}/key.pem

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schemas}

dn: olcDatabase=mdb,cn=config
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: {base}
olcRootDN: {manager}
olcRootPW: {password}
olcDbDirectory: {home}/database
olcDbNoSync: TRUE
olcDbMaxSize: 67108864
olcDbIndex: objectClass eq
olcSizeLimit: 600
olcAccess: to * by * read
"""

_ENTRIES = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=gateway,{BASE}
objectClass: organizationalUnit
ou: gateway

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people
"""


class Directory:
    """A slapd on a free port; see the module's text."""

    base = BASE
    manager = MANAGER
    password = PASSWORD

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port, self._tls_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("configuration", "database"):
            (home / name).mkdir(parents=True)
        self.ca = home / "certificate.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(home / "key.pem"), "-out", str(self.ca)),
            ],
            check=True,
            capture_output=True,
        )
        schemas = [f"include: file://{SCHEMAS}/{name}.ldif" for name in ("core", "cosine", "nis", "inetorgperson")]
        text = _CONFIGURATION.format(
            home=home,
            base=BASE,
            manager=MANAGER,
            password=PASSWORD,
            schemas="\n\n".join([*schemas, f"include: file://{OURS}"]),
        )
        self._slapadd(0, text)
        self._slapadd(1, _ENTRIES)
        self.start()

    @property
    def url(self) -> str:
        return f"ldap://localhost:{self._port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://localhost:{self._tls_port}"

    def options(self, **changes: Any) -> LdapOptions:
        """Options of the manager, with StartTLS unless changed."""
        made = LdapOptions((self.url,), ca=self.ca, bind_dn=MANAGER, bind_password=PASSWORD, timeout=20.0)
        return made._replace(**changes)

    def start(self) -> None:
        """Start, or start again after stop()."""
        self._process = subprocess.Popen(
            [
                *(_program("slapd"), "-F", str(self._home / "configuration"), "-d", "0"),
                *("-h", f"{self.url}/ {self.tls_url}/"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _listens(self._port) and _listens(self._tls_port), what="slapd")

    def stop(self) -> None:
        """SIGKILL and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def add(self, ldif: str) -> None:
        """Add entries."""
        self._client("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        """Change entries."""
        self._client("ldapmodify", ldif)

    def _client(self, program: str, ldif: str) -> None:
        command = [program, "-x", "-H", self.url, "-D", MANAGER, "-w", PASSWORD]
        subprocess.run(command, input=ldif.encode(), check=True, capture_output=True)

    def _slapadd(self, database: int, ldif: str) -> None:
        command = [_program("slapadd"), "-F", str(self._home / "configuration"), "-n", str(database), "-q"]
        found = subprocess.run(command, input=ldif.encode(), capture_output=True, check=False)
        assert found.returncode == 0, found.stderr.decode()

    def __enter__(self) -> "Directory":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found is not None, f"{name} is missing: apt-get install slapd ldap-utils"
    return found


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("localhost", port), 1):
            return True
    except OSError:
        return False
