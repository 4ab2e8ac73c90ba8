from __future__ import annotations

from executions.eventlog import Event
from executions.filters import Filter
from streaming.chunks import Frame
from streaming.feed import JOINED_BYTES, Feed, Ring
from streaming.feeds import Feeds


class Reading:
    count = 1

    def push(self, now: float) -> int:
        return 0

    def wake(self) -> None:
        pass


def frame(seq: int, size: int = 10) -> Frame:
    event = Event(seq, 7, 1, "UPDATE", "running", None, "tests.run", None, None, "")
    return Frame(event, b"x" * size, "5f1c")


def for_two(feed: Feed) -> Feed:
    """Return the feed with two readers: for one alone it keeps nothing that it has joined."""
    feed.readers.update((Reading(), Reading()))
    return feed


def filled(ring: Ring, feed: Feed, seqs: range) -> None:
    for seq in seqs:
        ring.append(frame(seq))
        feed.append(frame(seq))


def test_it_bounds_the_ring_by_number_and_bytes() -> None:
    ring = Ring(max_events=3, max_bytes=100)
    for seq in range(1, 6):
        ring.append(frame(seq))
    assert (len(ring), ring.bytes, ring.floor) == (3, 30, 2)
    ring.append(frame(6, size=95))
    assert (len(ring), ring.bytes, ring.floor) == (1, 95, 5)
    ring.append(frame(7, size=101))
    assert (len(ring), ring.bytes, ring.floor) == (0, 0, 7)


def test_it_counts_ancestors() -> None:
    ring = Ring(max_events=9, max_bytes=10_000)
    deep = Event(1, 7, 1, "UPDATE", "running", None, "tests.run", 6, list(range(200)), "{}")
    ring.append(Frame.of(deep, "5f1c"))
    assert ring.bytes > 200 * 40
    ring.append(Frame.of(deep._replace(seq=2, old_ancestors=[]), "5f1c"))
    assert (len(ring), ring.floor) == (1, 1)
    ring.append(frame(3))
    ring.append(frame(4, size=9_000))
    assert (len(ring), ring.bytes) == (2, 9_010)


def test_it_takes_older_events_as_far_as_there_is_room() -> None:
    ring = Ring(max_events=4, max_bytes=1000)
    ring.start(5)
    ring.append(frame(6))
    ring.prepend([frame(4), frame(5)], since=3)
    assert ([f.event.seq for f in ring], ring.bytes, ring.floor) == ([4, 5, 6], 30, 3)
    ring.prepend([frame(2), frame(3)], since=1)
    assert ([f.event.seq for f in ring], ring.floor) == ([3, 4, 5, 6], 2)
    small = Ring(max_events=4, max_bytes=25)
    small.prepend([frame(1), frame(2), frame(3)], since=0)
    assert ([f.event.seq for f in small], small.bytes, small.floor) == ([2, 3], 20, 1)


def test_it_forgets_in_the_feed_what_the_ring_forgets() -> None:
    ring = Ring(max_events=3, max_bytes=1000)
    feed = Feed(Filter(), ring, since=0)
    filled(ring, feed, range(1, 6))
    assert feed.floor == 2
    assert feed.after(2, max_bytes=1000).frames == tuple(map(frame, (3, 4, 5)))
    ring.append(frame(6))  # does not match this feed
    assert feed.floor == 3
    assert feed.after(3, max_bytes=1000).frames == tuple(map(frame, (4, 5)))


def test_it_forgets_in_each_feed_what_that_holds() -> None:
    ring = Ring(max_events=3, max_bytes=1000)
    rare, late, left = (Feed(Filter(), ring, since=0) for _ in range(3))
    for seq in range(1, 4):
        ring.append(frame(seq))
        (rare if seq == 2 else late).append(frame(seq))
        left.append(frame(seq))
    left.close()
    for floor, floors in ((1, (0, 1)), (2, (2, 1)), (3, (2, 3)), (4, (2, 3))):
        ring.append(frame(floor + 3))
        assert (ring.floor, (rare.floor, late.floor), left.floor) == (floor, floors, 0)
    ring.append(frame(8))
    rare.append(frame(8))
    ring.start(0)
    rare.restart(0)
    filled(ring, rare, range(1, 6))
    assert rare.floor == 2, "nothing is left of the event 8 of before"


def test_it_follows_what_it_was_filled_with() -> None:
    ring = Ring(max_events=3, max_bytes=1000)
    ring.start(3)
    ring.append(frame(4))
    feed = Feed(Filter(), ring, since=3)
    feed.append(frame(4))
    ring.prepend([frame(2), frame(3)], since=1)
    feed.fill()
    assert feed.floor == 1
    assert [f.event.seq for f in feed.after(1, max_bytes=1000).frames] == [2, 3, 4]
    for seq in range(5, 8):
        ring.append(frame(seq))
        assert feed.floor == seq - 3
    assert feed.after(4, max_bytes=1000).frames == ()


def test_it_survives_an_event_too_large_for_the_ring() -> None:
    ring = Ring(max_events=3, max_bytes=5)
    feed = Feed(Filter(), ring, since=0)
    filled(ring, feed, range(1, 3))
    assert feed.floor == 2
    assert feed.after(2, max_bytes=1000).data == b""


def test_it_joins_up_to_a_size_but_at_least_one() -> None:
    ring = Ring(max_events=100, max_bytes=1000)
    feed = Feed(Filter(), ring, since=0)
    filled(ring, feed, range(1, 6))
    chunk = feed.after(0, max_bytes=25)
    assert (len(chunk.data), chunk.last_seq, len(chunk.frames), chunk.cut) == (20, 2, 2, True)
    assert feed.after(2, max_bytes=1).last_seq == 3
    assert feed.after(5, max_bytes=25).frames == ()
    assert feed.after(4, max_bytes=25).cut is False


def test_it_joins_once_for_streams_at_the_same_place() -> None:
    ring = Ring(max_events=100, max_bytes=1000)
    feed = for_two(Feed(Filter(), ring, since=0))
    filled(ring, feed, range(1, 3))
    first = feed.after(0, max_bytes=1000)
    assert feed.after(0, max_bytes=1000) is first
    filled(ring, feed, range(3, 4))
    assert feed.after(0, max_bytes=1000).last_seq == 3


def test_it_keeps_nothing_for_others_where_one_reads_alone() -> None:
    ring = Ring(max_events=100, max_bytes=1000)
    feed = Feed(Filter(), ring, since=0)
    feed.readers.add(Reading())
    filled(ring, feed, range(1, 3))
    assert feed.after(0, max_bytes=1000) is not feed.after(0, max_bytes=1000)
    assert feed.after(0, max_bytes=15) is not feed.after(0, max_bytes=15)


def test_it_keeps_what_it_has_joined_until_the_next_tick() -> None:
    ring = Ring(max_events=100, max_bytes=1000)
    feeds = Feeds(ring)
    feed = for_two(feeds.join(Filter(), Reading(), since=0))
    filled(ring, feed, range(1, 3))
    for _ in range(2):
        first = feed.after(0, max_bytes=1000)
        assert feed.after(0, max_bytes=1000) is first
        feeds.trim()
        assert feed.after(0, max_bytes=1000) is not first


def test_it_takes_over_what_the_ring_has_from_before() -> None:
    ring = Ring(max_events=3, max_bytes=1000)
    for seq in range(1, 6):
        ring.append(frame(seq))
    feed = Feed(Filter(), ring, since=5)
    feed.fill()
    assert feed.floor == 2
    assert [f.event.seq for f in feed.after(2, max_bytes=1000).frames] == [3, 4, 5]


def test_it_knows_nothing_from_before_it_was_made() -> None:
    ring = Ring(max_events=100, max_bytes=1000)
    ring.start(10)
    feed = Feed(Filter(), ring, since=12)
    assert feed.floor == 12
    feed.restart(20)
    assert feed.floor == 20


def test_it_brings_streams_that_are_behind_to_the_same_places() -> None:
    ring = Ring(max_events=1000, max_bytes=1_000_000)
    feed = for_two(Feed(Filter(), ring, since=0))
    filled(ring, feed, range(1, 501))
    chunks = [feed.after(seq, max_bytes=1500) for seq in (3, 17, 40)]
    assert [(chunk.last_seq, chunk.cut) for chunk in chunks] == [(128, True)] * 3
    assert [chunk.frames[0].event.seq for chunk in chunks] == [4, 18, 41]
    shared = feed.after(128, max_bytes=1500)
    filled(ring, feed, range(501, 502))
    assert feed.after(128, max_bytes=1500) is shared, "what was cut is still right"


def test_it_joins_once_for_a_crowd_that_is_spread_over_the_ring() -> None:
    ring = Ring(max_events=10_000, max_bytes=64 * 1024 * 1024)
    feed = for_two(Feed(Filter(), ring, since=0))
    filled(ring, feed, range(1, 10_001))
    places = range(0, 9_600, 64)
    first = [feed.after(seq, max_bytes=640) for seq in places]
    assert all(chunk.cut for chunk in first)
    filled(ring, feed, range(10_001, 10_002))
    again = [feed.after(seq, max_bytes=640) for seq in places]
    assert all(one is other for one, other in zip(first, again, strict=True))
    ring.forget_joined()
    assert feed.after(0, max_bytes=640) is not first[0]


def test_it_keeps_no_more_than_so_many_bytes_of_what_it_has_joined() -> None:
    ring = Ring(max_events=100, max_bytes=64 * 1024 * 1024)
    feeds = [
        for_two(Feed(Filter(statuses=frozenset({name})), ring, since=0)) for name in ("a", "b")
    ]
    large = JOINED_BYTES // 8
    for seq in range(1, 21):
        ring.append(frame(seq, size=large))
        for feed in feeds:
            feed.append(frame(seq, size=large))
    kept = [feed.after(seq, max_bytes=1) for seq in range(3) for feed in feeds]
    assert [feed.after(seq, max_bytes=1) for seq in range(3) for feed in feeds] == kept
    assert feeds[0].after(2, max_bytes=1) is kept[4]
    for seq in range(3, 10):
        feeds[0].after(seq, max_bytes=1)
    assert feeds[1].after(0, max_bytes=1) is not kept[1]


def test_it_does_not_keep_an_open_end_when_more_comes() -> None:
    ring = Ring(max_events=1000, max_bytes=1_000_000)
    feed = Feed(Filter(), ring, since=0)
    filled(ring, feed, range(1, 4))
    assert feed.after(0, max_bytes=1500).last_seq == 3
    filled(ring, feed, range(4, 5))
    assert feed.after(0, max_bytes=1500).last_seq == 4


def test_it_cuts_behind_the_first_event_however_far_that_is() -> None:
    ring = Ring(max_events=1000, max_bytes=1_000_000)
    feed = Feed(Filter(), ring, since=0)
    for seq in (130, 131):
        ring.append(frame(seq, size=900))
        feed.append(frame(seq, size=900))
    chunk = feed.after(0, max_bytes=1000)
    assert ([f.event.seq for f in chunk.frames], chunk.last_seq, chunk.cut) == ([130], 130, True)
