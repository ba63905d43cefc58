"""From looks at the registry to commands for HAProxy, without either."""

import dataclasses

import pytest

from dispatcher.fleet import Roster, commands, cuts, dump_servers, last_usable, load_servers, resolve
from dispatcher.haproxy import LAST_RESORT, Server
from dispatcher.registry import DRAIN, DRAINING, LEFT, REMOVE, STARTING, UP, Face, Fleet, Pulse, Shard
from dispatcher.runtime_api import ServerState


def shard(name, *, state=UP, wish="", silence=0.0, address="10.0.0.1:9000", host="here/1", number=7):
    face = Face(address=address, host=host, weight=100, connections=3000, state=state)
    return Shard(name, number, face, Pulse(), wish, silence)


def roster(servers=()):
    return Roster("here/1", 10.0, servers, resolver=lambda address: address)


def look(*shards):
    return Fleet(1, shards, ())


@pytest.mark.parametrize(
    ("state", "wish", "accepting"),
    [
        (UP, "", True),
        (UP, DRAIN, False),
        (UP, REMOVE, False),
        (UP, "restart 1", True),
        (STARTING, "", False),
        (DRAINING, "", False),
    ],
)
def test_states_and_wishes_decide_who_accepts(state, wish, accepting):
    servers = roster().see(look(shard("a", state=state, wish=wish)), 0)
    assert servers["a"].accepting is accepting


def test_a_shard_that_left_goes_at_once():
    one = roster()
    one.see(look(shard("a"), shard("b")), 0)
    assert set(one.see(look(shard("a"), shard("b", state=LEFT)), 1)) == {"a"}


def test_a_dead_shard_that_an_operator_removed_goes_a_living_one_is_drained():
    one = roster()
    assert set(one.see(look(shard("a"), shard("b", wish=REMOVE, silence=99)), 0)) == {"a"}
    assert not one.see(look(shard("a"), shard("b", wish=REMOVE)), 0)["b"].accepting


def test_a_silent_shard_gets_nothing_while_another_is_heard():
    servers = roster().see(look(shard("a"), shard("b", silence=11)), 0)
    assert (servers["a"].accepting, servers["b"].accepting) == (True, False)


def test_when_all_are_silent_all_go_on():
    servers = roster().see(look(shard("a", silence=11), shard("b", silence=12), shard("c", silence=12, wish=DRAIN)), 0)
    assert [server.accepting for server in servers.values()] == [True, True, False]


def test_a_redis_that_lost_its_data_does_not_empty_the_fleet():
    one = roster()
    one.see(look(shard("a"), shard("b")), 0)
    assert set(one.see(look(), 1)) == {"a", "b"}
    assert set(one.see(look(shard("a")), 2)) == {"a", "b"}
    # A pause in which nothing could be seen does not count against anybody.
    assert set(one.see(look(shard("a")), 500)) == {"a", "b"}
    for second in range(501, 512):
        servers = one.see(look(shard("a")), second)
    assert set(servers) == {"a"}


def test_what_was_known_before_counts_as_just_seen():
    known = Server("a", 7, "10.0.0.1:9000", 100, 3000, True)
    assert roster([known]).see(look(), 0) == {"a": known}


def test_unix_sockets_of_another_host_are_out_of_reach():
    servers = roster().see(
        look(shard("a", address="unix@/run/a.sock"), shard("b", address="unix@/run/b.sock", host="there/1")), 0
    )
    assert {name: server.address for name, server in servers.items()} == {"a": "unix@/run/a.sock"}


def test_names_are_resolved_and_the_last_answer_is_kept():
    answers = {"shard.example:9000": "10.1.1.1:9000"}

    def resolver(address):
        try:
            return answers[address]
        except KeyError:
            raise OSError("no such name") from None

    one = Roster("here/1", 10.0, resolver=resolver)
    named = shard("a", address="shard.example:9000")
    assert one.see(look(named), 0)["a"].address == "10.1.1.1:9000"
    answers.clear()
    servers = one.see(look(named, shard("b", address="unknown.example:1")), 1)
    assert {name: server.address for name, server in servers.items()} == {"a": "10.1.1.1:9000"}
    assert set(one.unresolved) == {"a", "b"}


@pytest.mark.parametrize(
    ("address", "resolved"),
    [("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:80", "[::1]:80"), ("[0:0::1]:80", "[::1]:80")],
)
def test_numbers_stay_numbers(address, resolved):
    assert resolve(address) == resolved


SERVER = Server("a", 7, "10.0.0.1:9000", 100, 3000, True)
STATE = ServerState("a", 7, "10.0.0.1:9000", "UP", 100, 0, 3000)


def texts(wanted, found, **options):
    steps = commands({server.name: server for server in wanted}, {state.name: state for state in found}, **options)
    return [text for text, _ in steps]


def test_nothing_to_do():
    assert texts([SERVER], [STATE]) == []
    assert texts([SERVER], [dataclasses.replace(STATE, status="DOWN 1/2")]) == []


def test_a_new_server_is_added_with_its_number_and_checks():
    add, health, state = texts([SERVER], [])
    assert add.startswith("add server shards/a 10.0.0.1:9000 id 7 weight 100 maxconn 3000 send-proxy-v2-ssl check ")
    assert (health, state) == ("enable health shards/a", "set server shards/a state ready")
    drained = dataclasses.replace(SERVER, accepting=False)
    assert texts([drained], [])[-1] == "set server shards/a state drain"


def test_drain_and_back():
    drained = dataclasses.replace(SERVER, accepting=False)
    assert texts([drained], [STATE]) == ["set server shards/a state drain"]
    assert texts([drained], [dataclasses.replace(STATE, status="MAINT")]) == ["set server shards/a state drain"]
    assert texts([drained], [dataclasses.replace(STATE, status="DRAIN 1/2")]) == []
    assert texts([SERVER], [dataclasses.replace(STATE, status="DRAIN")]) == ["set server shards/a state ready"]
    assert texts([SERVER], [dataclasses.replace(STATE, status="MAINT")]) == ["set server shards/a state ready"]


def test_what_takes_requests_comes_before_what_takes_none():
    other = dataclasses.replace(SERVER, name="b", number=8)
    drained = dataclasses.replace(SERVER, accepting=False)
    draining = dataclasses.replace(STATE, name="b", number=8, status="DRAIN")
    assert texts([drained, other], [STATE, draining]) == [
        "set server shards/b state ready",
        "set server shards/a state drain",
    ]


def test_the_last_usable_server_is_spared_until_another_one_is_usable():
    other = dataclasses.replace(SERVER, name="b", number=8)
    drained = dataclasses.replace(SERVER, accepting=False)

    def spared(wanted, *found):
        return last_usable({one.name: one for one in wanted}, {one.name: one for one in found})

    for status in ("DOWN", "DOWN 1/2", "DRAIN", "MAINT"):
        state = dataclasses.replace(STATE, name="b", number=8, status=status)
        assert spared([drained, other], STATE, state) == {"a"}
        assert spared([other], STATE, state) == {"a"}
    assert spared([drained, other], STATE) == {"a"}
    assert spared([drained, other], STATE, dataclasses.replace(state, status="UP 1/3")) == set()
    # An operator who wants everything drained gets that.
    assert spared([drained], STATE) == set()
    assert spared([], STATE) == set()
    assert texts([drained], [STATE], spared=frozenset("a")) == []
    assert texts([], [STATE], spared=frozenset("a")) == []


def test_requests_of_a_lost_shard_end_only_when_checks_fail_too():
    down = dataclasses.replace(STATE, status="DOWN", requests=3)
    cut = [("shutdown sessions server shards/a", "")]
    assert cuts(frozenset("a"), {"a": down}) == cut
    assert cuts(frozenset(), {"a": down}) == []
    for state in (dataclasses.replace(down, requests=0), dataclasses.replace(down, status="DRAIN")):
        assert cuts(frozenset("a"), {"a": state}) == []


def test_a_shard_is_lost_only_while_others_are_heard():
    one = Roster("here/1", 10.0)
    one.see(look(shard("a", silence=11.0), shard("b")), 0)
    assert one.lost == {"a"}
    one.see(look(shard("a", silence=11.0), shard("b", silence=11.0)), 1)
    assert one.lost == set()


def test_the_last_resort_has_the_same_servers_without_checks():
    add, state = texts([SERVER], [], backend=LAST_RESORT)
    assert add.startswith("add server any-shard/a 10.0.0.1:9000 id 7 weight 100 maxconn 3000 send-proxy-v2-ssl pool-")
    assert state == "set server any-shard/a state ready"
    unchecked = dataclasses.replace(STATE, status="no check")
    assert texts([SERVER], [unchecked], backend=LAST_RESORT) == []
    drained = dataclasses.replace(SERVER, accepting=False)
    assert texts([drained], [unchecked], backend=LAST_RESORT) == ["set server any-shard/a state drain"]


def test_a_busy_server_is_drained_before_it_is_deleted():
    busy = dataclasses.replace(STATE, requests=3)
    assert texts([], [busy]) == ["set server shards/a state drain"]
    assert texts([], [dataclasses.replace(busy, status="DRAIN")]) == []
    idle = dataclasses.replace(STATE, status="DRAIN")
    assert texts([], [idle]) == ["set server shards/a state maint", "del server shards/a"]
    assert texts([], [busy], impatient=frozenset("a")) == [
        "set server shards/a state maint",
        "shutdown sessions server shards/a",
        "del server shards/a",
    ]


def test_a_server_that_moved_is_replaced():
    assert texts([SERVER], [dataclasses.replace(STATE, address="10.9.9.9:1")])[-1] == "del server shards/a"
    assert texts([SERVER], [dataclasses.replace(STATE, number=8)])[-1] == "del server shards/a"
    local = dataclasses.replace(SERVER, address="unix@/run/a.sock")
    assert texts([local], [dataclasses.replace(STATE, address="unix")]) == []


def test_weight_and_connections_follow():
    state = dataclasses.replace(STATE, weight=10, connections=5)
    assert texts([SERVER], [state]) == ["set server shards/a weight 100", "set maxconn server shards/a 3000"]


def test_servers_survive_in_a_file(tmp_path):
    path = tmp_path / "fleet.json"
    assert load_servers(path) == []
    path.write_text(dump_servers([SERVER]))
    assert load_servers(path) == [SERVER]
    for broken in ("", "[]", '{"version": 2, "servers": []}', '{"version": 1, "servers": [{}]}'):
        path.write_text(broken)
        assert load_servers(path) == []
