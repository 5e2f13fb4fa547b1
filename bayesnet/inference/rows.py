"""Rows of a buffer, taken and given back while a plan is laid out.

The backward pass is a walk down a tree: once the derivative of a table has been handed on to the
tables it was made from, nothing reads it again. Taking its rows for later derivatives keeps the
buffer some ten times smaller, and what is small stays in the processor's cache.
"""

from __future__ import annotations

from bisect import bisect

__all__ = ["FreeRows"]


class FreeRows:
    """Gives runs of neighbouring rows, always the first that are free and suffice.

    Parameters
    ----------
    first : int
        Rows before this one are not given.

    Attributes
    ----------
    most : int
        One past the last row that was ever given: what the buffer must hold.
    """

    def __init__(self, first: int = 0) -> None:
        self.most = first
        #: Gaps before `_end`, (first, end), in order; no two touch, and none touches `_end`.
        self._gaps: list[tuple[int, int]] = []
        self._end = first

    def take(self, count: int) -> int:
        """The first of `count` neighbouring rows."""
        for i, (first, end) in enumerate(self._gaps):
            if end - first >= count:
                if end - first == count:
                    del self._gaps[i]
                else:
                    self._gaps[i] = (first + count, end)
                return first
        first = self._end
        self._end += count
        self.most = max(self.most, self._end)
        return first

    def give(self, first: int, count: int) -> None:
        """Give back `count` rows from `first`."""
        if not count:
            return
        end = first + count
        i = bisect(self._gaps, (first, end))
        if i < len(self._gaps) and self._gaps[i][0] == end:
            end = self._gaps.pop(i)[1]
        if i and self._gaps[i - 1][1] == first:
            i -= 1
            first = self._gaps.pop(i)[0]
        if end == self._end:
            self._end = first
        else:
            self._gaps.insert(i, (first, end))
