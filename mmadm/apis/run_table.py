"""Compares runs by their work directories: settings, scores, time."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load

from mmadm.visualization.curves import read_scalars

# Of the lines at the end of a run, over which the loss is averaged.
_LAST = 10
_NO_SCORE = {'step', 'epoch', 'iter', 'data_time', 'time'}


def describe_run(work_dir: str | Path) -> dict[str, Any]:
    """What a run did, by name: iterations, time, losses, scores.

    Scores of the last validation are called ``val psnr_rgb``, those of the last test
    ``test psnr_rgb``. Seconds are medians of the logged ones.

    Raises:
        FileNotFoundError: there is no log.
    """
    lines = read_scalars(work_dir)
    training = [line for line in lines if 'loss' in line]
    validation = [line for line in lines if 'loss' not in line and 'step' in line]
    described: dict[str, Any] = {}
    if training:
        described['iterations'] = training[-1]['step']
        described['loss'] = _mean([line['loss'] for line in training[-_LAST:]])
        times = [line['time'] for line in training if 'time' in line]
        if times:
            described['seconds per iteration'] = median(times)
            hours = median(times) * training[-1]['step'] / 3600
            described['hours of training'] = hours
        memory = [line['memory'] for line in training if 'memory' in line]
        if memory:
            described['GPU memory (MB)'] = max(memory)
    for kind, scores in (
        ('val', validation[-1] if validation else {}),
        ('test', last_test(work_dir)),
    ):
        described |= {
            f'{kind} {key}': value
            for key, value in scores.items()
            if isinstance(value, int | float) and key not in _NO_SCORE
        }
    return described


def last_test(work_dir: str | Path) -> dict[str, float]:
    """Scores of the newest test that was logged below a work directory."""
    files = sorted(Path(work_dir).glob('*/*.json'), key=lambda p: p.stat().st_mtime)
    # MMEngine names the file, and its folder, by the start time.
    files = [path for path in files if path.stem == path.parent.name]
    return load(files[-1]) if files else {}


def read_config(work_dir: str | Path) -> dict[str, Any]:
    """Entries of the config that a run wrote into its work directory, by their path."""
    files = sorted(Path(work_dir).glob('*.py'), key=lambda path: path.stat().st_mtime)
    if not files:
        return {}
    cfg = Config.fromfile(files[-1], lazy_import=False)
    return dict(_entries(cfg.to_dict()))


def _entries(value: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts and lists, with dots in their paths."""
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(x, dict) for x in value):
        items = enumerate(value)
    else:
        yield place, value
        return
    for key, item in items:
        yield from _entries(item, f'{place}.{key}' if place else str(key))


def differences(configs: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Entries in which the configs differ: path -> run -> value; '-' where missing."""
    paths = dict.fromkeys(path for entries in configs.values() for path in entries)
    rows = {
        path: {run: str(entries.get(path, '-')) for run, entries in configs.items()}
        for path in paths
        if path not in ('work_dir', 'experiment_name')
    }
    return {path: row for path, row in rows.items() if len(set(row.values())) > 1}


def run_table(
    runs: Mapping[str, dict[str, Any]], different: Mapping[str, dict[str, str]]
) -> str:
    """A Markdown table with one column per run: results, then different settings."""
    names = list(runs)
    rows = [['', *names]]
    keys = dict.fromkeys(key for values in runs.values() for key in values)
    for key in keys:
        rows.append([key, *(_text(values.get(key, '-')) for values in runs.values())])
    rows += [[path, *(row[name] for name in names)] for path, row in different.items()]
    rows = [[_shortened(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |'
        for row in rows
    ]
    rule = '|' + '|'.join('-' * (width + 2) for width in widths) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _text(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _shortened(text: str, width: int = 60) -> str:
    """The end of a long path or value, on one line."""
    text = ' '.join(text.split()).replace('|', '\\|')
    return text if len(text) <= width else f'...{text[3 - width :]}'
