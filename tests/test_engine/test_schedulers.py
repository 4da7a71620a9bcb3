"""The learning-rate schedule of Sec. V-A."""

import pytest
import torch

from mmadm.engine import ClampedPolyLR


def learning_rates(total: int, **options) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
    scheduler = ClampedPolyLR(optimizer, end=total, **options)
    values = []
    for _ in range(total):
        values.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return values


def test_it_is_the_papers_formula():
    expected = [max(1e-4 * (1 - i / 50) ** 0.96, 1e-5) for i in range(50)]
    assert learning_rates(50, eta_min=1e-5) == pytest.approx(expected, rel=1e-12)


def test_it_differs_from_mmengines_schedule_as_the_paper_does():
    """At 90 % of the run, 1e-4 to 1e-5: 1.10e-5 here, 1.98e-5 there."""
    assert learning_rates(1000, eta_min=1e-5)[900] == pytest.approx(1.10e-5, rel=1e-2)


def test_warm_up_is_linear_and_the_decay_counts_from_its_end():
    values = learning_rates(30, warmup_iters=10, eta_min=0.0)
    assert values[:10] == pytest.approx([1e-5 * (i + 1) for i in range(10)])
    decay = [1e-4 * (1 - i / 20) ** 0.96 for i in range(20)]
    assert values[10:] == pytest.approx(decay)


def test_the_schedule_lasts_as_long_as_the_training(make_runner):
    """MMEngine fills ``end`` from ``max_iters``."""
    rule = dict(optim_wrapper__optimizer__lr=1e-3, param_scheduler__eta_min=0.0)
    runner = make_runner(train_cfg__max_iters=5, **rule)
    runner.train()
    logged, _ = runner.message_hub.get_scalar('train/lr').data
    assert logged == pytest.approx([1e-3 * (1 - i / 5) ** 0.96 for i in range(5)])
