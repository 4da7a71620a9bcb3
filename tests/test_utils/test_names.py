"""One name is a name, not its letters."""

import pytest

from mmadm.datasets import CIFAR10Images, ScikitImagePhotos
from mmadm.evaluation import ImageFidelity, SaliencyMetric
from mmadm.utils import as_names


@pytest.mark.parametrize('value', ['mae', ['mae'], ('mae',)])
def test_one_name_may_be_given_alone(value):
    assert as_names(value) == ('mae',)


def test_classes_read_a_string_as_one_name():
    assert ScikitImagePhotos('coffee', lazy_init=True).names == ('coffee',)
    assert CIFAR10Images(batches='data_batch_1', lazy_init=True).batches == (
        'data_batch_1',
    )
    assert list(ImageFidelity('psnr').functions) == ['psnr']
    assert SaliencyMetric('mae').measures == ('mae',)
    with pytest.raises(ValueError, match=r"\['pnsr'\]"):
        ImageFidelity('pnsr')
