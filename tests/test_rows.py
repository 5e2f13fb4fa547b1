"""Rows that are taken and given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bayesnet.inference.rows import FreeRows


@given(data=st.data(), first=st.integers(0, 5))
def test_rows_that_are_held_never_overlap_and_gaps_are_used_again(data, first):
    rows = FreeRows(first)
    held: dict[int, int] = {}
    for _ in range(data.draw(st.integers(1, 40))):
        if held and data.draw(st.booleans()):
            at = data.draw(st.sampled_from(sorted(held)))
            rows.give(at, held.pop(at))
            continue
        count = data.draw(st.integers(1, 6))
        taken = {r for at, n in held.items() for r in range(at, at + n)}
        # By definition: the first place where so many rows are free.
        expected = next(r for r in range(first, 1000) if not taken & set(range(r, r + count)))
        at = rows.take(count)
        assert at == expected
        held[at] = count
        assert rows.most >= at + count
    for at, count in held.items():
        rows.give(at, count)
    assert rows.take(rows.most - first) == first, "neighbouring gaps were not joined"


def test_no_rows_at_all():
    rows = FreeRows(3)
    at = rows.take(0)
    rows.give(at, 0)
    assert rows.most == 3
    assert rows.take(2) == 3
