"""Features that need a newer PyTorch."""

import pytest
import torch

from mmadm.utils import require_torch


@pytest.mark.parametrize('version', ['2.10.0', '2.10.1+cpu', '2.14.1+cu130', '3.0.0'])
def test_newer_versions_pass(monkeypatch, version):
    monkeypatch.setattr(torch, '__version__', version)
    require_torch('2.10', 'Export')


@pytest.mark.parametrize('version', ['2.9.1', '2.7.1+cu126'])
def test_older_versions_are_refused(monkeypatch, version):
    monkeypatch.setattr(torch, '__version__', version)
    with pytest.raises(ImportError, match=r'Export needs PyTorch 2\.10 .*pip install'):
        require_torch('2.10', 'Export')
