"""The suite of benchmarks: its arithmetic, its tables, and the GPU's programs, tiny."""

import argparse
import json
import math
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / 'benchmarks'
PAGE = ROOT / 'docs/en/advanced_guides/speed.md'

from benchmarks import __main__ as suite  # noqa: E402
from benchmarks import measure, summary  # noqa: E402


def options(**given) -> argparse.Namespace:
    """Options of ``python -m benchmarks``."""
    defaults = dict(device='cpu', quick=False, rehearse=False, only=None)
    return argparse.Namespace(**defaults | given)


@pytest.mark.parametrize('power', [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(power):
    values = (1, 2, 3, 7, 50)
    results = [0.3 * value**power for value in values]
    assert measure.exponent(values, results) == pytest.approx(power, abs=1e-12)


def test_variants_take_turns_and_the_first_round_does_not_count():
    order, ticks = [], iter(range(100))
    variants = {name: lambda n=name: order.append(n) for name in 'ab'}
    # Each run takes one tick; the clock jumps in the first round.
    timings = measure.take_turns(
        variants, 1, clock=lambda: next(ticks) + (1000 if len(order) == 1 else 0)
    )
    assert order == ['a', 'b'] * 2
    assert {timing.median for timing in timings.values()} == {1.0}


def test_products_and_convolutions_are_counted():
    a, x = torch.zeros(3, 5), torch.zeros(1, 2, 4, 4)
    weight = torch.zeros(7, 2, 3, 3)
    assert measure.operations(lambda: a @ a.T) == 2 * 3 * 5 * 3
    convolution = lambda: torch.conv2d(x, weight, padding=1)  # noqa: E731
    assert measure.operations(convolution) == 2 * 16 * 7 * 2 * 9


@pytest.fixture
def records(tmp_path, monkeypatch):
    """What has been recorded so far."""
    path = tmp_path / 'records.jsonl'
    monkeypatch.setenv(measure.RECORDS, str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def result_of(records: list[dict], failed: str = '') -> dict:
    return dict(
        options=[], seconds=60.0, cpu_seconds=30.0, failed=failed, records=records
    )


@pytest.fixture
def results(records):
    """Of two benchmarks; the second one failed."""
    timing = measure.Timing(0.004, 0.003, 0.005)
    fast = measure.Timing(0.002, 0.002, 0.002)
    measure.record(machine='A processor; torch 3; 5 turns')
    measure.print_table({'slow': timing, 'fast': fast}, 'slow', 'a step')
    measure.print_values('fraction of the limit', dict(other=0.1))
    measure.print_values('MiB', dict(fast=0.5))
    measure.print_growth('ms', 'batch', (1, 2, 4), (3.0, 6.0, 12.0))
    measure.leave_out('a peer', 'not installed')
    return dict(heads=result_of(records()), memory=result_of([], 'exit code 1'))


def test_tables_have_ratios_values_exponents_and_what_is_missing(results):
    text = summary.to_markdown(results)
    assert '| A step | Median, ms | Quartiles | Faster by | MiB |' in text
    assert '| slow | 4 | 3 to 5 | 1.00 |  |' in text
    assert '| fast | 2 | 2 to 2 | 2.00 | 0.5 |' in text
    assert '|  | Fraction of the limit |\n|---|--:|\n| other | 0.1 |' in text
    assert '| ms | batch | 1: 3, 2: 6, 4: 12 | 1.00 |' in text
    assert 'Not measured: a peer: not installed' in text
    assert 'Not measured: exit code 1' in text
    machine = summary.machine_of(results)
    assert machine.startswith('A processor; torch 3.')
    assert '2 minutes, 1 of them computing' in machine


def test_numbers_join_the_nearest_table_with_their_rows(records):
    timings = dict.fromkeys('ab', measure.Timing(1.0, 1.0, 1.0))
    measure.print_values('parameters', dict(a=1.0, b=2.0))
    measure.print_table(timings, 'a', 'encoding')
    measure.print_values('first difference', dict(a=0.0, b=3.0))
    measure.print_table(timings, 'a', 'decoding')
    measure.print_values('second difference', dict(a=0.0, b=4.0))
    lines = summary.chapter(result_of(records())).splitlines()
    ends = [line.split('Faster by | ')[1] for line in lines if 'Faster by' in line]
    assert ends == ['Parameters | First difference |', 'Second difference |']


def test_growth_without_a_positive_result_is_left_out(records):
    measure.print_growth('MiB', 'side', (1, 2), (0.0, 1.0))
    assert [set(record) for record in records()] == [{'left_out', 'why'}]


def test_a_plot_is_drawn_only_where_there_are_ratios(results, tmp_path):
    summary.plot(results, tmp_path / 'results.png')
    summary.plot(dict(memory=result_of([])), tmp_path / 'nothing.png')
    assert [path.name for path in tmp_path.glob('*.png')] == ['results.png']


def place(name: str, text: str = '') -> str:
    return f'<!-- results of {name} -->\n\n{text}\n<!-- end of {name} -->'


def test_the_page_gets_the_results_and_keeps_the_rest(results):
    around = ('# Speed\n', '\nBy hand.\n', '\nThe end.\n')
    old = place('growth', 'of another day')
    page = around[0] + place('heads', 'old') + around[1] + old + around[2]
    filled = summary.fill_page(page, results)
    new = place('heads', summary.chapter(results['heads']))
    assert filled == around[0] + new + around[1] + old + around[2]
    assert summary.fill_page(filled, results) == filled


@pytest.mark.parametrize(
    'page', ['# Speed\n', place('machine'), '<!-- results of heads -->\n']
)
def test_a_page_without_place_or_end_is_refused(results, page):
    with pytest.raises(ValueError, match='Add the line'):
        summary.fill_page(page, results)


def test_the_page_on_speed_has_a_place_for_each_benchmark():
    page = PAGE.read_text()
    places = re.findall('<!-- results of (.*) -->', page)
    assert sorted(places) == sorted([*suite.QUICK, 'machine'])
    assert sorted(re.findall('<!-- end of (.*) -->', page)) == sorted(places)


def test_all_benchmarks_exist_and_those_of_a_gpu_are_rehearsed():
    assert all((FOLDER / f'{name}.py').is_file() for name in suite.QUICK)
    assert set(suite.ON_GPU) == set(suite.REHEARSAL) <= set(suite.QUICK)


def test_names_choose_in_the_order_of_the_suite_and_get_the_options():
    chosen = suite.choose(options(only='heads,training_step', quick=True))
    assert list(chosen) == ['training_step', 'heads']
    assert chosen['heads'] == suite.QUICK['heads'].split()
    assert suite.choose(options(only='heads')) == dict(heads=[])
    gpu = suite.choose(options(device='cuda'))
    assert all(more[-2:] == ['--device', 'cuda'] for more in gpu.values())


@pytest.mark.parametrize(
    'given', [dict(only='head'), dict(only='start_up', device='cuda')]
)
def test_a_benchmark_that_is_not_there_is_refused(given):
    with pytest.raises(ValueError, match=r'Use some of \['):
        suite.choose(options(**given))


def test_results_before_an_error_or_the_end_of_the_time_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, 'FOLDER', tmp_path)
    start = f"import os; open(os.environ['{measure.RECORDS}'], 'w').write('{{}}\\n')\n"
    (tmp_path / 'wrong.py').write_text(start + 'raise SystemExit(3)\n')
    (tmp_path / 'slow.py').write_text('import time; time.sleep(60)\n')
    wrong = suite.run('wrong', [], tmp_path, math.inf)
    assert wrong['records'] == [{}] and 'exit code 3' in wrong['failed']
    assert 'stopped' in suite.run('slow', [], tmp_path, 0.2)['failed']


@pytest.mark.parametrize('name', suite.REHEARSAL)
def test_the_program_of_the_gpu_runs_on_a_cpu(name, records, monkeypatch):
    scripts = suite.choose(options(rehearse=True))
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', *scripts[name]])
    monkeypatch.syspath_prepend(FOLDER)
    threads, known = torch.get_num_threads(), set(sys.modules)
    try:
        runpy.run_path(str(FOLDER / f'{name}.py'), run_name='__main__')
    finally:
        torch.set_num_threads(threads)
        for module in set(sys.modules) - known:
            if (FOLDER / f'{module}.py').is_file():
                del sys.modules[module]
    found = records()
    assert 'machine' in found[0]
    assert any('timings' in r or 'values' in r for r in found)
    # Libraries that are no part of the tests, and memory that only a GPU counts.
    expected = ('diffusers', 'denoising-diffusion-pytorch', 'growth of memory')
    missing = [r['left_out'] for r in found if 'left_out' in r]
    assert all(name.startswith(expected) for name in missing), missing
