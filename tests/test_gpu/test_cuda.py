"""What only a GPU can show. Skipped where there is none."""

import pytest
import torch
from torch import Tensor

from mmadm.engine import AccelerationHook, DeferredRuntimeInfoHook
from mmadm.models import ADM, DualDecoderUNet
from mmadm.structures import DiffusionSample

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='There is no GPU.'
)


@pytest.fixture(autouse=True)
def exact_products():
    """Each test begins, and leaves, with float32 products that are not rounded."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision('highest')
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.fixture
def train(make_runner):
    """Train the toy for two iterations of SGD; its weights on the CPU."""

    def run(name: str, hook: AccelerationHook, **options) -> dict[str, Tensor]:
        sgd = dict(type='SGD', lr=1e-2)
        nothing = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
        options = dict(optim_wrapper__optimizer=sgd, train_cfg__max_iters=2) | options
        runner = make_runner(name, **options, **nothing)
        others = [h for h in runner.hooks if not isinstance(h, AccelerationHook)]
        runner._hooks = others
        runner.register_hook(hook)
        runner.train()
        return {k: v.cpu() for k, v in runner.model.state_dict().items()}

    return run


def plain() -> AccelerationHook:
    return AccelerationHook(compile=False, tf32=False)


@pytest.mark.parametrize(
    'hook, tolerance',
    [
        (dict(channels_last=True), 1e-4),
        (dict(recompute='ResBlock'), 1e-4),
        (dict(tf32=True), 1e-2),
        (dict(compile=True), 1e-3),
        (dict(compile=True, channels_last=True, tf32=True), 1e-2),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_a_switch_changes_weights_by_rounding_only(train, hook, tolerance):
    hook = AccelerationHook(**dict(compile=False, tf32=False) | hook)
    expected, found = train('plain', plain()), train('switched', hook)
    for key in expected:
        torch.testing.assert_close(
            found[key], expected[key], rtol=tolerance, atol=tolerance, msg=key
        )


def test_compiling_is_the_default_of_training(make_runner):
    runner = make_runner()
    AccelerationHook().before_train(runner)
    assert runner.model.head._compiled_call_impl is not None


def test_bfloat16_trains_with_float32_weights_and_loss(train, make_runner):
    weights = train('bf16', plain(), optim_wrapper__type='AutocastOptimWrapper')
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {
        torch.float32
    }


def test_the_fused_optimizer_steps_like_the_plain_one(train):
    def adamw(fused: bool) -> dict:
        return dict(
            optim_wrapper__optimizer=dict(type='AdamW', lr=1e-3, eps=1e-3, fused=fused)
        )

    expected = train('plain', plain(), **adamw(False))
    found = train('fused', plain(), **adamw(True))
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-5)


def test_a_training_step_never_waits_for_the_gpu():
    """Copies to it excepted: times and noise are drawn on the host."""
    model = ADM(head=dict(type=DualDecoderUNet, base_channels=32)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    samples = [DiffusionSample(metainfo=dict(seed=seed)) for seed in range(4)]
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    data = dict(inputs=dict(image=list(images)), data_samples=samples)
    inputs = model.data_preprocessor(data, True)
    torch.cuda.synchronize()
    reads: list[Tensor] = []
    originals = Tensor.item, Tensor.tolist

    def noted(function):
        def wrapper(self, *args):
            if self.is_cuda:
                reads.append(self)
            return function(self, *args)

        return wrapper

    Tensor.item, Tensor.tolist = map(noted, originals)
    try:
        losses = model(**inputs, mode='loss')
        sum(losses[key] for key in ('loss_image', 'loss_noise')).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    finally:
        Tensor.item, Tensor.tolist = originals
    assert reads == []


def test_the_log_is_the_same_as_on_the_cpu(make_runner):
    runner = make_runner(default_hooks__runtime_info=dict(type=DeferredRuntimeInfoHook))
    runner.train()
    log, _ = runner.message_hub.get_scalar('train/loss').data
    assert len(log) == 4 and all(log > 0)


def test_a_sample_has_the_same_noise_on_every_device():
    """So the pictures are equal but for the rounding of the networks."""
    torch.manual_seed(0)
    model = ADM(head=dict(type=DualDecoderUNet, base_channels=32)).eval()
    samples = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in range(2)]

    with torch.no_grad():
        cpu = model.sample((32, 32), samples)
        gpu = model.cuda().sample((32, 32), samples)
    torch.testing.assert_close(gpu.cpu(), cpu, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='There are not two GPUs.')
def test_fsdp_trains_the_head_in_pieces(tmp_path):
    """One shard per GPU."""
    from torch.multiprocessing import spawn

    spawn(_train_sharded, (str(tmp_path / 'meeting'),), nprocs=2)


def _train_sharded(rank: int, meeting: str) -> None:
    from mmengine.optim import OptimWrapper

    from mmadm.engine import ShardedDataParallel
    from mmadm.utils.sharding import local_part

    torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        'nccl', init_method=f'file://{meeting}', rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = ADM(head=dict(type=DualDecoderUNet, base_channels=32)).cuda()
    whole = sum(p.numel() for p in model.parameters())
    model = ShardedDataParallel(model)
    assert sum(local_part(p).numel() for p in model.parameters()) < 0.6 * whole
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    samples = [DiffusionSample(metainfo=dict(seed=rank))]
    images = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8)
    data = dict(inputs=dict(image=list(images)), data_samples=samples)
    losses = [
        float(model.train_step(data, OptimWrapper(optimizer))['loss'].detach())
        for _ in range(5)
    ]
    assert losses[-1] < losses[0]
    torch.distributed.destroy_process_group()
