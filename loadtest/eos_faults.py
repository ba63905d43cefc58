"""What clients see, and what they lose, while each fault of the EOS emulator happens to the EOS plugin.

    python -m loadtest.eos_faults [--traffic boto3|locust] [--seconds 4] [--clients 4] [--only NAME ...]

Starts an emulator with two MGMs and two FSTs and a gateway of two workers. For each fault it lets clients read, write,
list, delete and upload in parts for some seconds, takes the fault away, and reads every key. The clients are threads
with boto3, or users of a headless locust (`loadtest.eos_locust`). Prints a table: the fault, how often it applied,
requests, errors by status and code, and losses: objects that were acknowledged and are gone, or content that nobody
wrote. Ends with status 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from loadtest.eos_servers import Emulator, emulator, gateway, s3_client
from loadtest.eos_traffic import Report, Traffic

QUICK = {
    "connect_timeout": 2.0,
    "call_timeout": 3.0,
    "find_timeout": 5.0,
    "data_timeout": 3.0,
    "close_timeout": 4.0,
    "check_timeout": 3.0,
    "lock_lease": 3.0,
}
"""Options with which a fault that is over leaves nothing hanging for long."""


PATIENCE = 180.0
"""Seconds in which a client has to end, once the fault is over."""


class Case(NamedTuple):
    """A fault rule with its parameters, or (`admin`) requests to the administration end, before and after.

    With `tls` there is TLS between the gateway and EOS.
    """

    name: str
    rule: dict[str, Any] | None = None
    admin: tuple[tuple[str, dict[str, Any]], ...] = ()
    after: tuple[tuple[str, dict[str, Any]], ...] = ()
    tls: bool = False


def rule(fault: str, probability: float = 0.3, **parameters: Any) -> Case:
    """A case of one rule."""
    shown = ", ".join(f"{name} {value}" for name, value in parameters.items())
    return Case(f"{fault} ({shown})" if shown else fault, {"fault": fault, "probability": probability, **parameters})


CASES = [
    Case("none"),
    rule("mgm_boot", 1.0), rule("mgm_latency", seconds=0.2), rule("mgm_error"), rule("mgm_error", status=503),
    rule("mgm_disconnect"), rule("mgm_stall_http"), rule("mgm_stall_http", status=501), rule("mgm_rename_lie"),
    rule("redirect_loop"), rule("redirect_loop", mode="two"), rule("redirect_plain_http")._replace(tls=True),
    rule("cap_expired"), rule("cap_bad"), rule("fst_down"), rule("quota"), rule("replica_offline"),
    rule("rain_layout", 1.0),
    rule("find_abort", 0.1), rule("find_abort", status=14, entries=3), rule("find_slow", seconds=0.02),
    rule("grpc_unavailable"), rule("grpc_hang", 0.02), rule("grpc_reset", 0.005), rule("key_revoked", 0.05),
    rule("user_unknown"), rule("stale_stat", seconds=0.3), rule("fst_open_error"),
    rule("fst_reset"), rule("fst_reset", bytes=30_000), rule("fst_silence", 0.05), rule("fst_no_reply"),
    rule("fst_no_reply", commit=False), rule("fst_slow", write_rate=2_000_000, read_rate=2_000_000, latency=0.05),
    rule("fst_enospc", bytes=1000), rule("enospc_on_last", 0.5), rule("short_body"), rule("short_body", bytes=100_000),
    rule("corrupt_body"), rule("wrong_length"), rule("chunked_body"), rule("buggy206", 1.0), rule("bad_checksum"),
    rule("close_error"), rule("commit_error"), rule("commit_short"), rule("checksum_missing"), rule("altxs_missing"),
    rule("altxs_late", seconds=0.5), rule("malformed_500"),
    Case("an FST goes down for 2 s", admin=(("/fst/0", {"state": "down", "seconds": 2}),)),
    Case("an FST is offline for 2 s", admin=(("/fst/1", {"state": "offline", "seconds": 2}),)),
    Case("fail-over of the MGM for 2 s", admin=(("/failover", {"seconds": 2}),), after=(("/master/0", {}),)),
]  # fmt: skip


@contextmanager
def happening(eos: Emulator, case: Case) -> Iterator[list[int]]:
    """The fault, for the time of the block; afterwards the list says how often it applied, where that is counted."""
    hits: list[int] = []
    if case.rule is not None:
        eos.admin("POST", "/faults", case.rule)
    for path, document in case.admin:
        eos.admin("POST", path, document)
    try:
        yield hits
    finally:
        if case.rule is not None:
            hits.append(_hits(eos))
        eos.admin("DELETE", "/faults")
        for path, document in case.after:
            eos.admin("POST", path, document)


def _hits(eos: Emulator) -> int:
    return sum(int(found["hits"]) for found in eos.admin("GET", "/faults"))


class Driver(Protocol):
    """Clients at work, from when it is made."""

    def stop(self) -> None:
        """Ask them to end. Returns at once: what hangs may have to be released first."""

    def join(self) -> None:
        """Wait for their end."""


class Threads:
    """A thread for each client."""

    def __init__(self, clients: Sequence[Traffic]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(client,), daemon=True) for client in clients]
        for thread in self._threads:
            thread.start()

    def _run(self, client: Traffic) -> None:
        while not self._stop.is_set():
            client.step()

    def stop(self) -> None:
        """See `Driver`."""
        self._stop.set()

    def join(self) -> None:
        """See `Driver`."""
        for thread in self._threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                raise RuntimeError("a client hangs")


def run(
    eos: Emulator,
    clients: Sequence[Traffic],
    case: Case,
    seconds: float,
    drive: Callable[[Sequence[Traffic]], Driver] = Threads,
) -> Report:
    """Traffic while a fault happens, and a look at every key after it."""
    for client in clients:
        client.ranges = case.rule is None or case.rule["fault"] != "corrupt_body"
    with happening(eos, case) as hits:
        driver = drive(clients)
        time.sleep(seconds)
        # By chance it may not have happened yet.
        end = time.monotonic() + 3 * seconds
        while case.rule is not None and not _hits(eos) and time.monotonic() < end:
            time.sleep(0.1)
        driver.stop()
    driver.join()
    total = Report(hits=hits[0] if hits else None)
    for client in clients:
        during, client.report = client.report, Report()
        total.add(during)
        client.check()
        after, client.report = client.report, Report()
        total.wrong += after.wrong
        total.lost += after.lost
        # With the fault away everything works.
        total.lost += [f"after it: {count} x {code}" for code, count in after.errors.items()]
    return total


def uncovered(eos: Emulator, cases: Sequence[Case]) -> set[str]:
    """Faults of the emulator that no case has."""
    return set(eos.admin("GET", "/kinds")) - {case.rule["fault"] for case in cases if case.rule is not None}


LEAKS = ("fst.leaked_keys", "fst.leaked_tokens", "fst.leaked_identities", "mgm.body_bytes", "fst.crashes")


def leaks(eos: Emulator) -> dict[str, int]:
    """What the plugin must never have sent."""
    counters = eos.admin("GET", "/counters")
    return {name: counters[name] for name in LEAKS if counters.get(name)}


def row(case: Case, report: Report) -> str:
    """A line of the table."""
    errors = ", ".join(f"{count} x {code}" for code, count in sorted(report.errors.items()))
    losses = len(report.wrong) + len(report.lost)
    # What is switched, for all there is, has no calls that it applied to.
    hits = "-" if report.hits is None else report.hits
    return f"| {case.name} | {hits} | {report.requests} | {errors or '-'} | {losses} |"


class Servers(NamedTuple):
    """An emulator and the clients of a gateway in front of it."""

    eos: Emulator
    clients: Sequence[Traffic]


@contextmanager
def servers(directory: Path, given: argparse.Namespace, *, tls: bool) -> Iterator[Servers]:
    """Both, with a bucket for the clients."""
    (directory / "eos").mkdir(parents=True)
    with (
        emulator(directory / "eos", "--layout", given.layout, "--altxs", "md5", mgms=2, tls=tls) as eos,
        gateway(
            directory / "gateway",
            eos.options(multipart=given.multipart, **QUICK),
            *("--multipart-min-part-size", "1"),
            workers=given.workers,
        ) as endpoint,
    ):
        s3 = s3_client(endpoint, connections=given.clients + 2)
        s3.create_bucket(Bucket="faults")
        yield Servers(eos, [Traffic(s3, "faults", number) for number in range(given.clients)])


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traffic", choices=["boto3", "locust"], default="boto3")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--layout", default="replica:2:adler32")
    parser.add_argument("--multipart", default="auto")
    return parser.parse_args()


def table(given: argparse.Namespace, drive: Callable[[Sequence[Traffic]], Driver]) -> bool:
    """Run the cases and print the table; whether all is well."""
    cases = [case for case in CASES if not given.only or any(name in case.name for name in given.only)]
    fine = True
    with tempfile.TemporaryDirectory(prefix="eos-faults-") as home, ExitStack() as stack:
        print("| fault | hits | requests | errors that clients saw | losses |\n|---|---|---|---|---|", flush=True)
        running: dict[bool, Servers] = {}
        for case in cases:
            if case.tls not in running:
                made = servers(Path(home, "tls" if case.tls else "plain"), given, tls=case.tls)
                running[case.tls] = stack.enter_context(made)
            eos, clients = running[case.tls]
            report = run(eos, clients, case, given.seconds, drive)
            print(row(case, report), flush=True)
            for line in (*report.wrong, *report.lost):
                print(f"    {line}", file=sys.stderr, flush=True)
            fine = fine and not report.wrong and not report.lost
        for eos, _ in running.values():
            if not given.only and uncovered(eos, cases):
                print(f"not covered: {uncovered(eos, cases)}", file=sys.stderr)
                fine = False
            if leaks(eos):
                print(f"leaked: {leaks(eos)}", file=sys.stderr)
                fine = False
    return fine


def main() -> int:
    """The command."""
    given = parsed()
    if given.traffic == "locust":
        # locust patches the standard library, and has to come before whatever uses sockets.
        command = [sys.executable, "-m", "loadtest.eos_locust", *sys.argv[1:]]
        os.execv(sys.executable, command)
    return int(not table(given, Threads))


if __name__ == "__main__":
    sys.exit(main())
