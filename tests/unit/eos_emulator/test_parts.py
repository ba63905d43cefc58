"""Parts of the emulator without servers: paths, layouts, ranges, capabilities, rules of faults, switches, the tree."""

import errno
import random
import zlib

import pytest

from backends.eos.emulator import fst_get, layouts, paths, quirks, upload_ranges
from backends.eos.emulator.capabilities import Capabilities, Capability, CapabilityError
from backends.eos.emulator.entries import Container, File
from backends.eos.emulator.failures import EosError, NotFound
from backends.eos.emulator.faults import KINDS, Call, Faults
from backends.eos.emulator.http_answers import HttpFailure, failure, opaque
from backends.eos.emulator.main import parsed_layout
from backends.eos.emulator.namespace import Namespace
from backends.eos.emulator.placement import Placement
from backends.eos.emulator.storage import BLOCK, Storage, pattern
from backends.eos.emulator.store import Store
from backends.eos.emulator.writers import Writers
from backends.eos.emulator.xattrs import from_query


class TestPaths:
    """Section 2.5."""

    @pytest.mark.parametrize(
        ("path", "result"),
        [
            (b"/", b"/"),
            (b"//a//b/", b"/a/b"),
            (b"/a/./b/../c", b"/a/c"),
            (b"/../a", b"/a"),
            (b"/a#AND#b", b"/a&b"),
            (b"/\xff", b"/\xff"),
        ],
    )
    def test_normalised(self, path, result):
        assert paths.normalised(path) == result

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            (b"", errno.EINVAL),
            (b"a", errno.EINVAL),
            (b"/a\0b", errno.EINVAL),
            (b"/a\rb", errno.EILSEQ),
            (b"/a" * 254, errno.ENAMETOOLONG),
        ],
    )
    def test_refused(self, path, code):
        with pytest.raises(EosError) as caught:
            paths.normalised(path)
        assert caught.value.code == code

    def test_root_may_use_line_breaks(self):
        assert paths.normalised(b"/a\nb", privileged=True) == b"/a\nb"


class TestLayouts:
    """Section 2.3."""

    @pytest.mark.parametrize(
        ("code", "layout"),
        [
            (0x00100112, layouts.Layout("replica", "adler32", 2)),
            (0x00100002, layouts.Layout("plain", "adler32", 1)),
            (0x00100004, layouts.Layout("plain", "md5", 1)),
            (0x00100552, layouts.Layout("qrain", "adler32", 6)),
        ],
    )
    def test_ids(self, code, layout):
        assert layouts.parsed(code) == layout
        assert layout.code == code

    def test_id_0_is_one_replica_without_checksum(self):
        assert layouts.parsed(0) == layouts.Layout("plain", "none", 1)

    @pytest.mark.parametrize("kind", ["adler32", "crc32", "crc32c", "md5", "sha1", "sha256"])
    def test_checksums_do_not_depend_on_the_blocks(self, kind):
        data = random.Random(1).randbytes(100_000)
        whole, parts = layouts.hasher(kind), layouts.hasher(kind)
        whole.update(data)
        for at in range(0, len(data), 777):
            parts.update(data[at : at + 777])
        assert whole.digest() == parts.digest()
        assert len(whole.digest()) == layouts.DIGEST_SIZES[kind]
        assert len(layouts.committed(whole.digest())) == 32

    def test_adler32_is_big_endian(self):
        running = layouts.hasher("adler32")
        running.update(b"hello world")
        assert running.digest() == zlib.adler32(b"hello world").to_bytes(4, "big")

    def test_etags(self):
        file = File(3, 2, b"f", 0, 0, 0o644, 5_000_000_000, 0, layout=0x00100002, checksum=bytes(32))
        assert layouts.file_etag(file) == f'"{3 << 28}:00000000"'
        file.layout = 0x00100004
        assert layouts.file_etag(file) == f'"{"0" * 32}"'
        file.layout, file.checksum = 0, b""
        assert layouts.file_etag(file) == f'"{3 << 28}:5"'
        file.xattrs["sys.tmp.etag"] = b"mine"
        assert layouts.file_etag(file) == "mine"
        assert layouts.file_etag(file, hard_link=True) == "hardlink"
        container = Container(255, 1, b"d", 0, 0, 0, 0, 0, 7_089_000_000)
        assert layouts.container_etag(container) == "ff:7.089"

    @pytest.mark.parametrize("text", ["nonsense", "replica:x", "replica:2:nonsense"])
    def test_the_options_form_refuses(self, text):
        with pytest.raises(ValueError, match="--layout"):
            parsed_layout(text)

    def test_the_options_form(self):
        assert parsed_layout("replica:3:md5") == layouts.Layout("replica", "md5", 3)
        assert parsed_layout("replica") == layouts.Layout("replica", "adler32", 2)
        assert parsed_layout("plain") == layouts.Layout("plain", "adler32", 1)


class TestRanges:
    """Sections 4.4 and 4.7."""

    def plan(self, text, length, total=None, done=None):
        headers = {"x-upload-range": text, "content-length": str(length)}
        if total is not None:
            headers["x-upload-totalsize"] = str(total)
        if done is not None:
            headers["x-upload-done"] = done
        return upload_ranges.planned(headers)

    def test_no_range(self):
        assert upload_ranges.planned({"content-length": "5"}) is None

    @pytest.mark.parametrize(
        ("total", "done", "last"),
        [(15, None, True), (16, None, False), (15, "false", False), (16, "true", True), (10**13, None, False)],
    )
    def test_the_last_one(self, total, done, last):
        assert self.plan("bytes=10-14", 5, total, done) == upload_ranges.UploadRange(10, last)

    def test_no_total_size_means_the_beginning(self):
        assert self.plan("bytes=10-14", 5) == upload_ranges.UploadRange(0, False)

    @pytest.mark.parametrize(
        ("text", "length", "total"),
        [("bytes=10-14", 4, 100), ("bytes=10-14", 5, 12), ("bytes=10-14", 5, 9), ("bytes=a-b", 5, 9)],
    )
    def test_416(self, text, length, total):
        with pytest.raises(HttpFailure) as caught:
            self.plan(text, length, total)
        assert caught.value.status == 416

    def test_crashes(self):
        with pytest.raises(upload_ranges.FstCrash):
            self.plan("bytes=10-14", 5, 10)
        with pytest.raises(upload_ranges.FstCrash):
            upload_ranges.planned({"x-upload-range": "bytes=0-1", "x-upload-totalsize": "9"})

    @pytest.mark.parametrize(
        ("header", "found"),
        [
            ("", []),
            ("bytes=0-0", [(0, 0)]),
            ("bytes=5-", [(5, 9)]),
            ("bytes=-4", [(6, 9)]),
            ("bytes=6-7,0-1", [(0, 1), (6, 7)]),
            ("bytes=0-3,3-5,6-6", [(0, 6)]),
            ("bytes=x", []),
        ],
    )
    def test_ranges_of_downloads(self, header, found):
        assert fst_get.parsed_ranges(header, 10) == found


class TestCapabilities:
    """Section 3.7."""

    CAPABILITY = Capability(
        access="read",
        fid=5,
        path=b"/\xff",
        uid=1,
        gid=2,
        layout=3,
        fsids=[1],
        valid=100,
        nonce="n",
        ctime=4,
        etag='"e"',
    )

    def test_there_and_back(self):
        signer = Capabilities(b"key")
        query = signer.signed(self.CAPABILITY)
        assert signer.opened(query, 99_000_000_000) == self.CAPABILITY
        assert {"+", "/", "=", "&", '"'} & set(query.partition("=")[2]) == set()

    @pytest.mark.parametrize(
        ("change", "now"),
        [(lambda query: query, 100), (lambda query: query.replace("%3D", "="), 1), (lambda query: "encURI=", 1)],
    )
    def test_what_does_not_hold(self, change, now):
        signer = Capabilities(b"key")
        with pytest.raises(CapabilityError):
            signer.opened(change(signer.signed(self.CAPABILITY)), now * 10**9)
        with pytest.raises(CapabilityError):
            Capabilities(b"other").opened(signer.signed(self.CAPABILITY), 1)


class TestHttp:
    @pytest.mark.parametrize(
        ("code", "put", "status"),
        [
            (errno.ENOENT, False, 404),
            (errno.ENOENT, True, 409),
            (errno.EPERM, True, 403),
            (errno.EACCES, True, 403),
            (errno.EDQUOT, True, 507),
            (errno.ENOSPC, True, 507),
            (errno.EAGAIN, True, 409),
            (errno.EOPNOTSUPP, True, 501),
            (errno.EILSEQ, True, 422),
            (errno.ETXTBSY, True, 503),
            (errno.EEXIST, True, 500),
            (errno.ENETUNREACH, True, 500),
            (412, True, 412),
        ],
    )
    def test_errnos(self, code, put, status):
        """Section 3.9."""
        assert failure(EosError(code, ""), put=put).status == status

    def test_opaque(self):
        """Section 3.2."""
        assert opaque("a=1&b=x%20y&a=2&c=p%23AND%23q&d") == {"a": "2", "b": "x y", "c": "p&q", "d": ""}

    def test_attributes_by_query(self):
        assert from_query("user.a=1#sys.b=2#user.c=x=y#user.d") == {"user.a": b"1", "user.c": b"x=y"}


class TestFaults:
    """Section 8.6."""

    def test_rules_have_the_parameters_of_their_kind(self):
        faults = Faults(1)
        for name, kind in KINDS.items():
            rule = faults.add({"fault": name, **kind.parameters})
            assert rule.parameters == kind.parameters
            assert kind.effect
        assert faults.remove() == len(KINDS)

    def test_waiting_ends_with_the_rule(self):
        faults = Faults(1)
        rule = faults.add({"fault": "fst_silence"})
        faults.remove(rule.number)
        assert rule.released.is_set()
        assert not faults.hang("fst_silence", Call("x"))

    def test_chance_is_that_of_the_seed(self):
        def drawn(seed):
            faults = Faults(seed)
            faults.add({"fault": "quota", "probability": 0.5})
            return [faults.take("quota", Call("x")) is not None for _ in range(32)]

        assert drawn(1) == drawn(1)
        assert drawn(1) != drawn(2)


class TestQuirks:
    def test_every_release_is_known(self):
        assert quirks.of_release("5.3").altxs is False
        assert quirks.of_release("master").file_command is True
        with pytest.raises(ValueError, match="no release"):
            quirks.of_release("1.0")

    @pytest.mark.parametrize(
        "values", [{"none": 1}, {"order": "random"}, {"altxs": "maybe"}, {"crash_seconds": "long"}]
    )
    def test_what_does_not_fit_changes_nothing(self, values):
        switches = quirks.Quirks()
        with pytest.raises(ValueError):
            switches.change({"altxs": "off", **values})
        assert switches == quirks.Quirks()

    def test_text_is_converted(self):
        switches = quirks.Quirks()
        switches.change({"altxs": "off", "crash_seconds": "2.5", "find_limit": "7", "order": "sorted"})
        assert (switches.altxs, switches.crash_seconds, switches.find_limit, switches.order) == (
            False,
            2.5,
            7,
            "sorted",
        )


class TestWriters:
    """Section 4.5."""

    def test_alone(self):
        writers = Writers()
        writers.open(1)
        assert writers.failed(1)

    def test_others_are_open(self):
        writers = Writers()
        writers.open(1)
        writers.open(1)
        assert not writers.failed(1)
        assert writers.failed(1)

    def test_one_closed_well_meanwhile(self):
        writers = Writers()
        writers.open(1)
        writers.open(1)
        writers.closed(1)
        assert not writers.failed(1)
        writers.open(1)
        assert writers.failed(1), "the mark went with the last writer"

    def test_one_closed_well_before(self):
        writers = Writers()
        writers.open(1)
        writers.closed(1)
        writers.open(1)
        assert writers.failed(1)


class TestPlacement:
    def test_replicas_are_on_different_servers(self):
        placement = Placement(2, 2)
        for _ in range(8):
            first, second = placement.choose(layouts.Layout("replica", "adler32", 2), b"/f")
            assert placement.filesystems[first] is not placement.filesystems[second]

    def test_all_filesystems_are_used(self):
        placement = Placement(2, 2)
        assert {placement.choose(layouts.Layout(), b"/f")[0] for _ in range(8)} == {1, 2, 3, 4}

    def test_what_is_offline_is_not(self):
        placement = Placement(2, 1)
        placement.fsts[0].online = False
        assert placement.choose(layouts.Layout(), b"/f") == [2]
        with pytest.raises(EosError) as caught:
            placement.choose(layouts.Layout("replica", "adler32", 2), b"/f")
        assert caught.value.code == errno.ENOSPC


class TestTree:
    """Section 8.1: the namespace, and its way to disk and back."""

    @pytest.fixture
    def tree(self, tmp_path):
        opened = []

        def open_tree(**switches):
            settings = quirks.Quirks()
            settings.change({"accounting_delay": 0, **switches})
            ticks = iter(range(10**18, 2 * 10**18, 10**6))
            opened.append(Namespace(Store(tmp_path / "db"), settings, lambda: next(ticks), 7))
            return opened[-1]

        return open_tree

    def test_ids_grow_and_are_never_used_again(self, tree):
        namespace = tree()
        with namespace.transaction():
            first = namespace.add_file(namespace.root, b"a", 1, 1, 0o644)
            namespace.remove(first)
        namespace.close()
        namespace = tree()
        with namespace.transaction():
            assert namespace.add_file(namespace.root, b"b", 1, 1, 0o644).id == first.id + 1

    def test_everything_is_written(self, tree):
        namespace = tree()
        with namespace.transaction():
            directory = namespace.add_container(namespace.root, b"d\xff", 1, 2, 0o700, {"user.a": b"\xff"})
            file = namespace.add_file(directory, b"f\n", 3, 4, 0o600)
            with namespace.accounted(file):
                file.size = 9
            file.altxs, file.locations = {"md5": "00"}, [1, 2]
        namespace.settle()
        namespace.close()
        again = tree()
        assert again.find(b"/d\xff/f\n") == file
        assert again.find(b"/d\xff").xattrs == {"user.a": b"\xff"}
        assert again.accounting.tree_size(1) == 9
        assert again.path(again.find(b"/d\xff")) == b"/d\xff/"

    def test_what_a_failed_operation_changed_is_written_too(self, tree):
        namespace = tree()

        def fail():
            with namespace.transaction():
                namespace.add_container(namespace.root, b"d", 0, 0, 0o700, {})
                raise EosError(errno.EIO, "half-way")

        with pytest.raises(EosError):
            fail()
        namespace.close()
        assert tree().find(b"/d").name == b"d"

    def test_sizes_move_with_a_directory(self, tree):
        namespace = tree()
        with namespace.transaction():
            a = namespace.add_container(namespace.root, b"a", 0, 0, 0o700, {})
            b = namespace.add_container(namespace.root, b"b", 0, 0, 0o700, {})
            inner = namespace.add_container(a, b"inner", 0, 0, 0o700, {})
            file = namespace.add_file(inner, b"f", 0, 0, 0)
            with namespace.accounted(file):
                file.size = 5
            namespace.move(inner, b, b"inner")
        assert [namespace.accounting.tree_size(c.id) for c in (a, b, namespace.root)] == [0, 5, 5]

    @pytest.mark.parametrize("order", ["hash", "sorted", "insertion"])
    def test_orders(self, tree, order):
        namespace = tree(order=order)
        names = [b"%d" % number for number in random.Random(3).sample(range(100), 30)]
        with namespace.transaction():
            for name in names:
                namespace.add_file(namespace.root, name, 0, 0, 0)
        found = [file.name for file in namespace.files_of(namespace.root)]
        expected = {"sorted": sorted(names), "insertion": names, "hash": found}[order]
        assert found == expected
        assert sorted(found) == sorted(names)
        assert (order == "hash") == (found not in (names, sorted(names)))

    def test_links(self, tree):
        namespace = tree()
        with namespace.transaction():
            directory = namespace.add_container(namespace.root, b"d", 0, 0, 0o700, {})
            namespace.add_file(directory, b"f", 0, 0, 0)
            namespace.add_file(namespace.root, b"l", 0, 0, 0).link = b"d"
            namespace.add_file(namespace.root, b"loop", 0, 0, 0).link = b"/loop"
        assert namespace.find(b"/l/f").name == b"f"
        assert namespace.find(b"/l", follow=False).link == b"d"
        with pytest.raises(EosError) as caught:
            namespace.find(b"/loop")
        assert caught.value.code == errno.ELOOP
        with pytest.raises(NotFound):
            namespace.find(b"/l/none")
        with pytest.raises(EosError) as caught:
            namespace.find(b"/d/f/x")
        assert caught.value.code == errno.ENOTDIR


class TestStorage:
    def test_holes_and_sizes(self, tmp_path):
        storage = Storage(tmp_path, [1], data=True, durable=True)
        replica = storage.open(1, 5, write=True)
        replica.write(b"end", 10)
        replica.sync()
        assert (replica.size(), replica.read(0, 100)) == (13, bytes(10) + b"end")
        replica.close()
        storage.remove(5)
        with pytest.raises(FileNotFoundError):
            storage.open(1, 5)

    @pytest.mark.parametrize(("offset", "size"), [(0, 10), (251, 300), (BLOCK - 1, BLOCK), (5, 3 * BLOCK)])
    def test_the_pattern(self, offset, size):
        found = pattern(offset, size)
        assert len(found) == size
        assert found[:1000] == bytes((offset + n) % 251 for n in range(min(size, 1000)))
        assert found[-1] == (offset + size - 1) % 251
