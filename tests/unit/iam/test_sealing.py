"""Sealing: opens what it sealed, for its purpose only, under every key that it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.iam.sealing import Sealer, SealError

OLD, NEW = "o" * 32, "n" * 40


@given(st.binary(max_size=500), st.text(max_size=50))
def test_opens_what_it_sealed(text: bytes, purpose: str) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(text, purpose)
    assert sealer.open(sealed, purpose) == text
    assert len(text) < 8 or text not in sealed


def test_the_same_text_never_looks_the_same() -> None:
    sealer = Sealer([NEW])
    assert sealer.seal(b"secret", "p") != sealer.seal(b"secret", "p")


def test_a_sealed_text_serves_no_other_purpose() -> None:
    sealer = Sealer([NEW])
    with pytest.raises(SealError, match="purpose"):
        sealer.open(sealer.seal(b"secret", "key/A"), "key/B")


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, change: int) -> None:
    sealer = Sealer([NEW])
    sealed = bytearray(sealer.seal(b"secret", "p"))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(SealError):
        sealer.open(bytes(sealed), "p")


@given(st.binary(max_size=80))
def test_anything_else_is_no_sealed_text(data: bytes) -> None:
    with pytest.raises(SealError):
        Sealer([NEW]).open(data, "p")


def test_a_new_master_key_opens_what_the_old_one_sealed() -> None:
    sealed = Sealer([OLD]).seal(b"secret", "p")
    both = Sealer([NEW, OLD])
    assert both.open(sealed, "p") == b"secret"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(b"secret", "p"))
    with pytest.raises(SealError, match="does not have"):
        Sealer([NEW]).open(sealed, "p")


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "short"]])
def test_a_weak_master_key_is_refused(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Sealer(keys)
