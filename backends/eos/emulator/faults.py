"""Faults that an administrator injects: rules that say what goes wrong, where, how often."""

import itertools
import random
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from backends.eos.emulator.failures import printable


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what is seen, and its parameters with their defaults."""

    effect: str
    parameters: dict[str, Any] = field(default_factory=dict)


KINDS: Final[dict[str, Kind]] = {
    "mgm_boot": Kind("gRPC calls but Ping hang until the rule is removed"),
    "mgm_latency": Kind("the MGM answers late", {"seconds": 0.5}),
    "mgm_error": Kind(
        "the MGM fails: an errno, or by HTTP a status", {"code": 5, "status": 0, "text": "injected failure"}
    ),
    "mgm_disconnect": Kind("the MGM resets the HTTP connection instead of answering"),
    "mgm_stall_http": Kind("PUT is answered 503, GET with this status", {"status": 403}),
    "mgm_rename_lie": Kind("rename answers code 0 and renames nothing", {"text": "stall: 5 seconds"}),
    "redirect_loop": Kind("the redirect leads to an MGM again: `self`, or the other one of `two`", {"mode": "self"}),
    "redirect_plain_http": Kind("the redirect is http:// for clients that came by https"),
    "cap_expired": Kind("the capability's time is over already: 500 at the FST"),
    "cap_bad": Kind("the capability does not decrypt: 500 at the FST"),
    "fst_down": Kind("the redirect leads to a port where nobody listens"),
    "quota": Kind("EDQUOT: 507 at the MGM"),
    "replica_offline": Kind("an update or a read finds its replica offline: 500"),
    "rain_layout": Kind("a range PUT is refused as on an erasure-coded layout: 403"),
    "find_abort": Kind("Find ends with this gRPC status after some entries", {"entries": 1, "status": 7}),
    "find_slow": Kind("Find pauses before each entry", {"seconds": 0.05}),
    "grpc_unavailable": Kind("gRPC status UNAVAILABLE", {"text": "injected"}),
    "grpc_hang": Kind("the gRPC call hangs until the rule is removed"),
    "grpc_reset": Kind("the gRPC server drops all its connections and comes back"),
    "key_revoked": Kind("the shared key is unknown: everything runs as nobody"),
    "user_unknown": Kind("`remote-user` is unknown: nobody"),
    "stale_stat": Kind("after a commit, look-ups show the state before it for a while", {"seconds": 0.5}),
    "fst_open_error": Kind("opening the file at the FST fails", {"status": 500}),
    "fst_reset": Kind("the FST resets the connection after so many bytes of the body", {"bytes": 0}),
    "fst_silence": Kind("the FST takes the request and never answers, until the rule is removed"),
    "fst_no_reply": Kind("after the whole body the FST closes without an answer", {"commit": True}),
    "fst_slow": Kind(
        "limited rates in bytes a second (0: none), delays in seconds",
        {"read_rate": 0, "write_rate": 0, "latency": 0.0, "close": 0.0},
    ),
    "fst_enospc": Kind("no space left after so many bytes of the body: 500, the file is removed", {"bytes": 0}),
    "enospc_on_last": Kind("the last range PUT of a file fails for lack of space"),
    "short_body": Kind("a GET's body ends early by so many bytes", {"bytes": 1}),
    "corrupt_body": Kind("one byte of a GET's body is wrong", {"offset": 0}),
    "wrong_length": Kind("a GET announces so many bytes more than it sends", {"bytes": 1}),
    "chunked_body": Kind("a GET is sent chunked, without a length"),
    "buggy206": Kind("a 206 has a Content-Length and a chunked body"),
    "bad_checksum": Kind("412 at close, the file is removed"),
    "close_error": Kind("500 `File close failed`, the file is removed"),
    "commit_error": Kind("the commit at the MGM fails: 500, the file is removed"),
    "commit_short": Kind("the committed size is too small", {"bytes": 1}),
    "checksum_missing": Kind("the commit carries no checksum"),
    "altxs_missing": Kind("the commit carries no alternative checksums"),
    "altxs_late": Kind("alternative checksums appear late", {"seconds": 1.0}),
    "malformed_500": Kind("500 with a header line that has no colon"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """What is going on: an operation such as `grpc.Exec.rename`, `mgm.PUT` or `fst.GET`, its path and its uid."""

    operation: str
    path: bytes = b""
    uid: int = -1


@dataclass
class Rule:
    """One fault. It applies to calls that match, after `skip` of them, `count` times, with some probability."""

    number: int
    fault: str
    operation: re.Pattern[str]
    path: re.Pattern[str]
    uid: int | None
    probability: float
    count: int | None
    skip: int
    parameters: dict[str, Any]
    hits: int = 0
    # Set when the rule is removed: those that hang go on.
    released: threading.Event = field(default_factory=threading.Event)

    def described(self) -> dict[str, Any]:
        """The rule as the administration end shows it."""
        return {
            "id": self.number,
            "fault": self.fault,
            "operation": self.operation.pattern,
            "path": self.path.pattern,
            "uid": self.uid,
            "probability": self.probability,
            "count": self.count,
            "skip": self.skip,
            "hits": self.hits,
            **self.parameters,
        }

    def fits(self, call: Call) -> bool:
        """Whether the rule speaks of this call."""
        return (
            (self.uid is None or self.uid == call.uid)
            and self.operation.search(call.operation) is not None
            and self.path.search(printable(call.path)) is not None
        )


class Faults:
    """The rules in force."""

    def __init__(self, seed: int) -> None:
        self._rules: list[Rule] = []
        self._numbers = itertools.count(1)
        self._random = random.Random(seed)  # noqa: S311 (chance, not secrets)
        self._lock = threading.Lock()

    def add(self, document: dict[str, Any]) -> Rule:
        """Add a rule given as a JSON object. Raises `ValueError` when it is not one."""
        rest = dict(document)
        fault = rest.pop("fault", None)
        if fault not in KINDS:
            raise ValueError(f"there is no fault {fault!r} (known: {', '.join(KINDS)})")
        try:
            rule = Rule(
                next(self._numbers),
                fault,
                re.compile(rest.pop("operation", "")),
                re.compile(rest.pop("path", "")),
                _optional_int(rest.pop("uid", None)),
                float(rest.pop("probability", 1.0)),
                _optional_int(rest.pop("count", None)),
                int(rest.pop("skip", 0)),
                dict(KINDS[fault].parameters),
            )
        except (re.error, TypeError, ValueError) as error:
            raise ValueError(f"{fault}: {error}") from error
        for name, value in rest.items():
            if name not in rule.parameters:
                raise ValueError(f"{fault} has no parameter {name!r} (known: {', '.join(rule.parameters) or 'none'})")
            default = rule.parameters[name]
            number = isinstance(default, (int, float)) and isinstance(value, (int, float))
            if not number and not isinstance(value, type(default)):
                raise ValueError(f"{fault}: {name} must be like {default!r}, not {value!r}")
            rule.parameters[name] = value
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, number: int | None = None) -> int:
        """Remove one rule, or all of them; whoever hangs on one goes on. Returns how many were removed."""
        with self._lock:
            gone = [rule for rule in self._rules if number is None or rule.number == number]
            self._rules = [rule for rule in self._rules if rule not in gone]
        for rule in gone:
            rule.released.set()
        return len(gone)

    def rules(self) -> list[Rule]:
        """All rules, exhausted ones too, so that their hits can be read."""
        with self._lock:
            return list(self._rules)

    def take(self, fault: str, call: Call) -> Rule | None:
        """The rule that makes this call fail so, if there is one; this uses up one of its times."""
        if not self._rules:
            return None
        with self._lock:
            for rule in self._rules:
                if rule.fault != fault or (rule.count is not None and rule.hits >= rule.count) or not rule.fits(call):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.probability < 1 and self._random.random() >= rule.probability:
                    continue
                rule.hits += 1
                return rule
        return None

    def first(self, faults: Iterable[str], call: Call) -> Rule | None:
        """The first of several kinds that applies."""
        return next((rule for fault in faults if (rule := self.take(fault, call)) is not None), None)

    def delay(self, call: Call) -> None:
        """Sleep where the MGM is told to be slow."""
        rule = self.take("mgm_latency", call)
        if rule is not None:
            rule.released.wait(rule.parameters["seconds"])

    def hang(self, fault: str, call: Call, *, limit: float = 3600.0) -> bool:
        """Wait until the rule that says so is removed, at most `limit` seconds; tells whether there was one."""
        rule = self.take(fault, call)
        if rule is None:
            return False
        rule.released.wait(limit)
        return True


def throttle(started: float, done: int, rate: float) -> None:
    """Sleep so that `done` bytes since `started` (monotonic seconds) keep to `rate` bytes a second."""
    ahead = done / rate - (time.monotonic() - started)
    if ahead > 0:
        time.sleep(ahead)


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)
