"""What clients see, and what they lose, while each fault of the EOS emulator happens to the EOS plugin.

    python -m loadtest.eos_faults [--seconds 4] [--clients 4] [--only NAME ...] [--layout replica:2:adler32]

Starts an emulator with two MGMs and two FSTs and a gateway of two workers. For each fault it lets clients read, write,
list, delete and upload in parts for some seconds, takes the fault away, and reads every key. Prints a table: the fault,
how often it applied, requests, errors by status and code, and losses: objects that were acknowledged and are gone, or
content that nobody wrote. Ends with status 1 if there is any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

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


class Case(NamedTuple):
    """A fault rule with its parameters, or (`admin`) requests to the administration end, before and after."""

    name: str
    rule: dict[str, Any] | None = None
    admin: tuple[tuple[str, dict[str, Any]], ...] = ()
    after: tuple[tuple[str, dict[str, Any]], ...] = ()


def rule(fault: str, probability: float = 0.3, **parameters: Any) -> Case:
    """A case of one rule."""
    shown = ", ".join(f"{name} {value}" for name, value in parameters.items())
    return Case(f"{fault} ({shown})" if shown else fault, {"fault": fault, "probability": probability, **parameters})


CASES = [
    Case("none"),
    rule("mgm_boot", 1.0), rule("mgm_latency", seconds=0.2), rule("mgm_error"), rule("mgm_error", status=503),
    rule("mgm_disconnect"), rule("mgm_stall_http"), rule("mgm_stall_http", status=501), rule("mgm_rename_lie"),
    rule("redirect_loop"), rule("redirect_loop", mode="two"), rule("redirect_plain_http"), rule("cap_expired"),
    rule("cap_bad"), rule("fst_down"), rule("quota"), rule("replica_offline"), rule("rain_layout", 1.0),
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
def happening(eos: Emulator, case: Case) -> Iterator[None]:
    """The fault, for the time of the block."""
    if case.rule is not None:
        eos.admin("POST", "/faults", case.rule)
    for path, document in case.admin:
        eos.admin("POST", path, document)
    try:
        yield
    finally:
        case_hits[case.name] = sum(int(found["hits"]) for found in eos.admin("GET", "/faults"))
        eos.admin("DELETE", "/faults")
        for path, document in case.after:
            eos.admin("POST", path, document)


case_hits: dict[str, int] = {}


def run(eos: Emulator, clients: Sequence[Traffic], case: Case, seconds: float) -> Report:
    """Traffic while a fault happens, and a look at every key after it."""
    stop = threading.Event()
    for client in clients:
        client.ranges = case.rule is None or case.rule["fault"] != "corrupt_body"
    threads = [threading.Thread(target=client.run, args=(stop,), daemon=True) for client in clients]
    with happening(eos, case):
        for thread in threads:
            thread.start()
        stop.wait(seconds)
        stop.set()
    for thread in threads:
        thread.join(180)
        if thread.is_alive():
            raise RuntimeError(f"{case.name}: a client hangs")
    total = Report()
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
    return f"| {case.name} | {case_hits.get(case.name, 0)} | {report.requests} | {errors or '-'} | {losses} |"


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--layout", default="replica:2:adler32")
    parser.add_argument("--multipart", default="auto")
    given = parser.parse_args()
    cases = [case for case in CASES if not given.only or any(name in case.name for name in given.only)]
    failed = False
    with tempfile.TemporaryDirectory(prefix="eos-faults-") as home:
        directory = Path(home)
        (directory / "eos").mkdir()
        with (
            emulator(directory / "eos", "--layout", given.layout, "--altxs", "md5", mgms=2) as eos,
            gateway(
                directory / "gateway",
                eos.options(multipart=given.multipart, **QUICK),
                *("--multipart-min-part-size", "1"),
                workers=given.workers,
            ) as endpoint,
        ):
            s3 = s3_client(endpoint, connections=given.clients + 2)
            s3.create_bucket(Bucket="faults")
            print("| fault | hits | requests | errors that clients saw | losses |\n|---|---|---|---|---|", flush=True)
            clients = [Traffic(s3, "faults", number) for number in range(given.clients)]
            for case in cases:
                report = run(eos, clients, case, given.seconds)
                print(row(case, report), flush=True)
                for line in (*report.wrong, *report.lost):
                    print(f"    {line}", file=sys.stderr, flush=True)
                failed = failed or bool(report.wrong or report.lost)
            if not given.only and uncovered(eos, cases):
                print(f"not covered: {uncovered(eos, cases)}", file=sys.stderr)
                failed = True
            if leaks(eos):
                print(f"leaked: {leaks(eos)}", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
