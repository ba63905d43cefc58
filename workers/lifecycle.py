"""The life of a worker: opened after the fork, swept now and then, closed at its exit."""

from __future__ import annotations

import logging
import random
import ssl
import tomllib
from typing import TYPE_CHECKING, Any, Final

import gevent
import redis

from backends import offload
from backends.api import Backend, BackendConfig, BackendError, Caller
from backends.loader import create
from workers.fairness.bucket_limits import BucketLimits
from workers.fairness.budgets import SETTLE_SECONDS, Budgets
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.auth_cache import AuthCache, root_identity
from workers.iam.identities import Identities
from workers.iam.oidc import HttpFetch, Issuers
from workers.iam.opening import ensure_master_key, open_people, open_registry, open_sealer, open_store
from workers.iam.registry import Registry
from workers.iam.sessions import Sessions
from workers.iam.stores.shared import Cached
from workers.iam.usage import KeyUsage
from workers.services import Services
from workers.settings import Settings, SettingsError
from workers.state.announcements import CHANNEL, Changes, Listener, tell_deaf
from workers.state.redis import Epoch, UnsupportedRedisUrl, connect, unfit
from workers.state.subscriber import Subscriber
from workers.state.upload_janitor import UploadJanitor
from workers.state.uploads import Uploads
from workers.telemetry import logs
from workers.telemetry.backend_calls import measure
from workers.telemetry.recorder import Recorder

if TYPE_CHECKING:
    # They need an extra.
    from workers.iam.account_sync import AccountSync, Report

logger = logging.getLogger("shardgate.lifecycle")

JANITOR_LOCK: Final = "shardgate:v1:janitor"
"""Held by the one worker of the fleet that sweeps at the moment; expires by itself."""

NOTE_USES_SECONDS: Final = 60.0

PEOPLE_LOCK: Final = "shardgate:v1:people"
"""The same of the worker that brings accounts in step with a directory."""

JANITOR: Final = Caller(account_id=ROOT_ACCOUNT_ID, user_name="janitor", uid=0, gid=0)
"""On whose behalf the storage is swept."""


def open_services(settings: Settings) -> Services:
    """Open everything that a worker needs. Raises `SettingsError` or `BackendError` with one line."""
    logs.configure(settings.log_level)
    offload.configure()
    if not settings.access_key or not settings.secret_key:
        raise SettingsError("access_key: the root credentials are not set (SHARDGATE_ACCESS_KEY, SHARDGATE_SECRET_KEY)")
    ensure_master_key(settings)
    sealer = open_sealer(settings)
    backend = open_backend(settings)
    try:
        recorder = Recorder.from_settings(settings)
    except OSError as error:
        setting = "access_log" if settings.access_log and error.filename else "statsd_host"
        raise SettingsError(f"{setting}: {error}") from None
    if recorder.metrics is not None:
        measure(backend, recorder.metrics)
    epoch = Epoch()
    client = _connect_redis(settings, epoch)
    changes = Changes(client)
    store = open_store(settings, backend, sealer)
    # Half of the time to live is spent in Redis, half of it in the worker.
    cached = Cached(store, client, sealer, settings.auth_cache_ttl / 2)
    read = Registry(cached, sealer)
    identities = Identities(read)
    root = root_identity(settings.access_key, settings.secret_key)
    sessions = Sessions(sealer, read, identities, root)
    registry = open_registry(settings, store, sealer, changes)
    return Services(
        settings=settings,
        backend=backend,
        auth=AuthCache(
            root,
            identities,
            sessions=sessions,
            known_before=cached,
            lifetime=settings.auth_cache_ttl / 2,
            grace=settings.auth_grace,
            unknown_rate=settings.unknown_key_rate,
        ),
        recorder=recorder,
        registry=registry,
        account_sync=open_people(settings, registry),
        identities=identities,
        usage=KeyUsage(Registry(store, sealer), client),
        sealer=sealer,
        budgets=_open_budgets(settings, client, backend, recorder) if settings.budgets else None,
        sessions=sessions,
        issuers=_open_issuers(settings),
        changes=changes,
        redis=client,
        uploads=None if client is None else Uploads(client, epoch, backend),
    )


def _open_budgets(settings: Settings, client: redis.Redis | None, backend: Backend, recorder: Recorder) -> Budgets:
    metrics = recorder.metrics

    def refused(budget: str) -> None:
        if metrics is not None:
            metrics.count(f"budget.{budget}.refused")

    return Budgets(settings, client, BucketLimits(backend).of, refused)


def _open_issuers(settings: Settings) -> Issuers | None:
    """What verifies tokens of the issuers in the settings; nobody is asked for keys yet. Raises `SettingsError`."""
    if not settings.oidc_issuers:
        return None
    ca = settings.oidc_ca
    if ca is not None:
        try:
            ssl.create_default_context(cafile=str(ca))
        except OSError as error:
            raise SettingsError(f"oidc_ca: {ca}: {error.strerror or error}") from None
    return Issuers(settings.oidc_issuers, HttpFetch(None if ca is None else str(ca)))


def open_backend(settings: Settings) -> Backend:
    """Load, make and open the storage plugin that the settings name. Raises `SettingsError` or `BackendError`."""
    config = BackendConfig(
        directory=str(settings.directory) if settings.directory is not None else None,
        options=_backend_options(settings),
        durable=settings.durability == "commit",
    )
    backend = create(settings.backend, config)
    backend.open()
    return backend


def _backend_options(settings: Settings) -> dict[str, Any]:
    if settings.backend_config is None:
        return {}
    try:
        with settings.backend_config.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"backend_config: {settings.backend_config}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"backend_config: {settings.backend_config}: {error}") from None


def _connect_redis(settings: Settings, epoch: Epoch) -> redis.Redis | None:
    """The client of the shared state.

    A Redis that may evict is refused by the supervisor, before anything starts. A worker only tells of it: one that is
    started anew beside others must not take the gateway down because of what was changed in Redis meanwhile.
    """
    if not settings.redis_url:
        return None
    try:
        client = connect(settings.redis_url, timeout=settings.redis_timeout, epoch=epoch)
    except UnsupportedRedisUrl as error:
        raise SettingsError(f"redis_url: {error}") from None
    try:
        if reason := unfit(client):
            logger.error("redis_url: %s", reason)
    except redis.RedisError as error:
        logger.warning("redis does not answer yet (%s); requests that need it will fail", type(error).__name__)
    return client


def worker_started(worker: Any) -> None:
    """gunicorn's post_worker_init: the application is there; begin what runs beside requests."""
    services: Services = worker.wsgi.services
    gevent.spawn(sweep_regularly, services)
    if services.budgets is not None:
        gevent.spawn(settle_regularly, services.budgets)
    if services.account_sync is not None and not services.settings.read_only:
        gevent.spawn(sync_accounts_regularly, services, services.account_sync)
    gevent.spawn(note_uses_regularly, services)
    if services.settings.redis_url:
        settings = services.settings
        subscriber = Subscriber(settings.redis_url, [CHANNEL], timeout=settings.redis_timeout, lost=tell_deaf)
        gevent.spawn(Listener(subscriber, services.changes).run)
        gevent.spawn(services.changes.resend)


def settle_regularly(budgets: Budgets) -> None:
    """Keep the fleet's budgets in step with what this worker uses."""
    while True:
        gevent.sleep(SETTLE_SECONDS)
        budgets.settle()


def sync_accounts_regularly(services: Services, sync: AccountSync) -> None:
    """Bring accounts in step with a directory, in one worker of the fleet at a time."""
    interval = services.settings.ldap_people_interval
    gevent.sleep(random.uniform(0.0, min(1.0, interval)))  # noqa: S311 -- no secret
    told: list[str] = []
    while True:
        if _may_run(services, PEOPLE_LOCK, interval):
            try:
                report = sync.run()
            except BackendError as error:
                logger.warning("accounts are not brought in step with the directory: %s", error)
            else:
                _tell(report, told)
        gevent.sleep(interval)


def _tell(report: Report, told: list[str]) -> None:
    """Log what a run has changed, and what it could not if that is news."""
    for what in ("created", "changed", "disabled"):
        names = getattr(report, what)
        if names:
            logger.info("accounts of the directory: %s %s", what, ", ".join(sorted(names)))
    if report.complaints != told:
        for line in report.complaints:
            logger.warning("accounts of the directory: %s", line)
        told[:] = report.complaints


def worker_stopping(worker: Any) -> None:
    """gunicorn's worker_exit: release everything."""
    services: Services = worker.wsgi.services
    services.recorder.close()
    services.backend.close()
    if services.redis is not None:
        services.redis.close()


def sweep_regularly(services: Services) -> None:
    """Remove what killed workers left behind, in one worker of the fleet at a time."""
    settings = services.settings
    # Workers that start together do not sweep together.
    gevent.sleep(random.uniform(0.5, 1.0) * min(5.0, settings.janitor_interval))  # noqa: S311 -- no secret
    while True:
        if _may_sweep(services):
            sweep(services)
        gevent.sleep(settings.janitor_interval)


def note_uses_regularly(services: Services) -> None:
    """Write down which access keys were used, long after the requests were answered."""
    while True:
        gevent.sleep(NOTE_USES_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret
        used = services.auth.take_used()
        if services.usage is not None and not services.settings.read_only:
            services.usage.note(used)


def sweep(services: Services) -> int:
    """One sweep; returns what it removed. A storage that fails is logged, and asked again next time."""
    removed = 0
    try:
        removed += services.backend.sweep(services.settings.janitor_age)
        removed += _sweep_uploads(services)
    except (BackendError, redis.RedisError) as error:
        logger.warning("the janitor's sweep failed: %s: %s", type(error).__name__, error)
    if removed:
        logger.info("the janitor removed %d leftovers", removed)
        if services.recorder.metrics is not None:
            services.recorder.metrics.count("janitor.removed", removed)
    return removed


def _sweep_uploads(services: Services) -> int:
    if services.uploads is None or services.settings.read_only:
        return 0
    janitor = UploadJanitor(services.uploads, services.backend, JANITOR, clock=services.clock)
    settings = services.settings
    return janitor.sweep(max_age=settings.multipart_max_age, leftover_age=settings.janitor_age)


def _may_sweep(services: Services) -> bool:
    """Whether this worker is the one to sweep."""
    return _may_run(services, JANITOR_LOCK, services.settings.janitor_interval)


def _may_run(services: Services, lock: str, interval: float) -> bool:
    """Whether this worker is the one for a job. Without Redis all of them do it, which is only wasteful."""
    if services.redis is None:
        return True
    lifetime = max(1, int(interval * 1000 * 0.9))
    try:
        return bool(services.redis.set(lock, b"1", nx=True, px=lifetime))
    except redis.RedisError:
        return True
