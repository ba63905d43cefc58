"""Where parts lie, when a lane may become the object, and the checksum of the whole."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.api import PartRecord, StorageUnavailable
from backends.eos import adler32
from backends.eos.upload_places import Claim, Lane, PartPlace, best_lane, checksum_of, pieces_of, place_of

P = 100


@given(st.lists(st.binary(max_size=70_000), max_size=6))
def test_the_checksum_of_the_pieces_is_that_of_the_whole(pieces: list[bytes]) -> None:
    assert adler32.combined((zlib.adler32(piece), len(piece)) for piece in pieces) == zlib.adler32(b"".join(pieces))


@given(st.booleans(), st.integers(0, 5 << 40), st.integers(0, 2**32 - 1))
def test_places_are_read_as_they_were_written(in_lane: bool, offset: int, checksum: int) -> None:
    place = PartPlace(in_lane, "00ff", offset, checksum)
    assert place_of(PartRecord(number=1, size=1, etag="", place=place.text())) == place


@pytest.mark.parametrize(
    "text", ["", "lane", "lane:", "lane:a:b", "lane:../x:0:0", "pipe:a:0:0", "lane:a:x:0", "file:a:0:0:0"]
)
def test_a_record_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(StorageUnavailable):
        place_of(PartRecord(number=1, size=1, etag="", place=text))


def in_lane(number: int, size: int = P, *, file: str = "a", part_size: int = P) -> PartRecord:
    place = PartPlace(True, file, (number - 1) * part_size, number)
    return PartRecord(number=number, size=size, etag="", place=place.text())


def in_file(number: int, size: int = P) -> PartRecord:
    return PartRecord(number=number, size=size, etag="", place=PartPlace(False, f"f{number}", 0, number).text())


def lane(*claims: tuple[int, int], file: str = "a", part_size: int = P, busy: tuple[int, ...] = ()) -> Lane:
    taken = tuple(Claim(number, length, number not in busy) for number, length in claims)
    return Lane(part_size, file, 7, taken)


FULL = [(1, P), (2, P), (3, 40)]
WHOLE = [in_lane(1), in_lane(2), in_lane(3, 40)]
FITS = {
    "all in place": (WHOLE, [lane(*FULL)]),
    "the last is as long": ([in_lane(1), in_lane(2)], [lane((1, P), (2, P))]),
    "one was sent again": ([in_lane(1), in_file(2), in_lane(3, 40)], [lane(*FULL)]),
    "the last was sent again, longer": ([in_lane(1), in_file(2, 150)], [lane((1, P), (2, P))]),
    "one came to a file of its own": ([in_lane(1), in_file(2), in_lane(3, 40)], [lane((1, P), (3, 40))]),
    "empty parts between": ([in_lane(1), in_lane(2), in_file(3, 0)], [lane((1, P), (2, P))]),
}
DOES_NOT_FIT = {
    "no lane": (WHOLE, []),
    "nothing in the lane": ([in_file(1), in_file(2)], [lane()]),
    "a gap in the numbers": ([in_lane(1), in_lane(3, 40)], [lane((1, P), (3, 40))]),
    "the first is short": ([in_lane(1, 40), in_lane(2)], [lane((1, 40), (2, P))]),
    "the last is left out": ([in_lane(1), in_lane(2)], [lane(*FULL)]),
    "the last was sent again, shorter": ([in_lane(1), in_lane(2), in_file(3, 10)], [lane(*FULL)]),
    "somebody writes": (WHOLE, [lane(*FULL, busy=(2,))]),
    "somebody writes another number": (WHOLE, [lane(*FULL, (2, P), busy=(2,))]),
    "a copy would write over a part that is left out": (
        [in_lane(1), in_file(5, P + 50), in_file(6, 200)],
        [lane((1, P), (2, P))],
    ),
}


@pytest.mark.parametrize("case", FITS)
def test_a_lane_becomes_the_object(case: str) -> None:
    parts, lanes = FITS[case]
    found = best_lane(pieces_of(parts), lanes)
    assert found is not None
    assert found.file == "a"


@pytest.mark.parametrize("case", DOES_NOT_FIT)
def test_what_does_not_fit_is_put_together(case: str) -> None:
    parts, lanes = DOES_NOT_FIT[case]
    assert best_lane(pieces_of(parts), lanes) is None


def test_the_lane_with_most_of_the_object_is_taken() -> None:
    # The last part came first: its lane is narrow, and has only that one.
    parts = [in_lane(1, 400, file="b", part_size=400), in_lane(2, 400, file="b", part_size=400), in_lane(3, 40)]
    narrow, wide = lane((3, 40), part_size=40), lane((1, 400), (2, 400), file="b", part_size=400)
    found = best_lane(pieces_of(parts), [narrow, wide])
    assert found is not None
    assert found.file == "b"


def test_pieces_follow_each_other_and_have_the_checksum_of_the_whole() -> None:
    bodies = [b"abc", b"", b"de"]
    parts = [
        PartRecord(number=n, size=len(body), etag="", place=PartPlace(False, f"f{n}", 0, zlib.adler32(body)).text())
        for n, body in enumerate(bodies, 1)
    ]
    pieces = pieces_of(parts)
    assert [(piece.number, piece.target, piece.length) for piece in pieces] == [(1, 0, 3), (3, 3, 2)]
    assert checksum_of(pieces) == zlib.adler32(b"abcde")
