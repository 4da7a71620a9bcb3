"""FID, IS, KID, precision and recall: numbers, counts, provenance."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor

from mmadm.evaluation import (
    DumpSamples,
    FeatureStatistics,
    InceptionFeatures,
    InceptionMetrics,
    Reference,
    StreamingMoments,
    frechet_distance,
    inception_score,
    kernel_distance,
    measure_reference,
    precision_recall,
    score_images,
)
from mmadm.evaluation.sample_set import gather, short_count
from tests.conftest import draw_photo
from tests.test_evaluation.two_processes import in_two_processes

DIM = 2048


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def statistics(features: Tensor) -> FeatureStatistics:
    moments = StreamingMoments(features.shape[1])
    moments.add(features)
    return moments.statistics()


# Statistics and their distance


def test_moments_are_numpys_in_any_portions():
    features = normal(23, 6) + 5
    moments = StreamingMoments(6)
    for part in features.split((1, 10, 12)):
        moments.add(part)
    found = moments.statistics()
    np.testing.assert_allclose(found.mean, features.double().mean(0), rtol=1e-13)
    expected = np.cov(features.double().numpy(), rowvar=False)
    np.testing.assert_allclose(found.cov, expected, rtol=1e-11, atol=1e-12)
    assert found.count == 23


def test_distance_of_commuting_covariances_has_a_closed_form():
    """S_a = Q A Q^T, S_b = Q B Q^T: the sum of (sqrt a - sqrt b)^2, and the shift."""
    q = torch.linalg.qr(normal(16, 16).double()).Q
    a, b = (normal(16, seed=s).double().square() + 0.1 for s in (1, 2))
    mean_a, mean_b = (normal(16, seed=s).double() for s in (3, 4))
    found = frechet_distance(
        FeatureStatistics(mean_a, q * a @ q.T, 10**6),
        FeatureStatistics(mean_b, q * b @ q.T, 10**6),
    )
    expected = (a.sqrt() - b.sqrt()).square().sum() + (mean_a - mean_b).square().sum()
    assert found == pytest.approx(float(expected), rel=1e-12)


def test_distance_agrees_with_the_matrix_square_root():
    a, b = statistics(normal(50, 8)), statistics(normal(70, 8, seed=1) * 2 + 1)
    root = sqrtm(a.cov.numpy() @ b.cov.numpy()).real
    expected = (a.mean - b.mean).square().sum() + np.trace(
        a.cov.numpy() + b.cov.numpy() - 2 * root
    )
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-10)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize('counts', [(12, 12), (7, 12), (12, 90)])
def test_distance_of_few_images_is_exact(counts):
    """Fewer images than features: tr (S_a S_b)^(1/2) is a nuclear norm of features."""
    a, b = (normal(n, 40, seed=n + i).double() for i, n in enumerate(counts))
    mean_a, mean_b = a.mean(0), b.mean(0)
    product = (a - mean_a) @ (b - mean_b).T
    scale = ((len(a) - 1) * (len(b) - 1)) ** 0.5
    overlap = torch.linalg.svdvals(product).sum() / scale
    spread = sum(torch.cov(x.T).trace() for x in (a, b))
    expected = float((mean_a - mean_b).square().sum() + spread - 2 * overlap)
    found = frechet_distance(statistics(a), statistics(b))
    assert found == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize('count', [2, 9, 40])
def test_the_distance_of_equal_sets_is_zero_and_never_below(count):
    same = statistics(normal(count, 16, seed=count))
    assert 0 <= frechet_distance(same, same) < 1e-12


def test_one_image_has_no_statistics():
    with pytest.raises(ValueError, match='at least two images, but there are 1'):
        statistics(normal(1, 4))


def test_scores_are_those_of_the_acceptance_vectors(data_root):
    folder = data_root / 'acceptance' / 'vectors'
    expected = json.loads((folder / 'fid.json').read_text())
    file = {k: torch.from_numpy(v) for k, v in np.load(folder / 'fid.npz').items()}

    a = FeatureStatistics(file['m1'], file['S1'], 10**6)
    b = FeatureStatistics(file['m2'], file['S2'], 10**6)
    distance = frechet_distance(a, b)
    assert distance == pytest.approx(25.01075399785284, rel=1e-12)
    f1, f2 = file['f1'], file['f2']
    distance = frechet_distance(statistics(f1), statistics(f2))
    assert distance == pytest.approx(expected['fid_feats'], rel=1e-11)
    distance = frechet_distance(statistics(f1[:40]), statistics(f2[:40]))
    assert distance == pytest.approx(expected['fid_rankdef_first40'], rel=1e-11)

    kid = expected['kid_subsets20_size100_seed2020'].values()
    assert kernel_distance(f1, f2, 20, 100) == pytest.approx(tuple(kid), rel=1e-9)
    precision, recall, _ = expected['prc_k3'].values()
    assert precision_recall(f1, f2) == pytest.approx((precision, recall), abs=1e-6)
    score = expected['isc_splits10_seed2020'].values()
    assert inception_score(file['logits']) == pytest.approx(tuple(score), rel=1e-9)


# Scores of features


def test_certain_and_diverse_classes_score_their_number_and_equal_ones_score_one():
    certain = 100 * torch.eye(10).repeat(200, 1)
    mean, std = inception_score(certain)
    # Shuffled splits of 200 do not hold exactly 20 of each class.
    assert mean == pytest.approx(10, abs=0.5) and std < 0.2
    assert inception_score(torch.ones(100, 10)) == pytest.approx((1, 0), abs=1e-9)
    # Of few samples too: splits of one would all score 1.
    assert inception_score(certain[:20])[0] == pytest.approx(10, rel=1e-4)


def test_kernel_distance_is_the_unbiased_mmd():
    """Binkowski et al., Eq. (4), kernel (x.y / D + 1)^3, written out."""
    fake, real = normal(12, 5).double(), normal(12, 5, seed=1).double() + 1

    def kernel(x, y):
        return (x @ y.T / 5 + 1) ** 3

    def off_diagonal(k):
        return (k.sum() - k.trace()) / (12 * 11)

    within = off_diagonal(kernel(fake, fake)) + off_diagonal(kernel(real, real))
    expected = float(within - 2 * kernel(fake, real).mean())
    mean, std = kernel_distance(fake, real)
    assert mean == pytest.approx(expected, rel=1e-10)
    assert std == pytest.approx(0, abs=1e-10), 'every subset is the whole'


def test_precision_falls_with_strays_and_recall_with_gaps():
    """Uniform in a square: half of it has no recall there, twice of it no precision."""
    unit = torch.rand(2, 3000, 2, generator=torch.Generator().manual_seed(0))
    real, fake = unit
    half, double = fake * torch.tensor([0.5, 1]), fake * torch.tensor([2.0, 1])
    assert precision_recall(half, real) == pytest.approx((0.97, 0.51), abs=0.03)
    assert precision_recall(double, real) == pytest.approx((0.50, 0.97), abs=0.03)


# The network


@pytest.fixture(scope='module')
def extractor() -> InceptionFeatures:
    return InceptionFeatures('random')


def draw_images(count: int, first: int = 0, side: int = 16) -> list[np.ndarray]:
    return [draw_photo(first + i, side, side) for i in range(count)]


def images(count: int, first: int = 0, side: int = 16) -> list[Tensor]:
    return [torch.tensor(p.transpose(2, 0, 1)) for p in draw_images(count, first, side)]


def test_features_do_not_depend_on_the_batch_nor_on_autocast(extractor):
    batch = images(3)
    features, logits = extractor(batch)
    assert features.shape == (3, DIM) and logits.shape == (3, 1008)
    assert features.dtype == torch.float32
    alone = torch.cat([extractor([image])[0] for image in batch])
    torch.testing.assert_close(features, alone, rtol=1e-5, atol=1e-6)
    with torch.autocast('cpu', torch.bfloat16):
        again, _ = extractor(batch)
    assert torch.equal(again, features)
    assert features.std(0).mean() > 1e-3, 'random weights tell images apart'


def test_sizes_may_differ_and_grey_is_repeated(extractor):
    small, large = images(1, side=16)[0], images(1, first=5, side=20)[0]
    mixed, _ = extractor([small, large, small])
    assert torch.equal(mixed[0], mixed[2])
    torch.testing.assert_close(mixed[1], extractor([large])[0][0], rtol=1e-5, atol=1e-6)
    grey = small[:1]
    assert torch.equal(extractor([grey])[0], extractor([grey.repeat(3, 1, 1)])[0])
    with pytest.raises(ValueError, match=r'\(2, 16, 16\)'):
        extractor([small[:2]])


def test_weights_come_from_a_file_of_the_known_digest(extractor, tmp_path, monkeypatch):
    path = tmp_path / 'hub' / 'checkpoints' / 'pt_inception-2015-12-05-6726825d.pth'
    path.parent.mkdir(parents=True)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(path.parent)):
        InceptionFeatures()
    state = extractor.network.state_dict()
    torch.save({k: 2 * v if k == 'fc.weight' else v for k, v in state.items()}, path)
    with pytest.raises(ValueError, match=f'(?s){path}.*6726825d'):
        InceptionFeatures()

    monkeypatch.setattr('mmadm.evaluation.inception._DIGEST', '')
    loaded = InceptionFeatures()
    (features, logits), (same, half) = (f(images(1)) for f in (loaded, extractor))
    assert torch.equal(features, same)
    torch.testing.assert_close(logits, 2 * half)
    assert loaded.identity['weights_sha256'] != extractor.identity['weights_sha256']


# Statistics of real images


@pytest.fixture(scope='module')
def reference(extractor) -> Reference:
    return measure_reference(iter(draw_images(6)), 6, extractor, keep=4, source='drawn')


def test_a_reference_survives_its_file(reference, tmp_path):
    path = tmp_path / 'deep' / 'drawn.npz'
    reference.save(path)
    loaded = Reference.load(path)
    assert torch.equal(loaded.statistics.mean, reference.statistics.mean)
    assert torch.equal(loaded.statistics.cov, reference.statistics.cov)
    assert torch.equal(loaded.features, reference.features)
    assert loaded.statistics.count == loaded.provenance['images'] == 6
    assert loaded.provenance == reference.provenance
    assert loaded.provenance['weights_sha256'] == 'random'
    assert [p.name for p in path.parent.iterdir()] == ['drawn.npz']


def test_a_reference_is_of_all_its_images(reference, extractor):
    features, _ = extractor(images(6))
    expected = np.cov(features.double().numpy(), rowvar=False)
    np.testing.assert_allclose(reference.statistics.cov, expected, atol=1e-9)
    distances = torch.cdist(reference.features, features)
    assert len(reference.features) == 4
    assert (
        len(set(distances.argmin(1).tolist())) == 4 and distances.min(1)[0].max() < 1e-4
    )


def test_the_digest_is_of_the_content_not_of_the_order(extractor):
    def digest(*drawn: np.ndarray) -> str:
        made = measure_reference(drawn, len(drawn), extractor)
        return made.provenance['content_sha256']

    one, two = draw_images(2)
    changed = two.copy()
    changed[0, 0, 0] ^= 1
    assert digest(one, two) == digest(two, one) != digest(one, changed)


def test_an_interrupted_save_leaves_the_old_file(reference, tmp_path, monkeypatch):
    path = tmp_path / 'old.npz'
    path.write_bytes(b'old')

    def interrupt(file, **arrays):
        file.write_bytes(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(np, 'savez', interrupt)
    with pytest.raises(KeyboardInterrupt):
        reference.save(path)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_too_few_images_for_a_reference_are_refused(extractor):
    with pytest.raises(ValueError, match='at least 2, but there are 1'):
        measure_reference(draw_images(1), 1, extractor)
    with pytest.raises(ValueError, match='at least 5, but there are 3'):
        measure_reference(draw_images(3), 3, extractor, keep=5)
    with pytest.raises(ValueError, match='0 or more, but it is -1'):
        measure_reference(draw_images(3), 3, extractor, keep=-1)


def metric_with(tmp_path, reference: Reference, **options) -> InceptionMetrics:
    path = tmp_path / 'reference.npz'
    reference.save(path)
    options = {'reference': str(path), 'weights': 'random', **options}
    return InceptionMetrics(**options)


def test_statistics_that_do_not_fit_are_refused(reference, tmp_path):
    def changed(**provenance) -> Reference:
        return Reference(
            reference.statistics,
            reference.features,
            {**reference.provenance, **provenance},
        )

    def refused(other: Reference, **options) -> str:
        with pytest.raises(ValueError) as error:
            metric_with(tmp_path, other, **options)
        assert 'reference.npz' in str(error.value)
        return str(error.value)

    message = refused(changed(weights_sha256='6726825d00'))
    assert "weights_sha256='6726825d00', but 'random'" in message
    assert "extractor='clip'" in refused(changed(extractor='clip'))
    message = refused(reference, reference_count=50000)
    assert 'images=6, but 50000' in message
    few = FeatureStatistics(torch.zeros(64), torch.eye(64), 6)
    message = refused(Reference(few, reference.features, reference.provenance))
    assert '(64,)' in message and '2048' in message
    unsized = {k: v for k, v in reference.provenance.items() if k != 'image_size'}
    other = Reference(reference.statistics, reference.features, unsized)
    assert 'do not record the size' in refused(other)
    bare = Reference(reference.statistics, torch.empty(0, DIM), reference.provenance)
    assert '--features' in refused(bare, measures=('kid',))


def test_files_that_are_no_reference_are_refused(tmp_path):
    path = tmp_path / 'x.npz'
    with pytest.raises(FileNotFoundError, match=f'fid_stats.py SOURCE --out {path}'):
        Reference.load(path)
    np.savez(path, mu=np.zeros(DIM), sigma=np.eye(2))
    with pytest.raises(ValueError, match=r'x\.npz.*Other programs'):
        Reference.load(path)
    for content in (path.read_bytes()[:100], b''):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'x\.npz'):
            Reference.load(path)
    no_record = dict(features=np.zeros((0, 2)), n=2, provenance='7')
    np.savez(path, mu=np.zeros(2), sigma=np.eye(2), **no_record)
    with pytest.raises(ValueError, match=r'x\.npz'):
        Reference.load(path)


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('key', ['mu', 'sigma', 'features'])
def test_non_finite_statistics_are_refused(reference, tmp_path, key, value):
    """A distance that is NaN would be cut to a perfect 0 by max(0, nan)."""
    path = tmp_path / 'reference.npz'
    reference.save(path)
    with np.load(path) as file:
        content = dict(file)
    content[key].flat[7] = value
    np.savez(path, **content)
    with pytest.raises(ValueError, match=r'(?s)reference\.npz.*1 of \d+ values'):
        InceptionMetrics(reference=str(path), weights='random')


def test_what_is_no_covariance_is_refused():
    mean = torch.zeros(3, dtype=torch.float64)
    cov = torch.eye(3, dtype=torch.float64)
    good = FeatureStatistics(mean, cov, 9)
    for wrong in (cov + torch.ones(3, 3).triu(1), -cov, cov[:2]):
        with pytest.raises(ValueError, match='covariance'):
            FeatureStatistics(mean, wrong, 9)
    indefinite = torch.tensor([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]], dtype=torch.float64)
    with pytest.raises(ValueError, match='negative eigenvalues'):
        frechet_distance(good, FeatureStatistics(mean, indefinite, 9))
    with pytest.raises(ValueError, match='3 and 2'):
        frechet_distance(good, FeatureStatistics(mean[:2], cov[:2, :2], 9))


@pytest.mark.parametrize('score', [kernel_distance, precision_recall])
def test_no_score_of_sets_with_non_finite_features(score):
    real = normal(8, 4)
    wrong = real.clone()
    wrong[2, 1] = float('nan')
    for pair in ((wrong, real), (real, wrong)):
        with pytest.raises(ValueError, match='1 of 32 values of the features'):
            score(*pair)
    with pytest.raises(ValueError, match='1 of 32 values of the logits'):
        inception_score(wrong)


def test_non_finite_features_are_refused():
    moments = StreamingMoments(2)
    with pytest.raises(ValueError, match='1 of 4 values of the features of images 0'):
        moments.add(torch.tensor([[0.0, 1.0], [float('nan'), 1.0]]))


# The metric


def as_samples(fakes: list[Tensor], gts: list[Tensor] | None = None) -> list[dict]:
    gts = gts or fakes
    return [
        dict(sample_idx=i, pred_img=fake, gt_img=gt)
        for i, (fake, gt) in enumerate(zip(fakes, gts))
    ]


def test_the_real_images_have_no_distance_and_others_have(reference, tmp_path):
    metric = metric_with(tmp_path, reference)
    same = score_images(metric, draw_images(6))
    assert same == {'fid6_random_weights': pytest.approx(0, abs=1e-6)}
    other = score_images(metric, draw_images(6, first=50))
    assert other['fid6_random_weights'] > 0.01, 'and the first score is forgotten'


def test_samples_of_another_size_than_the_real_images_are_refused(reference, tmp_path):
    metric = metric_with(tmp_path, reference)
    assert reference.provenance['image_size'] == '16x16'
    with pytest.raises(ValueError, match=r'size 20x20.*of images of 16x16'):
        metric.process(None, as_samples(images(2, side=20)))


def test_every_measure_is_called_by_its_number_of_samples(reference, tmp_path):
    measures = ('fid', 'fid_full', 'fid_paired', 'is', 'kid', 'pr')
    metric = metric_with(
        tmp_path, reference, measures=measures, max_features=4, prefix='a'
    )
    metric.process(None, as_samples(images(5, first=1), images(5)))
    scores = metric.evaluate(5)
    names = ('fid5', 'fid_full5', 'fid_paired5', 'is5', 'is5_std', 'kid4_x1000')
    names += ('kid4_x1000_std', 'precision4', 'recall4')
    assert list(scores) == [f'a/{name}_random_weights' for name in names]
    named = dict(zip(names, scores.values()))
    assert named['fid5'] == named['fid_full5'] != named['fid_paired5']
    expected = (
        1000
        * kernel_distance(metric.extractor(images(4, first=1))[0], reference.features)[
            0
        ]
    )
    assert named['kid4_x1000'] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ('count', 'name'), [(50000, '50k'), (49936, '49936'), (2000, '2k'), (999, '999')]
)
def test_numbers_in_names_are_exact(count, name):
    assert short_count(count) == name


def test_an_identity_has_no_paired_distance_with_fewer_images_than_features():
    metric = InceptionMetrics(('fid_paired',), weights='random')
    metric.process(None, as_samples(images(4)))
    assert metric.evaluate(4)['fid_paired4_random_weights'] < 1e-3


def test_missing_and_repeated_samples_are_noticed():
    metric = InceptionMetrics(('is',), weights='random')
    samples = as_samples(images(2))
    metric.process(None, samples)
    with pytest.raises(ValueError, match=r'score of 3 samples.*but 2 were seen'):
        metric.evaluate(3)
    metric.process(None, samples)
    metric.process(None, samples)
    with pytest.raises(ValueError, match=r'score of 2 samples.*but 4 were seen'):
        metric.evaluate(2)
    metric.process(None, samples[:1])
    with pytest.raises(ValueError, match='at least 2 samples, but there are 1'):
        metric.evaluate(1)


def test_unknown_measures_and_a_missing_reference_are_refused():
    with pytest.raises(ValueError, match='fdi'):
        InceptionMetrics(('fdi',), weights='random')
    with pytest.raises(ValueError, match='reference=None'):
        InceptionMetrics(('fid',), weights='random')
    with pytest.raises(ValueError, match='max_features=1'):
        InceptionMetrics(('is',), weights='random', max_features=1)


def test_a_paired_distance_needs_the_ground_truth():
    metric = InceptionMetrics(('fid_paired',), weights='random')
    samples = as_samples(images(2))
    samples[1].pop('gt_img')
    with pytest.raises(ValueError, match='sample 1 has no gt_img'):
        metric.process(None, samples)


def test_two_processes_count_each_sample_once(reference, tmp_path):
    """Five samples over two ranks: MMEngine pads the second with sample 0."""
    measures = ('fid', 'fid_paired', 'is', 'kid', 'pr')
    metric = metric_with(tmp_path, reference, measures=measures, max_features=4)
    fakes = images(5, first=1)
    samples = as_samples(fakes, images(5))
    metric.process(None, samples)
    alone = metric.evaluate(5)

    out = tmp_path / 'samples.npz'
    dump = DumpSamples(str(out))
    shares = [(0, 2, 4), (1, 3, 0)]

    def work(rank: int) -> dict:
        for i in shares[rank]:
            for each in (metric, dump):
                each.process(None, [samples[i]])
        dump.evaluate(5)
        return metric.evaluate(5)

    for scores in in_two_processes(tmp_path, work):
        assert scores == pytest.approx(alone, rel=1e-5, abs=1e-7)
    expected = np.stack([fake.numpy().transpose(1, 2, 0) for fake in fakes])
    assert (np.load(out)['arr_0'] == expected).all()


def test_two_processes_gather_rows_in_the_order_of_the_samples(tmp_path):
    """Which decides in which split of the Inception Score a sample is."""
    shares = [(4, 0, 2), (1, 3)]

    def work(rank: int) -> list:
        return gather({i: torch.tensor([10.0 * i]) for i in shares[rank]}).tolist()

    assert in_two_processes(tmp_path, work) == 2 * [
        [[0.0], [10.0], [20.0], [30.0], [40.0]]
    ]


# Samples in a file


def test_samples_of_one_size_become_one_array(tmp_path):
    with pytest.raises(ValueError, match=r"out='x\.pkl'"):
        DumpSamples('x.pkl')
    dump = DumpSamples(str(tmp_path / 'new' / 'x.npz'))
    dump.process(None, as_samples(images(2)))
    with pytest.raises(ValueError, match=r'\(16, 16, 3\) and \(20, 20, 3\)'):
        dump.process(None, as_samples(images(1, side=20)))
    assert dump.evaluate(2) == {}
    array = np.load(tmp_path / 'new' / 'x.npz')['arr_0']
    assert array.dtype == np.uint8 and (array == np.stack(draw_images(2))).all()


# Published numbers


def cifar10(folder: Path, split: str) -> np.ndarray:
    """The first 5,000 images of a split, from grids of 25 x 40."""
    grids = [Image.open(folder / f'{split}_{i:02}.webp') for i in range(5)]
    tiles = [np.array(x.convert('RGB')).reshape(25, 32, 40, 32, 3) for x in grids]
    return np.concatenate(tiles).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)


def test_cifar10_scores_as_torch_fidelity_publishes(data_root, tmp_path):
    """Its acceptance values for training against test images, on a GPU."""
    try:
        extractor = InceptionFeatures()
    except FileNotFoundError:
        pytest.skip('No Inception weights.')
    if not torch.cuda.is_available():
        pytest.skip('10,000 images take an hour without a GPU.')
    fake, real = (cifar10(data_root / 'cifar10_webp', x) for x in ('train', 'test'))
    measure_reference(real, 5000, extractor, 5000, 'cuda').save(tmp_path / 'real.npz')
    metric = InceptionMetrics(('fid', 'is', 'kid', 'pr'), str(tmp_path / 'real.npz'))
    scores = score_images(metric, fake, 'cuda')
    assert scores['fid5k'] == pytest.approx(10.3233, abs=1e-2)
    assert scores['is5k'] == pytest.approx(10.7505, abs=1e-2)
    assert scores['kid5k_x1000'] == pytest.approx(-0.029, abs=0.05)
    found = scores['precision5k'], scores['recall5k']
    assert found == pytest.approx((0.6852, 0.6908), abs=5e-3)
