"""Torchvision's Swin as a file for MMPretrain."""

import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mmadm.models import SwinEncoder
from mmadm.models.condition_encoders.backbone import quiet
from tests.test_tools.test_cli import call, refused

TOOL = 'model_converters/swin.py'


@pytest.fixture(scope='module')
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torchvision = pytest.importorskip('torchvision')
    torch.manual_seed(0)
    network = torchvision.models.swin_t().eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


@pytest.fixture
def source(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / 'swin_t.pth')
    return tmp_path / 'swin_t.pth'


@torch.no_grad()
def test_mmpretrain_and_the_encoder_load_what_the_tool_writes(
    theirs, source, tmp_path, capsys
):
    target = tmp_path / 'swin.safetensors'
    call(TOOL, source, target)
    assert 'size tiny' in capsys.readouterr().out
    with safe_open(target, 'pt') as file:
        assert file.metadata()['arch'] == 'tiny'
        assert file.metadata()['source'] == 'swin_t.pth'

    image = torch.randn(1, 3, 256, 256)
    with quiet():
        from mmpretrain.models import SwinTransformer
    backbone = SwinTransformer('tiny', pad_small_map=True)
    backbone.load_state_dict(load_file(target))
    backbone.eval()
    expected = theirs.norm(theirs.features(image)).permute(0, 3, 1, 2)
    torch.testing.assert_close(backbone(image)[-1], expected, atol=1e-4, rtol=1e-4)

    encoder = SwinEncoder('tiny', weights=str(target))
    encoder.init_weights()
    encoder.eval()
    expected = theirs.features(image).permute(0, 3, 1, 2)
    torch.testing.assert_close(encoder(image)[-1], expected, atol=1e-4, rtol=1e-4)


def test_files_that_are_no_whole_swin_are_refused(theirs, source, tmp_path, capsys):
    target = tmp_path / 'swin.safetensors'
    message = refused(capsys, TOOL, source, tmp_path / 'swin.pth')
    assert '.safetensors' in message and 'swin.pth' in message
    message = refused(capsys, TOOL, tmp_path / 'none.pth', target)
    assert 'none.pth' in message

    weights = theirs.state_dict()
    lost = weights.pop('features.3.0.attn.proj.bias')
    torch.save(weights, source)
    message = refused(capsys, TOOL, source, target)
    assert 'stages.1.blocks.0.attn.w_msa.proj.bias' in message

    torch.save({'features.0.0.weight': torch.zeros(77, 3, 4, 4)}, source)
    message = refused(capsys, TOOL, source, target)
    assert 'width 77' in message and 'tiny (96, 6)' in message
    torch.save({'layer1.0.weight': lost}, source)
    message = refused(capsys, TOOL, source, target)
    assert "'layer1.0.weight'" in message
    assert not target.exists()
