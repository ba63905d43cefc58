"""The compiled evaluator agrees with the naive one on policies and requests that nobody chose."""

import json
from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.iam import naive
from tests.unit.iam.world import BUCKET, NAMES, NOON, OTHER, OWNER
from workers.iam.decision import BucketAccess, decide
from workers.iam.policy.compiler import CompiledPolicy, compile_policy
from workers.iam.policy.context import RequestContext
from workers.iam.policy.keys import KEYS, find_key
from workers.iam.policy.model import Kind
from workers.iam.policy.principals import (
    ANONYMOUS,
    Principal,
    account_principal,
    role_principal,
    user_principal,
)
from workers.iam.policy.wildcards import compile_wildcards
from workers.protocol.errors import S3Error

OWN, FOREIGN = NAMES["{O}"], NAMES["{X}"]

# Most policies should apply to most requests: what is named twice is drawn twice as often.
ACTIONS = st.sampled_from(["s3:PutObject", "s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObjectVersion"])
ACTION_PATTERNS = st.sampled_from(
    ["s3:*", "s3:*", "*", "s3:PutObject", "s3:*Object", "s3:ListBucket", "S3:?etObject", "s3:Delete*"]
)
PATHS = ["b", "b/a", "b/a/b", "b/home/alice/x", "b/home/red", "b/*", "b/${aws:username}", "b/a:b"]
RESOURCES = st.sampled_from(PATHS).map(lambda path: f"arn:aws:s3:::{path}")
IN_BUCKET = [
    f"arn:aws:s3:::{path}"
    for path in """b* b* b/* b/* b b/a b/*/b b/a* b/home/${aws:username}/* b/home/${aws:PrincipalTag/team}
    b/${aws:PrincipalTag/team,'a'}* b/${*} b/${$}{aws:username} b/*:*""".split()
]
ELSEWHERE = ["*", "arn:*:s3:*:*:b/a", "arn:aws:*:::b/*", "arn:aws:s3:::*", "arn:aws:s3:::*/${aws:username}*"]
SINGLES = [(pattern,) for pattern in {*IN_BUCKET, *ELSEWHERE}]
PAIRS = [(one, other) for one in IN_BUCKET[4:10] for other in (*IN_BUCKET[8:12], ELSEWHERE[1])]
BUCKET_PATTERNS = st.sampled_from(IN_BUCKET)
IDENTITY_PATTERNS = BUCKET_PATTERNS | st.sampled_from(ELSEWHERE)
WHO = [
    "*",
    {"AWS": "*"},
    {"AWS": OWN},
    {"AWS": f"arn:aws:iam::{FOREIGN}:root"},
    {"CanonicalUser": OTHER},
    {"AWS": [OWN, FOREIGN]},
    {"AWS": [f"arn:aws:iam::{OWN}:user/alice", f"arn:aws:iam::{FOREIGN}:user/bob"]},
    {"AWS": f"arn:aws:iam::{OWN}:role/app"},
    {"AWS": f"arn:aws:sts::{OWN}:assumed-role/app/s1"},
    {"AWS": [OWNER, f"arn:aws:iam::{OWN}:role/app"]},
]
PRINCIPALS = st.sampled_from(WHO)

TEXTS = st.sampled_from(
    ["alice", "ALICE", "a*", "?lice", "red", "${aws:username}", "${aws:PrincipalTag/team}", "", "home/"]
)
NUMBERS = st.sampled_from(["1", "10", 10, 2.5, "100"])
DATES = st.sampled_from(["2026-06-21T12:00:00Z", "2026-06-21", "2026-06-22T00:00:00+02:00", str(NOON), "2020-01-01"])
BLOCKS = st.sampled_from(["192.0.2.0/24", "192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "::/0", "0.0.0.0/0"])
ARNS = st.sampled_from(
    [
        f"arn:aws:iam::{OWN}:user/alice",
        "arn:aws:iam::*:user/*",
        "arn:aws:iam::*:role/${aws:username}",
        "*",
        "arn:*:*:*:*:*",
        "arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}",
    ]
)
QUANTIFIERS = st.sampled_from(["", "", "", "ForAllValues:", "ForAnyValue:"])
SUFFIXES = st.sampled_from(["", "", "IfExists"])
COMPARISONS = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]
FAMILIES = [
    (
        [
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
        ],
        [
            "aws:username",
            "s3:prefix",
            "aws:PrincipalTag/team",
            "s3:RequestObjectTagKeys",
            "aws:UserAgent",
            "aws:userid",
        ],
        TEXTS,
    ),
    ([f"Numeric{name}" for name in COMPARISONS], ["s3:max-keys", "s3:TlsVersion", "aws:EpochTime"], NUMBERS),
    ([f"Date{name}" for name in COMPARISONS], ["aws:CurrentTime", "aws:EpochTime", "aws:TokenIssueTime"], DATES),
    (["IpAddress", "NotIpAddress"], ["aws:SourceIp"], BLOCKS),
    (["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"], ["aws:PrincipalArn"], ARNS),
    (["Bool"], ["aws:SecureTransport", "aws:MultiFactorAuthPresent"], st.sampled_from(["true", "false", True, False])),
]


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        operators, keys, values = draw(st.sampled_from(FAMILIES))
        name = draw(QUANTIFIERS) + draw(st.sampled_from(operators)) + draw(SUFFIXES)
        block.setdefault(name, {})[draw(st.sampled_from(keys))] = draw(
            values | st.lists(values, min_size=1, max_size=3)
        )
    if draw(st.integers(0, 9)) == 9:
        block["Null"] = {
            draw(st.sampled_from(["aws:username", "s3:prefix", "aws:TokenIssueTime"])): draw(st.booleans())
        }
    return block


@st.composite
def statements(draw: st.DrawFn, patterns: st.SearchStrategy[str], principals: bool) -> dict[str, Any]:
    effect = draw(st.sampled_from(["Allow", "Allow", "Deny"]))
    found: dict[str, Any] = {"Effect": effect}
    if principals:
        negated = effect == "Deny" and draw(st.booleans())
        found["NotPrincipal" if negated else "Principal"] = draw(PRINCIPALS)
    found[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(
        ACTION_PATTERNS | st.lists(ACTION_PATTERNS, min_size=1, max_size=2)
    )
    found[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(
        patterns | st.lists(patterns, min_size=1, max_size=3)
    )
    block = draw(conditions())
    if block:
        found["Condition"] = block
    return found


def documents(patterns: st.SearchStrategy[str], principals: bool) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "Version": st.sampled_from(["2012-10-17", "2012-10-17", "2008-10-17"]),
            "Statement": st.lists(statements(patterns, principals), min_size=1, max_size=4),
        }
    )


IDENTITY = documents(IDENTITY_PATTERNS, False)
BUCKETS = documents(BUCKET_PATTERNS, True)

DOES_NOT_APPLY = (
    "Action does not apply to any resource(s) in statement",
    "Conditions do not apply to combination of actions and resources in statement",
)

EVERYBODY = ("anonymous", "owner", "other", "alice", "bob", "role", "temp")
CALLERS = st.sampled_from(EVERYBODY)
CONTEXTS = st.fixed_dictionaries(
    {
        "ip": st.sampled_from(["192.0.2.1", "10.1.1.1", "2001:db8::1", "", "x"]),
        "secure": st.booleans(),
        "tags": st.sampled_from(["", "red=1&alice=2", "red=1", "alice=1", "x=1&home/=2&red=3"]),
    },
    optional={
        "prefix": st.sampled_from(["alice", "home/", "", "red", "a*"]),
        "max-keys": st.sampled_from(["1", "10", "99", "x"]),
        "agent": st.sampled_from(["alice", "ALICE", "?lice"]),
        "tls": st.sampled_from(["1.2", "10"]),
        "now": st.sampled_from([NOON, NOON - 43_200, NOON + 43_200]),
    },
)


def principal(name: str, policies: tuple[CompiledPolicy, ...], **limits: Any) -> Principal:
    both = {"policies": policies, **limits}
    account = {"policies": policies, "boundary": limits.get("boundary")}
    tags = {"team": "red"}
    match name:
        case "anonymous":
            return ANONYMOUS
        case "owner":
            return account_principal(OWNER, **account)
        case "other":
            return account_principal(OTHER, **account)
        case "alice":
            return user_principal(OWNER, "alice", tags=tags, **both)
        case "bob":
            return user_principal(OTHER, "bob", **both)
        case "temp":
            return user_principal(OWNER, "alice", token_issued=NOON, multi_factor=NOON, **both)
        case _:
            return role_principal(OWNER, "app", "s1", token_issued=NOON - 60, tags=tags, **both)


def naive_caller(name: str) -> dict[str, Any]:
    owned = {OWN: 1, f"arn:aws:iam::{OWN}:root": 1, OWNER: 1}
    others = {FOREIGN: 1, f"arn:aws:iam::{FOREIGN}:root": 1, OTHER: 1}
    alice = {f"arn:aws:iam::{OWN}:user/alice": 2, **owned}
    return {
        "anonymous": {"kind": "Anonymous", "account": "", "names": {}},
        "owner": {"kind": "Account", "account": OWNER, "names": dict.fromkeys(owned, 2)},
        "other": {"kind": "Account", "account": OTHER, "names": dict.fromkeys(others, 2)},
        "alice": {"kind": "User", "account": OWNER, "names": alice},
        "temp": {"kind": "User", "account": OWNER, "names": alice},
        "bob": {"kind": "User", "account": OTHER, "names": {f"arn:aws:iam::{FOREIGN}:user/bob": 2, **others}},
        "role": {
            "kind": "AssumedRole",
            "account": OWNER,
            "names": {f"arn:aws:sts::{OWN}:assumed-role/app/s1": 3, f"arn:aws:iam::{OWN}:role/app": 2, **owned},
        },
    }[name]


def context_of(caller: Principal, asked: dict[str, Any]) -> RequestContext:
    headers = {"user-agent": asked.get("agent"), "x-amz-tagging": asked.get("tags")}
    query = {name: asked[name] for name in ("prefix", "max-keys") if name in asked}
    return RequestContext(
        caller,
        now=asked.get("now", NOON),
        source_ip=asked["ip"],
        secure=asked["secure"],
        header=headers.get,
        query=query,
        tls_version=asked.get("tls", ""),
    )


def keys_of(context: RequestContext, action: str) -> dict[str, naive.Value]:
    """All keys of a request by the engine's own readers, whose correctness the table of cases pins."""
    found: dict[str, naive.Value] = {}
    for name in [*KEYS, "aws:principaltag/team"]:
        key = find_key(name)
        reader = None if key is None else key.reader(action)
        value = None if reader is None else reader(context)
        if isinstance(value, str):
            found[name] = value
        elif isinstance(value, tuple):
            found[name] = list(value)
    return found


def compiled(document: dict[str, Any], kind: Kind) -> CompiledPolicy | None:
    """None for a policy that says what cannot apply, which only bucket policies are refused for."""
    try:
        return compile_policy(json.dumps(document), kind, kind.value, bucket=BUCKET)
    except S3Error as error:
        if kind is not Kind.BUCKET or error.message not in DOES_NOT_APPLY:
            raise
        return None


def agree(document: dict[str, Any], kind: Kind, caller: str, ask: tuple[str, str, dict[str, Any]]) -> int | None:
    """Ask both about a document; what they agree on, None for a document that is refused."""
    action, resource, asked = ask
    policy = compiled(document, kind)
    if policy is None:
        return None
    who = principal(caller, ())
    context = context_of(who, asked)
    strength, rule = policy.evaluate(action, resource, who, context)
    names = naive_caller(caller)["names"]
    assert strength == naive.evaluate(document, action, resource, names, keys_of(context, action)), document
    assert (rule is not None) == (strength != 0)
    return strength


@settings(max_examples=300, deadline=None)
@given(IDENTITY, BUCKETS, CALLERS, ACTIONS, RESOURCES, CONTEXTS)
def test_whole_documents(
    identity: dict[str, Any],
    bucket: dict[str, Any],
    caller: str,
    action: str,
    resource: str,
    asked: dict[str, Any],
):
    agree(identity, Kind.IDENTITY, caller, (action, resource, asked))
    agree(bucket, Kind.BUCKET, caller, (action, resource, asked))


@settings(max_examples=500, deadline=None)
@given(conditions(), CALLERS, st.sampled_from(["s3:PutObject", "s3:ListBucket"]), CONTEXTS, st.booleans())
def test_conditions(block: dict[str, Any], caller: str, action: str, asked: dict[str, Any], deny: bool):
    effect = "Deny" if deny else "Allow"
    statement = {"Effect": effect, "Action": "s3:*", "Resource": "*", "Condition": block}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    agree(document, Kind.IDENTITY, caller, (action, "arn:aws:s3:::b/k", asked))


NOWHERE = {"ip": "", "secure": False, "tags": ""}


@pytest.mark.parametrize("version", ["2008-10-17", "2012-10-17"])
@pytest.mark.parametrize("element", ["Resource", "NotResource"])
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_every_resource_with_every_pattern(version: str, element: str, effect: str):
    seen = set()
    for patterns, path, caller in product([*SINGLES, *PAIRS], PATHS, ("alice", "role", "owner")):
        statement = {"Effect": effect, "Action": "*", element: list(patterns)}
        document = {"Version": version, "Statement": [statement]}
        seen.add(agree(document, Kind.IDENTITY, caller, ("s3:GetObject", f"arn:aws:s3:::{path}", NOWHERE)))
    assert seen == {0, 2 if effect == "Allow" else -1}


def test_every_caller_with_every_principal():
    seen = set()
    for who, caller, element in product(WHO, EVERYBODY, ("Principal", "NotPrincipal")):
        effect = "Deny" if element == "NotPrincipal" else "Allow"
        statement = {"Effect": effect, element: who, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        seen.add(agree(document, Kind.BUCKET, caller, ("s3:GetObject", "arn:aws:s3:::b/k", NOWHERE)))
    assert seen == {-1, 0, 1, 2, 3}


def said(verdict: str, **more: Any) -> dict[str, Any]:
    """A document that allows, denies, or says nothing."""
    effect, action = {
        "allows": ("Allow", "s3:*"),
        "denies": ("Deny", "s3:*"),
        "says nothing": ("Allow", "s3:DeleteObject"),
    }[verdict]
    resource = "arn:aws:s3:::b/*"
    return {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]}


VERDICTS = (None, "allows", "denies", "says nothing")


def test_all_documents_together():
    """Whatever identity policy, boundary, session policy and bucket policy say about whomever."""
    limiting = {verdict: None if verdict is None else said(verdict) for verdict in VERDICTS}
    ready = {verdict: None if text is None else compiled(text, Kind.IDENTITY) for verdict, text in limiting.items()}
    buckets = [None, *(said(verdict, Principal=who) for verdict in ("allows", "denies") for who in WHO)]
    outcomes = Counter()
    for bucket in buckets:
        access = BucketAccess(owner=OWNER, policy=None if bucket is None else compiled(bucket, Kind.BUCKET))
        for identity, boundary, session, caller in product(VERDICTS, VERDICTS, VERDICTS, EVERYBODY):
            if caller in ("anonymous", "owner", "other") and session is not None:
                continue  # an account's own keys have no session policy
            if caller == "anonymous" and (identity is not None or boundary is not None):
                continue
            policies = () if ready[identity] is None else (ready[identity],)
            sessions = None if ready[session] is None else (ready[session],)
            who = principal(caller, policies, boundary=ready[boundary], session=sessions)
            context = RequestContext(who)
            decision = decide("s3:GetObject", "arn:aws:s3:::b/k", who, context, access)
            texts = {
                "identity": limiting[identity],
                "boundary": limiting[boundary],
                "session": limiting[session],
                "bucket": bucket,
            }
            ask = ("s3:GetObject", "arn:aws:s3:::b/k", keys_of(context, "s3:GetObject"))
            expected = naive.decide(texts, naive_caller(caller), OWNER, ask)
            assert decision.allowed == expected, (texts, caller, decision)
            outcomes[expected] += 1
    assert min(outcomes[True], outcomes[False]) > 400


@settings(max_examples=300, deadline=None)
@given(st.text("ab*?", max_size=12), st.text("ab", max_size=14))
def test_wildcards(pattern: str, text: str):
    symbols = ["\\" + character if character in "*?" else character for character in pattern]
    assert compile_wildcards(pattern)(text) == naive.like(symbols, text)
