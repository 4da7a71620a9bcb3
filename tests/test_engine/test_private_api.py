"""What the engine uses of MMEngine's and PyTorch's private parts is still there.

A failure after an upgrade of one of them: look into ``mmadm/engine/private_api.py``.
"""

import mmengine
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.visualization import LocalVisBackend, Visualizer

from mmadm.engine import private_api

SEEN = 'last seen in ' + ', '.join(f'{k} {v}' for k, v in private_api.LAST_SEEN.items())
HERE = f'{SEEN}; here are mmengine {mmengine.__version__}, torch {torch.__version__}'


def weight_with(gradient: float) -> torch.nn.Parameter:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), gradient)
    return weight


def test_the_count_of_accumulated_batches():
    optimizer = torch.optim.SGD([weight_with(1.0)], lr=1.0)
    wrapper = OptimWrapper(optimizer, accumulative_counts=3)
    assert private_api.accumulative_counts(wrapper) == 3, HERE


def test_all_logs_of_a_visualizer(tmp_path):
    visualizer = Visualizer(
        vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path), name='x'
    )
    logs = private_api.log_backends(visualizer)
    assert [type(log) for log in logs.values()] == [LocalVisBackend], HERE


def test_the_norm_of_clipped_gradients():
    weight, norms = weight_with(2.0), []
    optimizer = torch.optim.SGD([weight], lr=1.0)
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))
    private_api.receive_gradient_norm(wrapper, norms.append)
    wrapper.step()
    assert torch.stack(norms).tolist() == pytest.approx([12**0.5]), HERE
    assert weight.grad.norm().item() == pytest.approx(1.0)


@pytest.mark.parametrize('skip', [True, False])
def test_a_fused_optimizer_skips_its_step(skip):
    weight = weight_with(1.0)
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    private_api.skip_step_on_device(optimizer, torch.tensor(skip))
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(3)) is skip, HERE
    private_api.skip_no_more_steps(optimizer)
    optimizer.step()
    assert not torch.equal(weight.detach(), torch.ones(3)), HERE


@pytest.mark.parametrize(
    ('value', 'peak'), [(-5.0, 5.0), (torch.nan, torch.nan), (torch.inf, torch.inf)]
)
def test_the_largest_absolute_value(value, peak):
    tensors = [torch.zeros(2), torch.tensor([1.0, value]), torch.zeros(0)]
    found = private_api.largest_absolute(tensors).item()
    assert found == pytest.approx(peak, nan_ok=True), HERE
