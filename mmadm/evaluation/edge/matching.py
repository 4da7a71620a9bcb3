"""One-to-one matching of edge pixels.

The official benchmark looks for the largest matching of the pixels of two maps, and
among those for one of least total distance: an assignment problem in which one more
match is worth 100 times the tolerance. It solves a randomised approximation. Here the
problem is solved exactly, by augmenting row reduction and shortest augmenting paths
(Jonker and Volgenant, 1987) on the sparse graph of pixels within the tolerance.

The rows of the problem are the pixels of the smaller map, its columns those of the
other. A row may stay unmatched, at the cost of an outlier, as if it had a column of its
own.
"""

import functools
import math
from heapq import heappop, heappush

import numpy as np

from .jit import compiled

# Distances are counted in hundredths of a pixel.
_UNIT = 100
# An unmatched pixel costs as much as so many matches at the tolerance.
_OUTLIER = 100

_FREE = -1
_UNMATCHED = -2


def match(a: np.ndarray, b: np.ndarray, tolerance: float) -> np.ndarray:
    """Pairs of pixels of two boolean maps (H, W), each pixel in at most one.

    Args:
        a: one map.
        b: the other map.
        tolerance: largest distance of a pair, in pixels; included.

    Returns:
        (N, 2) indices into the flattened maps.
    """
    if np.count_nonzero(a) > np.count_nonzero(b):
        return match(b, a, tolerance)[:, ::-1]
    steps, costs = _disc(tolerance)
    margin = int(tolerance)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    # The number of the column at each pixel, with a frame that spares border checks.
    width = a.shape[1] + 2 * margin
    column_at = np.full((a.shape[0] + 2 * margin) * width, _FREE, np.int32)
    column_at[_framed(columns, a.shape[1], margin)] = np.arange(len(columns))
    column_of = _assign(
        _framed(rows, a.shape[1], margin),
        column_at,
        len(columns),
        steps @ np.array([width, 1]),
        costs,
        math.ceil(_OUTLIER * _UNIT * tolerance),
    )
    matched = column_of >= 0
    return np.stack([rows[matched], columns[column_of[matched]]], axis=1)


@functools.lru_cache
def _disc(tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) offsets up to the tolerance, nearest first, and their costs."""
    side = np.arange(-int(tolerance), int(tolerance) + 1)
    steps = np.stack(np.meshgrid(side, side, indexing='ij'), axis=-1).reshape(-1, 2)
    # The original compares squares; this decides pixels exactly at the tolerance.
    square = (steps**2).sum(axis=1)
    order = np.argsort(square, kind='stable')
    order = order[square[order] <= tolerance * tolerance]
    return steps[order], np.rint(_UNIT * np.sqrt(square[order])).astype(np.int64)


def _framed(pixels: np.ndarray, width: int, margin: int) -> np.ndarray:
    """Flat indices in the framed map from flat indices in the map."""
    y, x = np.divmod(pixels, width)
    return (y + margin) * (width + 2 * margin) + x + margin


@compiled
def _assign(rows, column_at, num_columns, steps, costs, outlier):
    """The column of each row, or ``_UNMATCHED``.

    Args:
        rows: flat indices of the rows in the framed map.
        column_at: column at each pixel of the framed map, or ``_FREE``.
        num_columns: number of columns.
        steps: offsets from a pixel to those within the tolerance.
        costs: of the offsets.
        outlier: cost of an unmatched row.
    """
    start, column, cost = _graph(rows, column_at, steps, costs)
    # The price of a column is -v[j] >= 0; a column without a row costs nothing.
    v = np.zeros(num_columns, np.int64)
    row_of = np.full(num_columns, _FREE, np.int32)
    column_of = np.full(len(rows), _FREE, np.int32)

    waiting = np.arange(len(rows))
    for _ in range(2):
        waiting = _reduce_rows(
            waiting, start, column, cost, outlier, v, row_of, column_of
        )

    # Shared by the searches: distance of each column (-1: not reached), and the row
    # from which it was reached.
    distance = np.full(num_columns, -1, np.int64)
    reached_from = np.empty(num_columns, np.int32)
    for row in waiting:
        _augment(
            *(row, start, column, cost, outlier, v, row_of, column_of),
            *(distance, reached_from),
        )
    return column_of


@compiled
def _graph(rows, column_at, steps, costs):
    """Edges of row i: ``column`` and ``cost`` from ``start[i]`` to ``start[i + 1]``."""
    start = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        degree = 0
        for step in steps:
            degree += column_at[rows[i] + step] >= 0
        start[i + 1] = start[i] + degree
    column = np.empty(start[-1], np.int32)
    cost = np.empty(start[-1], np.int32)
    edge = 0
    for i in range(len(rows)):
        for n in range(len(steps)):
            j = column_at[rows[i] + steps[n]]
            if j >= 0:
                column[edge], cost[edge] = j, costs[n]
                edge += 1
    return start, column, cost


@compiled
def _reduce_rows(waiting, start, column, cost, outlier, v, row_of, column_of):
    """Each waiting row takes its cheapest column, bidding up to its second choice.

    Returns:
        rows that lost their column to an equal bid, for the next pass.
    """
    losers = np.empty(len(waiting), np.int64)
    num_losers = 0
    for row in waiting:
        while row >= 0:
            # Staying unmatched is always possible.
            best, second, choice = outlier, outlier, _UNMATCHED
            for edge in range(start[row], start[row + 1]):
                reduced = cost[edge] - v[column[edge]]
                if reduced < best:
                    best, second, choice = reduced, best, column[edge]
                elif reduced < second:
                    second = reduced
                    if reduced == best and row_of[choice] >= 0:
                        choice = column[edge]
            column_of[row] = choice
            if choice == _UNMATCHED:
                break
            loser = row_of[choice]
            row_of[choice] = row
            v[choice] -= second - best
            if loser >= 0:
                column_of[loser] = _FREE
                if best == second:
                    losers[num_losers] = loser
                    num_losers += 1
                    break
            row = loser
    return losers[:num_losers]


@compiled
def _augment(
    root, start, column, cost, outlier, v, row_of, column_of, distance, reached_from
):
    """Assigns a column to ``root`` along the shortest alternating path.

    The path ends at a column without a row, or at a row that becomes unmatched.
    """
    heap = [(np.int64(0), np.int64(0))]
    heap.clear()
    settled = [0]
    settled.clear()
    touched = [0]
    touched.clear()

    row, row_distance = root, np.int64(0)  # of the row, less its dual
    shortest, last_row, last_column = outlier, root, _UNMATCHED
    while True:
        for edge in range(start[row], start[row + 1]):
            j = column[edge]
            through = row_distance + cost[edge] - v[j]
            if through < shortest and (distance[j] < 0 or through < distance[j]):
                if distance[j] < 0:
                    touched.append(j)
                distance[j] = through
                reached_from[j] = row
                if row_of[j] == _FREE:
                    shortest, last_column = through, j
                else:
                    heappush(heap, (through, np.int64(j)))
        # The nearest column; outdated entries of the heap are skipped.
        j = np.int64(_FREE)
        while len(heap) > 0:
            reached, j = heappop(heap)
            if reached == distance[j]:
                break
            j = np.int64(_FREE)
        if j == _FREE or distance[j] >= shortest:
            break
        settled.append(j)
        row = row_of[j]
        matched_cost = np.int64(0)
        for edge in range(start[row], start[row + 1]):
            if column[edge] == j:
                matched_cost = cost[edge]
        row_distance = distance[j] - (matched_cost - v[j])
        if row_distance + outlier < shortest:
            shortest, last_row = row_distance + outlier, row
            last_column = _UNMATCHED

    for j in settled:
        v[j] += distance[j] - shortest

    # Walk back: each row gets the column that the next one gives up.
    j, row = last_column, last_row
    if j != _UNMATCHED:
        row = reached_from[j]
    while True:
        given_up = column_of[row]
        column_of[row] = j
        if j != _UNMATCHED:
            row_of[j] = row
        if row == root:
            break
        j = given_up
        row = reached_from[j]

    for j in touched:
        distance[j] = -1
