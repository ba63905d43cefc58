"""The table of the gateway's settings, in the order and under the headings of `docs/settings.md`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from workers.settings_kinds import (
    BackendName,
    FilePath,
    HostName,
    IssuerUrl,
    Names,
    Network,
    RedisUrl,
    Seconds,
    Secret,
    Switch,
    Text,
    Whole,
)
from workers.settings_option import Option, section
from workers.settings_services import BUDGETS, LDAP, MASTER_KEYS, PEOPLE, VAULT

OPTIONS: Final[tuple[Option, ...]] = (
    *section(
        "Storage",
        Option(
            "directory",
            FilePath(),
            "Directory that the posix backend serves: each directory in it is a bucket. Required by that backend.",
        ),
        Option(
            "backend",
            BackendName(),
            "Storage plugin: a registered name, `module:Class`, or the path of a Python file.",
            "posix",
        ),
        Option("backend_config", FilePath(), "TOML file with the plugin's own options."),
        Option(
            "state_dir",
            FilePath(),
            "Where the gateway keeps its own state: the embedded Redis, the generated root credentials and key, lock "
            "files. One running gateway per state directory. Keep it private and back it up with the data.",
            default_text="`DIR/.shardgate/state`; `./shardgate-state` without DIR",
        ),
        Option(
            "durability",
            Text(choices=("commit", "relaxed")),
            "`commit` answers a write when it would survive a power cut; `relaxed` leaves the moment to the kernel.",
            "commit",
        ),
        Option("read_only", Switch(), "Refuse every operation that changes something.", False),
        Option(
            "janitor_interval",
            Seconds(1, 86400),
            "Seconds between two looks for what killed workers left behind in the storage.",
            300.0,
        ),
        Option(
            "janitor_age",
            Seconds(0, 604800),
            "Seconds after which such a leftover is removed. Must exceed the time of the longest single upload.",
            86400.0,
        ),
        Option(
            "multipart_max_age",
            Seconds(1, 315_360_000),
            "Seconds after which a multipart upload that got no part for as long is aborted.",
            604800.0,
        ),
        Option(
            "multipart_min_part_size",
            Whole(0, 5 << 30),
            "Bytes that each part of a multipart upload but the last must have. S3 asks for 5 MiB, and clients know.",
            5 << 20,
        ),
    ),
    *section(
        "Front",
        Option("host", HostName(), "Address to listen on; `0.0.0.0` or `::` for all.", "127.0.0.1"),
        Option("port", Whole(1, 65535), "TCP port to listen on.", 9000),
        Option(
            "listen_socket",
            FilePath(),
            "Listen on this unix socket instead of host and port, for a proxy on the same host.",
        ),
        Option(
            "tls_certificate", FilePath(), "PEM file with the certificate and its chain: serve HTTPS instead of HTTP."
        ),
        Option(
            "tls_key",
            FilePath(),
            "PEM file with the certificate's private key, when that is not in the same file.",
        ),
        Option(
            "proxy_protocol",
            Switch(),
            "A proxy in front announces each client's address by the PROXY protocol, version 1 or 2.",
            False,
        ),
        Option(
            "trusted_proxies",
            Names(Network()),
            "Addresses or networks of the proxies whose PROXY header is believed.",
            ("127.0.0.1", "::1"),
        ),
        Option("region", Text(pattern=r"[a-z0-9-]{1,64}"), "Region that signatures are checked against.", "us-east-1"),
        Option(
            "virtual_host_domains",
            Names(HostName()),
            "Domains under which `BUCKET.DOMAIN` addresses a bucket. Bucket names in the path always work.",
            (),
        ),
    ),
    *section(
        "Processes",
        Option(
            "workers",
            Whole(1, 1024),
            "Worker processes of each shard.",
            default_text="the CPUs that this process may use, shared among `shards`; 1 with the memory backend",
        ),
        Option(
            "redis_url",
            RedisUrl(),
            "Redis that the workers share: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://`, "
            "`redis+cluster://`, the latter two also with `rediss`. Empty: start one on a unix socket.",
            "",
        ),
        Option(
            "redis_timeout",
            Seconds(0.05, 60),
            "Seconds within which Redis has to take a connection and to answer, and one of the pool has to be free.",
            1.0,
        ),
        Option(
            "worker_connections",
            Whole(1, 1_000_000),
            "Client connections that one worker holds at a time.",
            4000,
        ),
        Option("backlog", Whole(1, 65535), "Connections that wait in the kernel until a worker accepts them.", 2048),
        Option(
            "graceful_timeout",
            Seconds(1, 86400),
            "Seconds that transfers in flight get to finish on stop and reload.",
            300.0,
        ),
        Option(
            "worker_timeout",
            Seconds(5, 3600),
            "Seconds of silence after which a worker counts as hung and is replaced.",
            60.0,
        ),
    ),
    *section(
        "Fleet",
        Option(
            "shards",
            Whole(0, 256),
            "Shards behind HAProxy on this host. 0: one shard that takes the clients' connections itself.",
            0,
        ),
        Option(
            "shard_id",
            Text(pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
            "Name of this host's shard in the fleet; `shardgate serve` appends a number. Keep it across restarts: "
            "the keys that a shard serves follow from its name.",
            "",
            default_text="the host's name, with the port for `shardgate shard`",
        ),
        Option(
            "advertise",
            Text(pattern=r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}"),
            "`HOST:PORT` under which dispatchers on other hosts reach the shard of `shardgate shard`.",
            "",
        ),
        Option("shard_weight", Whole(1, 256), "The shard's share of the keys, relative to the others.", 100),
        Option(
            "heartbeat_interval",
            Seconds(0.1, 60),
            "Seconds between two heartbeats of a shard, and between two looks of a dispatcher at the fleet.",
            1.0,
        ),
        Option(
            "shard_expiry",
            Seconds(1, 3600),
            "Seconds without a heartbeat after which dispatchers send a shard nothing any more.",
            10.0,
        ),
        Option("max_connections", Whole(10, 1_000_000), "Client connections that HAProxy holds at a time.", 10_000),
        Option(
            "connections_per_client",
            Whole(0, 1_000_000),
            "Connections that HAProxy takes from one address at a time. 0: no limit.",
            0,
        ),
        Option(
            "requests_per_client",
            Whole(0, 1_000_000),
            "Requests a second that HAProxy takes from one address, over 5 s; more get 503 SlowDown. 0: no limit.",
            0,
        ),
        Option(
            "response_timeout",
            Seconds(1, 86400),
            "Seconds that HAProxy waits for a shard that says nothing, before it answers 504.",
            900.0,
        ),
        Option(
            "balance_factor",
            Whole(101, 1000),
            "Percent of the average number of requests in progress that one shard may have before its keys spill over.",
            150,
        ),
        Option("haproxy", FilePath(), "The HAProxy program.", default_text="`haproxy` on the PATH or in a `sbin`"),
    ),
    *section(
        "Limits",
        Option("head_timeout", Seconds(1, 3600), "Seconds within which a request's head has to be complete.", 30.0),
        Option("body_timeout", Seconds(1, 3600), "Seconds of silence after which a request's body is given up.", 60.0),
        Option(
            "keepalive",
            Seconds(1, 3600),
            "Seconds that an idle connection is kept. Must exceed the idle time of a proxy in front.",
            75.0,
        ),
        Option(
            "max_header_bytes",
            Whole(4096, 1_048_576),
            "Size limit of a request's headers.",
            65536,
        ),
    ),
    *section(
        "Root account",
        Option(
            "access_key",
            Text(pattern=r"[A-Za-z0-9._-]{3,128}"),
            "Access key of the root account. Generated at the first start when neither this nor the secret is set.",
            "",
            default_text="generated, kept in `state_dir/root-credentials.json`",
        ),
        Option(
            "secret_key",
            Secret(8, 128),
            "Secret key of the root account.",
            "",
            default_text="generated, kept in `state_dir/root-credentials.json`",
        ),
        *MASTER_KEYS,
    ),
    *section(
        "Identities",
        Option(
            "iam_store",
            Text(choices=("backend", "file", "ldap", "vault")),
            "Where accounts, users, keys and policies are kept, sealed: `backend`, by the storage itself; `file`, in "
            "one file that all hosts of the fleet share; `ldap`, in a directory; `vault`, in Vault or OpenBao.",
            "backend",
        ),
        Option(
            "iam_file",
            FilePath(),
            'The file of `iam_store = "file"`.',
            default_text="`state_dir/identities`",
        ),
        Option(
            "new_bucket_ownership",
            Text(choices=("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")),
            "Object ownership of a bucket that is made without `x-amz-object-ownership`. ACLs count in all but the "
            "first, which is what AWS has.",
            "BucketOwnerEnforced",
        ),
        Option(
            "new_bucket_public_access_block",
            Switch(),
            "Whether a new bucket takes no public ACLs and policies until its owner says so, as on AWS.",
            True,
        ),
        Option(
            "auth_cache_ttl",
            Seconds(1, 3600),
            "Seconds after which a change of an identity or of a bucket's configuration is seen by workers that did "
            "not hear of it, because Redis was away. Otherwise it is seen at once.",
            60.0,
        ),
        Option(
            "auth_grace",
            Seconds(0, 86400),
            "Seconds for which identities that a worker knows go on beyond that when neither Redis nor their store "
            "answers.",
            300.0,
        ),
        Option(
            "unknown_key_rate",
            Whole(1, 100_000),
            "How often in a second a worker asks the store for access keys that it has never seen. Beyond, such "
            "requests are answered with SlowDown.",
            50,
        ),
        Option(
            "oidc_issuers",
            Names(IssuerUrl()),
            "Issuers of OpenID Connect whose tokens may be exchanged for a role. An account can trust these and no "
            "others. None: nobody signs in by a token.",
            (),
        ),
        Option(
            "oidc_ca",
            FilePath(),
            "PEM file with the authorities that signed the certificates of these issuers, instead of the system's.",
        ),
    ),
    *section("Directory", *LDAP, *PEOPLE),
    *section("Vault", *VAULT),
    *section("Budgets", *BUDGETS),
    *section(
        "Telemetry",
        Option(
            "log_level",
            Text(choices=("debug", "info", "warning", "error")),
            "How much the gateway tells on standard error.",
            "info",
        ),
        Option("access_log", FilePath(dash=True), "File for one line per request; `-` for standard output.", None),
        Option(
            "statsd_host", HostName(optional=True), "Host that metrics are sent to by UDP. Empty: none are sent.", ""
        ),
        Option("statsd_port", Whole(1, 65535), "UDP port of the statsd server.", 8125),
        Option(
            "statsd_prefix", Text(pattern=r"[A-Za-z0-9_.-]{0,64}"), "First part of every metric's name.", "shardgate"
        ),
    ),
)

OPTION_BY_NAME: Final[Mapping[str, Option]] = MappingProxyType({option.name: option for option in OPTIONS})
