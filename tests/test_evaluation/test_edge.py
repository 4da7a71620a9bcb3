"""The boundary benchmark: matching, thinning, suppression, counts, scores."""

import math
import warnings

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.morphology import thin as thin_of_skimage

from mmadm.evaluation.edge import (
    count_matches,
    precision_recall,
    summarize,
    suppress_non_maxima,
    thresholds,
    to_ridges,
)
from mmadm.evaluation.edge.matching import match
from mmadm.evaluation.edge.scores import average_precision, best_point
from mmadm.evaluation.edge.thinning import thin
from mmadm.utils.bsds import read_boundaries


def random_map(seed: int, density: float, shape: tuple = (24, 30)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between all pixels of two maps."""
    offsets = np.argwhere(a)[:, None] - np.argwhere(b)[None]
    return np.hypot(offsets[..., 0], offsets[..., 1])


def length(pairs: np.ndarray, width: int) -> np.ndarray:
    """Distance of each pair of flat indices."""
    (y0, x0), (y1, x1) = (np.divmod(side, width) for side in pairs.T)
    return np.hypot(y0 - y1, x0 - x1)


# Matching

CASES = [
    (seed, density, other, tolerance)
    for seed, (density, other) in enumerate(
        [(0.02, 0.05), (0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.5, 0.4), (0.01, 0.6)]
    )
    for tolerance in (1.0, 2.5, 4.337)
]


@pytest.mark.parametrize(('seed', 'density', 'other', 'tolerance'), CASES)
def test_as_many_pairs_as_possible_and_the_shortest(seed, density, other, tolerance):
    """SciPy's dense solver, where staying unmatched costs 100 times the tolerance."""
    a, b = random_map(seed, density), random_map(seed + 100, other)
    pairs = match(a, b, tolerance)
    assert a.flat[pairs[:, 0]].all() and b.flat[pairs[:, 1]].all()
    assert len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])) == len(pairs)
    assert (length(pairs, a.shape[1]) <= tolerance).all()

    between = distances(a, b)
    allowed = between <= tolerance
    largest = maximum_bipartite_matching(csr_matrix(allowed))
    assert len(pairs) == np.count_nonzero(largest >= 0)

    forbidden, outlier = 1e9, math.ceil(100 * 100 * tolerance)
    cost = np.where(allowed, np.rint(100 * between), forbidden)
    alone = np.full((len(cost), len(cost)), forbidden)
    np.fill_diagonal(alone, outlier)
    cost = np.hstack([cost, alone])
    best = cost[linear_sum_assignment(cost)].sum()
    unmatched = np.count_nonzero(a) - len(pairs)
    mine = np.rint(100 * length(pairs, a.shape[1])).sum() + outlier * unmatched
    assert mine == best


def test_the_maps_may_change_places():
    a, b = random_map(1, 0.2), random_map(2, 0.05)
    there, back = match(a, b, 3), match(b, a, 3)
    assert len(there) == len(back)
    assert length(there, 30).sum() == pytest.approx(length(back, 30).sum())


def test_a_pair_at_the_tolerance_counts():
    a, b = np.zeros((2, 8, 8), bool)
    a[1, 1] = b[4, 5] = True
    assert len(match(a, b, 5.0)) == 1
    assert len(match(a, b, 4.999)) == 0


def test_pixels_at_the_frame_are_matched_with_their_own_row():
    a, b = np.zeros((2, 6, 9), bool)
    a[2, 8] = b[3, 0] = True  # neighbours in memory only
    assert len(match(a, b, 2)) == 0


def test_empty_maps_have_no_pairs():
    empty, full = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    assert match(empty, full, 2).shape == match(empty, empty, 2).shape == (0, 2)
    assert len(match(full, full, 2)) == 25


# Thinning


@pytest.mark.parametrize('density', [0.1, 0.5, 0.8, 0.95])
def test_thinning_is_that_of_scikit_image(density):
    for seed in range(10):
        edges = random_map(seed, density, (33, 41))
        assert (thin(edges) == thin_of_skimage(edges)).all()


def test_thick_lines_become_thin_and_stay_connected():
    y, x = np.mgrid[:60, :80]
    ring = abs(np.hypot(y - 30, x - 40) - 20) < 4
    assert (thin(ring) == thin_of_skimage(ring)).all()
    assert thin(np.ones((9, 9), bool)).sum() == thin_of_skimage(np.ones((9, 9))).sum()


def test_the_order_in_memory_does_not_matter():
    """MATLAB's arrays come column by column."""
    edges = random_map(3, 0.7)
    expected = thin(edges)
    assert expected.sum() < edges.sum()
    assert (thin(np.asfortranarray(edges)) == expected).all()
    assert (thin(edges.T) == thin_of_skimage(edges.T)).all()


# Suppression


def suppressed_by_loops(edges: np.ndarray, radius: int, smooth: bool) -> np.ndarray:
    """The same formula, pixel by pixel."""

    def blur(image: np.ndarray, r: int) -> np.ndarray:
        weights = [r + 1 - abs(i) for i in range(-r, r + 1)]
        for _ in range(2):
            padded = np.pad(image, ((r, r), (0, 0)), mode='symmetric')
            n = len(image)
            shifted = [w * padded[i : i + n] for i, w in enumerate(weights)]
            image = (sum(shifted) / sum(weights)).T
        return image

    height, width = edges.shape
    image = blur(edges, 1) if smooth else edges
    gradient = np.gradient(blur(image, 4))
    (d_yy, _), (d_xy, d_xx) = (np.gradient(g) for g in gradient)
    out = image.copy()
    for y in range(height):
        for x in range(width):
            slope = d_yy[y, x] * -np.sign(d_xy[y, x]) / (d_xx[y, x] + 1e-5)
            angle = math.atan(slope) % math.pi
            for d in (*range(-radius, 0), *range(1, radius + 1)):
                px = min(max(x + d * math.cos(angle), 0), width - 1.001)
                py = min(max(y + d * math.sin(angle), 0), height - 1.001)
                x0, y0 = int(px), int(py)
                u, v = px - x0, py - y0
                value = (1 - v) * ((1 - u) * image[y0, x0] + u * image[y0, x0 + 1])
                value += v * ((1 - u) * image[y0 + 1, x0] + u * image[y0 + 1, x0 + 1])
                if 1.01 * image[y, x] < value:
                    out[y, x] = 0
            for side in (x, width - 1 - x, y, height - 1 - y):
                out[y, x] *= min(side, 5) / 5
    return out


def soft_ring() -> np.ndarray:
    y, x = np.mgrid[:40, :50]
    ring = np.exp(-((np.hypot(y - 20, x - 24) - 12) ** 2) / 8)
    return ring * (0.6 + 0.4 * np.sin(x / 5))


@pytest.mark.parametrize(('radius', 'smooth'), [(1, True), (2, False)])
def test_suppression_is_its_formula(radius, smooth):
    edges = soft_ring()
    ridges = suppress_non_maxima(edges, radius, smooth=smooth)
    # The normal is of second derivatives: the corners of a blur are compared apart.
    expected = suppressed_by_loops(edges, radius, smooth)
    assert ridges == pytest.approx(expected, abs=1e-12)
    assert np.count_nonzero(ridges) < 0.4 * np.count_nonzero(edges > 0.01)


def test_ridges_are_of_8_bits():
    ridges = to_ridges(soft_ring()) * 255
    assert ridges == pytest.approx(np.rint(ridges), abs=1e-9)


# Counts


def test_thresholds_are_hundredths_and_include_their_value():
    assert thresholds() == pytest.approx(np.arange(1, 100) / 100)
    edges = np.zeros((8, 8))
    edges[4, 4] = 51 / 255
    counts = count_matches(edges, edges[None] > 0, thresholds())
    assert counts[19].tolist() == [1, 1, 1, 1]  # 0.2
    assert counts[20].tolist() == [0, 1, 0, 0]


def test_a_pixel_is_right_if_any_annotator_drew_it():
    edges = np.zeros((20, 20))
    edges[5, 3:9] = edges[12, 3:9] = 1
    first, second = edges.copy(), edges.copy()
    first[12], second[5] = 0, 0
    gts = np.stack([first, second, 0 * first])
    (counts,) = count_matches(edges, gts, np.array([0.5]))
    assert counts.tolist() == [12, 12, 12, 12]


def test_equal_maps_at_two_thresholds_are_counted_once_and_right():
    rng = np.random.default_rng(0)
    edges = rng.choice([0, 0, 0.3, 0.6], (30, 30))
    gts = rng.random((2, 30, 30)) < 0.1
    levels = thresholds(19)
    together = count_matches(edges, gts, levels)
    alone = [count_matches(edges, gts, level[None])[0] for level in levels]
    assert (together == alone).all()
    assert len(np.unique(together, axis=0)) == 3


def test_edges_are_thinned_unless_they_shall_not():
    edges = np.zeros((20, 20))
    edges[8:12, 2:18] = 1
    gt = edges[None] > 0
    thinned, thick = (
        count_matches(edges, gt, np.array([0.5]), thinned=flag)[0]
        for flag in (True, False)
    )
    assert thick.tolist() == [64, 64, 64, 64]
    assert thinned[3] == thin_of_skimage(edges).sum() == thinned[0]


# Scores


def test_the_ground_truth_scores_one():
    gts = random_map(0, 0.05)[None]
    counts = count_matches(gts[0].astype(float), gts, thresholds(), thinned=False)
    scores = summarize(counts[None], thresholds())
    assert scores['ods'] == scores['ois'] == 1


def test_nothing_found_or_nothing_to_find_scores_zero_without_a_warning():
    empty, drawn = np.zeros((12, 12)), random_map(0, 0.2, (1, 12, 12))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for edges, gts in ((empty, drawn), (drawn[0], empty[None])):
            counts = count_matches(edges.astype(float), gts, thresholds(9))
            scores = summarize(counts[None], thresholds(9))
            assert scores['ods'] == scores['ois'] == scores['ap'] == 0


# Two images, three thresholds: matched, ground truths, right, found.
COUNTS = np.array(
    [
        [[80, 100, 40, 100], [60, 100, 60, 80], [10, 100, 10, 10]],
        [[90, 100, 90, 180], [50, 100, 50, 50], [40, 100, 40, 40]],
    ]
)
LEVELS = np.array([0.25, 0.5, 0.75])


def test_scores_by_hand():
    scores = summarize(COUNTS, LEVELS)
    # Best thresholds: the second of each image; by sums as well, without
    # interpolation: R = 110 / 200, P = 110 / 130.
    assert scores['ois_recall'] == pytest.approx(0.55)
    assert scores['ois_precision'] == pytest.approx(110 / 130)
    assert scores['ois'] == pytest.approx(2 / 3)

    # R falls from 170 / 200 to 0.55 and P rises from 130 / 280 to 110 / 130; F is
    # largest in between.
    u = np.linspace(0, 1, 100)
    recall, precision = 0.85 - 0.3 * u, 130 / 280 * (1 - u) + 110 / 130 * u
    f = 2 * recall * precision / (recall + precision)
    best = f.argmax()
    assert 0 < best < 99
    assert scores['ods'] == pytest.approx(f[best])
    assert scores['ods_threshold'] == pytest.approx(0.25 + 0.25 * u[best])
    assert scores['ods_recall'] == pytest.approx(recall[best])
    assert best_point(COUNTS[0], LEVELS)[3] >= precision_recall(COUNTS[0])[2].max()


def test_average_precision_by_hand():
    # Recall 0.25, 0.55, 0.85 with precision 1, 11/13, 13/28; 0 outside.
    grid = np.arange(101) / 100
    expected = 0.0
    for r in grid:
        if 0.25 <= r <= 0.55:
            expected += 1 + (11 / 13 - 1) * (r - 0.25) / 0.3
        elif 0.55 < r <= 0.85:
            expected += 11 / 13 + (13 / 28 - 11 / 13) * (r - 0.55) / 0.3
    assert average_precision(COUNTS.sum(axis=0)) == pytest.approx(expected / 100)
    half = (0.5 - 13 / 28) / (11 / 13 - 13 / 28)
    r50 = summarize(COUNTS, LEVELS)['r50']
    assert r50 == pytest.approx(0.85 - 0.3 * half)


def test_of_equal_recalls_the_higher_threshold_counts():
    counts = np.array([[5, 10, 5, 20], [5, 10, 5, 10], [0, 10, 0, 0]])
    # From (0, 0) to (0.5, 0.5), not to (0.5, 0.25).
    expected = np.arange(51).sum() / 100 / 100
    assert average_precision(counts) == pytest.approx(expected)


# Real data


def unpacked(vectors, key: str) -> np.ndarray:
    shape = tuple(vectors[f'shape{key.lstrip("abinout")}'])
    flat = np.unpackbits(vectors[key], count=math.prod(shape))
    return flat.reshape(shape).astype(bool)


def test_stored_matchings(data_root):
    vectors = np.load(data_root / 'acceptance' / 'vectors' / 'match.npz')
    for i in range(int(vectors['n'])):
        a, b = unpacked(vectors, f'a{i}'), unpacked(vectors, f'b{i}')
        pairs = match(a, b, float(vectors[f'maxd{i}']))
        assert len(pairs) == vectors[f'card{i}']
        cost = np.rint(100 * length(pairs, a.shape[1])).sum() / 100
        assert cost == pytest.approx(float(vectors[f'cost{i}']), abs=1e-6)


def test_stored_thinned_maps(data_root):
    vectors = np.load(data_root / 'acceptance' / 'vectors' / 'thin.npz')
    for i in range(int(vectors['n'])):
        assert (thin(unpacked(vectors, f'in{i}')) == unpacked(vectors, f'out{i}')).all()


def test_stored_suppressed_maps(data_root):
    vectors = np.load(data_root / 'acceptance' / 'vectors' / 'nms.npz')
    edges = vectors['soft'] / 255
    for key, smooth in (('out_smooth', True), ('out_nosmooth', False)):
        ridges = suppress_non_maxima(edges, smooth=smooth)
        assert ridges == pytest.approx(vectors[key], abs=1e-12)


@pytest.mark.parametrize('name', ['100007', '69000'])
def test_counts_are_those_of_the_official_code(data_root, name):
    """Totals equal, matches never fewer; its random solver misses some."""
    folder = data_root / 'acceptance' / 'hed_sample'
    gts = data_root / 'BSDS500' / 'data' / 'groundTruth' / 'test' / f'{name}.mat'
    edges = np.asarray(Image.open(folder / f'{name}.png')) / 255
    # Each third threshold, for time.
    rows = np.loadtxt(folder / f'{name}_ev1.txt')[::3].astype(int)[:, 1:]
    counts = count_matches(edges, read_boundaries(gts), thresholds()[::3])
    assert (counts[:, [1, 3]] == rows[:, [1, 3]]).all()
    gained = (counts[:, 0] - rows[:, 0]) / rows[:, 1]
    assert (gained >= 0).all() and (gained <= 0.003).all()
    assert (abs(counts[:, 2] - rows[:, 2]) <= 0.01 * rows[:, 3]).all()


def test_the_release_sample(data_root):
    """Published: ODS 0.704628, OIS 0.708698, AP 0.307627."""
    folder = data_root / 'BSDS500' / 'bench' / 'data'
    levels, counts = thresholds(5), []
    for path in sorted((folder / 'png').glob('*.png')):
        gts = read_boundaries(folder / 'groundTruth' / f'{path.stem}.mat')
        edges = np.asarray(Image.open(path)) / 255
        counts.append(count_matches(edges, gts, levels))
    scores = summarize(np.array(counts), levels)
    assert scores['ods'] == pytest.approx(0.704772, abs=1e-6)
    assert scores['ois'] == pytest.approx(0.708796, abs=1e-6)
    assert scores['ap'] == pytest.approx(0.307576, abs=1e-6)
