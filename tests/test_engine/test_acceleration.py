"""Speed costs no accuracy: training with each switch ends like training without."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn

from mmadm.engine import AccelerationHook, DeferredRuntimeInfoHook, NonFiniteHook

STOCK = dict(type=RuntimeInfoHook)
DEFERRED = dict(type=DeferredRuntimeInfoHook)
_DROPOUT = dict(model__head__dropout=0.3)


@pytest.fixture
def make_trainer(make_runner):
    """Build a runner without validation, by steps in which rounding stays small."""

    def make(work_dir: str = 'run', **options):
        sgd = dict(type='SGD', lr=1e-2, fused=False)
        options = dict(optim_wrapper__optimizer=sgd, train_cfg__max_iters=2) | options
        nothing = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
        return make_runner(work_dir, **options, **nothing)

    return make


def weights_after(runner, hook: AccelerationHook | None = None) -> dict[str, Tensor]:
    if hook is not None:
        runner.register_hook(hook)
    runner.train()
    return runner.model.state_dict()


def assert_close(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-5, msg=key)


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


class Compiler:
    """A backend that runs what it is given, and counts its calls."""

    def __init__(self) -> None:
        self.graphs: list[int] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]):
        self.graphs.append(len(graph.graph.nodes))
        return graph.forward


def test_channels_last_trains_alike(make_trainer):
    plain = weights_after(make_trainer('plain'))
    runner = make_trainer('last')
    last = weights_after(runner, AccelerationHook(channels_last=True, compile=False))
    assert_close(plain, last)
    kernels = [p for p in runner.model.head.parameters() if p.dim() == 4]
    assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)


def test_the_average_has_the_layout_of_the_weights(make_trainer):
    """Else each of its updates would go element by element."""
    runner = make_trainer('last')
    weights_after(runner, AccelerationHook(channels_last=True, compile=False))
    average = next(h.ema_model for h in runner.hooks if hasattr(h, 'ema_model'))
    pairs = zip(average.module.head.parameters(), runner.model.head.parameters())
    assert all(a.stride() == b.stride() for a, b in pairs)


def test_compiled_networks_train_alike(make_trainer):
    plain = weights_after(make_trainer('plain'))
    compiler = Compiler()
    hook = AccelerationHook(compile=dict(backend=compiler))
    assert_close(plain, weights_after(make_trainer('compiled'), hook))
    # The trial, condition encoder and head: each in one piece.
    assert len(compiler.graphs) == 3
    assert max(compiler.graphs) > 50


def test_compiling_is_left_to_gpus(make_trainer):
    runner = make_trainer()
    weights_after(runner, AccelerationHook())
    assert runner.model.head._compiled_call_impl is None


@pytest.mark.parametrize(
    'compile, expected',
    [('auto', False), (False, False), (dict(backend='eager'), True)],
    ids=str,
)
def test_a_test_run_compiles_only_on_request(make_runner, compile, expected):
    runner = make_runner()
    AccelerationHook(compile=compile).before_test(runner)
    compiled = runner.model.head._compiled_call_impl is not None
    assert compiled == expected


def test_without_a_compiler_there_is_one_warning(make_trainer, monkeypatch):
    def broken(graph, inputs):
        raise FileNotFoundError('no C++ compiler')

    plain = weights_after(make_trainer('plain'))
    runner = make_trainer('broken')
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    hook = AccelerationHook(compile=dict(backend=broken))
    assert_equal(plain, weights_after(runner, hook))
    (warning,) = [text for text in warnings if 'compile' in text]
    assert 'no C++ compiler' in warning and 'compile=False' in warning


def test_bfloat16_stays_inside_the_networks(make_trainer):
    """Weights, gradients, losses, averages and the state of a sample are wider."""
    runner = make_trainer(optim_wrapper__type='AutocastOptimWrapper')
    head, maps, losses = runner.model.head, [], []
    head.encoder.levels[0][1].conv0.register_forward_hook(
        lambda module, x, y: maps.append(y.dtype)
    )
    runner.model.criterion.register_forward_hook(
        lambda module, x, y: losses.append(y.dtype)
    )
    runner.train()
    assert set(maps) == {torch.bfloat16}
    assert set(losses) == {torch.float32}
    average = next(h.ema_model for h in runner.hooks if hasattr(h, 'ema_model'))
    kept = [*runner.model.parameters(), *average.module.parameters()]
    kept += [p.grad for p in head.parameters() if p.grad is not None]
    assert {tensor.dtype for tensor in kept} == {torch.float32}

    batch = next(iter(runner.test_dataloader))
    states = []
    data = runner.model.data_preprocessor(batch)
    with torch.autocast('cpu', torch.bfloat16):
        runner.model.eval().predict(
            data['inputs']['condition'],
            data['data_samples'],
            callback=lambda i, t, x_t, x0: states.append(x_t.dtype),
        )
    assert set(states) == {torch.float64}


def test_recomputed_blocks_give_the_same_gradients_to_the_last_bit(make_trainer):
    """Dropout too: it is drawn again as before."""
    plain = weights_after(make_trainer('plain', **_DROPOUT))
    hook = AccelerationHook(recompute='ResBlock')
    recomputed = weights_after(make_trainer('recomputed', **_DROPOUT), hook)
    assert_equal(plain, recomputed)


def test_recomputed_blocks_keep_less(make_trainer):
    def kept(hook: AccelerationHook) -> int:
        runner = make_trainer()
        hook.before_train(runner)
        head, storages = runner.model.head, {}

        def remember(x: Tensor) -> Tensor:
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        maps = [torch.randn(4, 8, 8, 8), torch.randn(4, 16, 4, 4)]
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x):
            head(torch.randn(4, 48, 8, 8), torch.zeros(4), maps)
        return sum(storages.values()) - sum(p.nbytes for p in head.parameters())

    assert kept(AccelerationHook(recompute='ResBlock')) < 0.5 * kept(AccelerationHook())


def test_unknown_blocks_are_refused(make_trainer):
    runner = make_trainer()
    runner.register_hook(AccelerationHook(recompute=('ResBlock', 'SwinBlok')))
    with pytest.raises(ValueError, match=r"SwinBlok.*recompute.*'ResBlock'"):
        runner.train()


def test_unknown_ways_to_compile_are_refused():
    with pytest.raises(ValueError, match=r"compile='fast'.*'auto'"):
        AccelerationHook(compile='fast')


# What is logged


def _log(folder: Path) -> list[dict]:
    (path,) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {key: v for key, v in line.items() if key not in ('time', 'data_time')}
        for line in lines
    ]


def _history(path: Path) -> dict:
    return torch.load(path, weights_only=True)['message_hub']['log_scalars']


_OPTIONS = dict(
    train_cfg__max_iters=7,
    default_hooks__logger__interval=3,
    default_hooks__checkpoint__interval=2,
    log_processor__window_size=3,
    optim_wrapper__accumulative_counts=2,
)


def test_the_log_says_what_mmengine_would_say(make_trainer, tmp_path):
    make_trainer('stock', **_OPTIONS, default_hooks__runtime_info=STOCK).train()
    make_trainer('late', **_OPTIONS, default_hooks__runtime_info=DEFERRED).train()
    stock, late = _log(tmp_path / 'stock'), _log(tmp_path / 'late')
    assert len(stock) >= 2
    assert stock == late
    assert {'loss', 'loss_image', 'grad_norm'} <= late[0].keys()


def test_checkpoints_hold_the_values_that_were_not_logged_yet(make_trainer, tmp_path):
    make_trainer('stock', **_OPTIONS, default_hooks__runtime_info=STOCK).train()
    make_trainer('late', **_OPTIONS, default_hooks__runtime_info=DEFERRED).train()
    for name in ('iter_6.pth', 'iter_7.pth'):
        stock, late = (_history(tmp_path / run / name) for run in ('stock', 'late'))
        assert stock.keys() == late.keys()
        for key in stock.keys() - {'train/time', 'train/data_time'}:
            values = [x[key]['history_buffer'] for x in (stock, late)]
            for part in ('log', 'count'):
                expected, found = (torch.as_tensor(value[part]) for value in values)
                assert torch.equal(expected, found), key


@OPTIMIZERS.register_module()
class FusedAnywhere(torch.optim.Optimizer):
    """Those of torch that are fused know no meta device."""

    def __init__(self, params, lr: float, weight_decay: float, fused: bool) -> None:
        super().__init__(params, dict(lr=lr, fused=fused))

    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None:
                    parameter.data.add_(parameter.grad, alpha=-group['lr'])


class TestOnADeviceWithoutValues:
    """The meta device computes shapes only: reading a value is an error."""

    def train(self, make_trainer, **options) -> None:
        optimizer = dict(optim_wrapper__optimizer=dict(type='FusedAnywhere'))
        runner = make_trainer(
            train_cfg__max_iters=3,
            default_hooks__logger=None,
            default_hooks__checkpoint=None,
            **optimizer | options,
        )
        runner.model.to('meta')
        runner.model.init_weights = lambda: None
        runner.train()

    @pytest.mark.parametrize('wrapper', ['OptimWrapper', 'AutocastOptimWrapper'])
    def test_training_reads_nothing_between_two_logs(
        self, make_trainer, monkeypatch, wrapper
    ):
        reads = []
        for hook in (DeferredRuntimeInfoHook, NonFiniteHook):
            monkeypatch.setattr(hook, '_read', lambda self, _: reads.append(self))
            monkeypatch.setattr(hook, 'every_n_train_iters', lambda *_: False)
        # Autocast knows no meta device.
        real = torch.autocast
        monkeypatch.setattr(torch, 'autocast', lambda _, dtype: real('cpu', dtype))
        self.train(
            make_trainer,
            default_hooks__runtime_info=DEFERRED,
            optim_wrapper__type=wrapper,
        )
        # At the end of training, and the log at the end of the data.
        assert len(reads) <= 3

    def test_an_optimizer_that_is_not_fused_would_be_noticed(self, make_trainer):
        with pytest.raises((RuntimeError, NotImplementedError), match='meta'):
            self.train(
                make_trainer,
                default_hooks__runtime_info=DEFERRED,
                optim_wrapper__optimizer=dict(type='SGD', lr=1e-2, fused=False),
            )

    def test_the_stock_hook_would_be_noticed(self, make_trainer):
        with pytest.raises(RuntimeError, match=r'item\(\) cannot be called on meta'):
            self.train(make_trainer, default_hooks__runtime_info=STOCK)


def test_the_losses_of_accumulated_halves_are_those_of_the_whole(
    make_trainer, tmp_path
):
    constant = dict(
        param_scheduler__eta_min=1e-2,
        default_hooks__logger__interval=1,
        log_processor__window_size=1,
        default_hooks__runtime_info=DEFERRED,
    )
    accumulated = dict(optim_wrapper__accumulative_counts=2)
    make_trainer('halves', **constant, **accumulated).train()
    make_trainer('whole', **constant, train_dataloader__batch_size=4).train()
    halves, whole = (
        torch.tensor([line['loss'] for line in _log(tmp_path / run)])
        for run in ('halves', 'whole')
    )
    torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-6)


def test_the_history_stays_short(make_trainer):
    runner = make_trainer(
        train_cfg__max_iters=6,
        default_hooks__runtime_info=dict(type=DeferredRuntimeInfoHook, history=4),
    )
    runner.train()
    scalars = runner.message_hub.log_scalars
    lengths = {key: len(buffer.data[0]) for key, buffer in scalars.items()}
    assert lengths['train/loss'] == lengths['train/lr'] == 4


def test_clipping_still_clips():
    """The norm is taken over; what it is for is not."""

    from mmengine.optim import OptimWrapper

    layer = nn.Linear(2, 1)
    sgd = torch.optim.SGD(layer.parameters(), lr=1.0)
    wrapper = OptimWrapper(sgd, clip_grad=dict(max_norm=0.5))
    hook = DeferredRuntimeInfoHook()
    hook._take_norm(wrapper)
    before = torch.cat([p.detach().flatten().clone() for p in layer.parameters()])
    wrapper.update_params(100 * layer(torch.ones(1, 2)).sum())
    after = torch.cat([p.detach().flatten() for p in layer.parameters()])
    assert (after - before).norm() == pytest.approx(0.5, rel=1e-4)
    (norm,) = hook._waiting['train/grad_norm']
    assert norm == pytest.approx(100 * 3**0.5)
