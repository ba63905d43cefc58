"""What Redis URLs say, and which are refused without telling their password."""

import pytest

from workers.state.redis_urls import Form, RedisPlace, UnsupportedRedisUrl, parse_redis_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", RedisPlace(Form.SINGLE, (("h", 6379),))),
        ("redis://", RedisPlace(Form.SINGLE, (("localhost", 6379),))),
        (
            "redis://u:p%40ss@h:1/3",
            RedisPlace(Form.SINGLE, (("h", 1),), db=3, login={"username": "u", "password": "p@ss"}),
        ),
        ("redis://:p@h?db=2", RedisPlace(Form.SINGLE, (("h", 6379),), db=2, login={"password": "p"})),
        ("redis://h?password=p", RedisPlace(Form.SINGLE, (("h", 6379),), login={"password": "p"})),
        ("unix:///run/a%20b.sock?db=1", RedisPlace(Form.SINGLE, path="/run/a b.sock", db=1)),
        (
            "unix://u:p@/run/a.sock",
            RedisPlace(Form.SINGLE, path="/run/a.sock", login={"username": "u", "password": "p"}),
        ),
        (
            "rediss://h?ssl_check_hostname=no",
            RedisPlace(Form.SINGLE, (("h", 6379),), tls={"ssl_check_hostname": False}),
        ),
        (
            "redis+sentinel://a,b:5,[::1]:6/main",
            RedisPlace(Form.SENTINEL, (("a", 26379), ("b", 5), ("::1", 6)), master="main"),
        ),
        (
            "redis+sentinel://u:p@a/main/4?sentinel_username=s&sentinel_password=t",
            RedisPlace(
                Form.SENTINEL,
                (("a", 26379),),
                master="main",
                db=4,
                login={"username": "u", "password": "p"},
                sentinel_login={"username": "s", "password": "t"},
            ),
        ),
        ("rediss+sentinel://a/m", RedisPlace(Form.SENTINEL, (("a", 26379),), master="m", tls={}, sentinel_tls=True)),
        ("rediss+sentinel://a/m?sentinel_tls=no", RedisPlace(Form.SENTINEL, (("a", 26379),), master="m", tls={})),
        ("redis+cluster://:p@a:7000,b", RedisPlace(Form.CLUSTER, (("a", 7000), ("b", 6379)), login={"password": "p"})),
        ("rediss+cluster://a/0", RedisPlace(Form.CLUSTER, (("a", 6379),), tls={})),
    ],
)
def test_urls(url: str, place: RedisPlace) -> None:
    assert parse_redis_url(url) == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://:secret@h", "not supported"),
        ("sentinel://:secret@h", "not supported"),
        ("redis://:secret@[::1", "brackets"),
        ("redis-of-secret", "not a URL"),
        ("redis://:secret@::1:6379", "brackets"),
        ("redis://:secret@h:0", "HOST:PORT"),
        ("redis://:secret@h:99999", "HOST:PORT"),
        ("redis://:secret@h/x", "database"),
        ("redis://:secret@h/1/2", "more than a database"),
        ("redis://:secret@h?db=x", "database"),
        ("redis://:secret@h?decode_responses=yes", "unknown option 'decode_responses'"),
        ("rediss://:secret@h?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs: /nowhere/ca.pem cannot be read"),
        ("rediss://:secret@h?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("unix://:secret@", "path of a socket"),
        ("redis+sentinel://:secret@h", "master's name"),
        ("redis+sentinel://:secret@h/m/x", "database"),
        ("redis+cluster://:secret@h/1", "databases"),
        ("redis+cluster://:secret@h,g:x", "HOST:PORT"),
    ],
)
def test_refusals(url: str, words: str) -> None:
    with pytest.raises(UnsupportedRedisUrl, match=words) as caught:
        parse_redis_url(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_login_is_not_shown() -> None:
    assert "secret" not in repr(parse_redis_url("redis+sentinel://u:secret@a/m?sentinel_password=secret"))
