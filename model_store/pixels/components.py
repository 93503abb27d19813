"""Connected regions of a small mask, without an image-processing library."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Component:
    """One 8-connected region: its area and its bounding box, bottom and right exclusive."""

    label: int
    area: int
    top: int
    left: int
    bottom: int
    right: int

    @property
    def longest(self) -> int:
        """Longest side of the bounding box, in pixels."""
        return max(self.bottom - self.top, self.right - self.left)


def connected_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], list[Component]]:
    """Label the 8-connected regions of a mask.

    Args:
        mask: (h, w); meant for at most a few hundred rows, the runs are visited in Python.

    Returns:
        (h, w) int32, 0 outside the mask and 1, 2, … inside; and the regions, largest first.
    """
    rows, starts, ends = _runs(mask)
    parents = _join_runs(rows, starts, ends)
    roots = sorted({_root(parents, run) for run in range(len(parents))})
    number = {root: index + 1 for index, root in enumerate(roots)}
    labels = np.zeros(mask.shape, np.int32)
    found: dict[int, Component] = {}
    for run, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        label = number[_root(parents, run)]
        labels[row, start:end] = label
        _grow(found, label, row, start, end)
    return labels, sorted(found.values(), key=lambda c: (-c.area, c.label))


def _runs(mask: NDArray[np.bool_]) -> tuple[list[int], list[int], list[int]]:
    """Return row, start and end (exclusive) of every horizontal run, in reading order."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)  # (h, w+1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return rows.tolist(), starts.tolist(), ends.tolist()


def _join_runs(rows: list[int], starts: list[int], ends: list[int]) -> list[int]:
    """Return a union-find forest over the runs; runs of adjacent rows that touch are joined."""
    parents = list(range(len(rows)))
    above = 0
    for run, row in enumerate(rows):
        while above < run and (rows[above] < row - 1 or _left_of(above, run, rows, starts, ends)):
            above += 1
        other = above
        while other < run and rows[other] == row - 1 and starts[other] <= ends[run]:
            parents[_root(parents, other)] = _root(parents, run)
            other += 1
    return parents


def _left_of(above: int, run: int, rows: list[int], starts: list[int], ends: list[int]) -> bool:
    return rows[above] == rows[run] - 1 and ends[above] < starts[run]


def _root(parents: list[int], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


def _grow(found: dict[int, Component], label: int, row: int, start: int, end: int) -> None:
    region = found.get(label)
    if region is None:
        found[label] = Component(label, end - start, row, start, row + 1, end)
        return
    region.area += end - start
    region.left = min(region.left, start)
    region.bottom = row + 1
    region.right = max(region.right, end)
