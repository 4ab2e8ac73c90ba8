from __future__ import annotations

import pytest

from streaming.sealing import SealedSerializer

MESSAGE = {"type": "attune.events", "epoch": "é", "events": [[1, None, b"\x00"]]}


def test_what_one_process_seals_another_opens() -> None:
    one, other = SealedSerializer(["key"]), SealedSerializer(["key"])
    assert other.deserialize(one.serialize(MESSAGE)) == MESSAGE
    assert one.deserialize(other.serialize(MESSAGE)) == MESSAGE


def test_nothing_of_it_can_be_read_and_no_two_are_alike() -> None:
    serializer = SealedSerializer(["key"])
    sealed = [serializer.serialize(MESSAGE) for _ in range(3)]
    assert len(set(sealed)) == 3
    assert not any(b"attune.events" in one for one in sealed)


def test_a_new_key_is_put_before_the_old_one() -> None:
    old, both, new = (SealedSerializer(keys) for keys in (["old"], ["new", "old"], ["new"]))
    assert both.deserialize(old.serialize(MESSAGE)) == MESSAGE
    assert new.deserialize(both.serialize(MESSAGE)) == MESSAGE


@pytest.mark.parametrize("place", [0, 1, 17, 29, -1])
def test_a_changed_message_is_refused(place: int) -> None:
    serializer = SealedSerializer(["key"])
    sealed = bytearray(serializer.serialize(MESSAGE))
    sealed[place] ^= 1
    with pytest.raises(ValueError, match="not sealed with our key"):
        serializer.deserialize(bytes(sealed))


@pytest.mark.parametrize("message", [b"", b"\x01", b"gAAAAA", b"\x01" * 29, b"\x01" * 45])
def test_garbage_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="not sealed with our key"):
        SealedSerializer(["key"]).deserialize(message)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="not sealed with our key"):
        SealedSerializer(["other"]).deserialize(SealedSerializer(["key"]).serialize(MESSAGE))
