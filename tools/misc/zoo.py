#!/usr/bin/env python
"""Train, test and publish a model in the box, and fill its tables: `make zoo MODEL=...`

Each stage is skipped where its result exists; an interrupted one is resumed.
"""

import argparse
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/en/user_guides/models_in_the_box.md'
METAFILE = ROOT / 'configs/adm/metafile.yml'
FIGURES = ROOT / 'docs/en/_static'
WEIGHTS = ROOT / 'weights'
#: Scores of the models, as tools/test.py writes them: test.sampler -> NFE -> scores.
SCORES = WEIGHTS / 'scores'

_LPIPS = dict(
    type='ImageFidelity',
    measures=['lpips'],
    crop_border=4,
    lpips_network='squeeze',
    lpips_weights='data/weights/squeezenet_v1.1_imagenet_fp16.npz',
)
_LUMA = dict(type='ImageFidelity', color='y', crop_border=4, baseline='bicubic')
_SR = f'test_evaluator={[_LUMA, _LPIPS]}'
_CRISP = dict(type='EdgeMetric', nms=False, thin=False, prefix='crisp')
_EDGES = f'test_evaluator={[dict(type="EdgeMetric"), _CRISP]}'
_DATA = 'test_dataloader.dataset.'


@dataclass(frozen=True)
class Test:
    """A test set, and what is tested on it.

    Args:
        dataset: its description in the metafile.
        runs: numbers of steps for each sampler of ``tools/test.py --sampler``. NFE 1 is
            the same for all samplers.
        options: of ``tools/test.py --cfg-options``.
    """

    dataset: str
    runs: dict[str, tuple[int, ...]]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """How a model in the box is tested.

    Args:
        task: its name in the metafile.
        tests: by their names in the tables.
        results: numbers of steps of Algorithm 2 whose scores the metafile has.
        tradeoff: test, distortion and perception of a figure, keys of ``METRICS``.
    """

    task: str
    tests: dict[str, Test]
    results: tuple[int, ...] = (1, 5)
    tradeoff: tuple[str, str, str] | None = None


_ALL = {
    'adm': (1, 2, 3, 5, 10),
    'mean': (5,),
    'deterministic': (2, 3, 5, 10),
    'multistep': (2, 3, 5, 10),
}
MODELS = {
    'adm_sr_small': Model(
        'Super-resolution',
        {
            'Set5': Test('Set5', {**_ALL, 'mean': (2, 3, 5, 10)}, (_SR,)),
            'Set14': Test(
                'Set14', _ALL, (_SR, f'{_DATA}data_prefix.img_path=Set14/HR')
            ),
            'B100': Test(
                'B100',
                _ALL,
                (
                    _SR,
                    f'{_DATA}data_root=data/BSDS500/data',
                    f'{_DATA}data_prefix.img_path=images/val',
                ),
            ),
        },
        tradeoff=('Set5', 'psnr_y_b4', 'lpips_like_squeeze_rgb_b4'),
    ),
    'adm_edge_small': Model(
        'Edge detection',
        {'BSDS500-test': Test('BSDS500 test, 200 images', _ALL, (_EDGES,))},
        tradeoff=('BSDS500-test', 'ods_seval', 'crisp/ods_ceval'),
    ),
    'adm_saliency_small': Model(
        'Saliency detection',
        {'DUTS-TE': Test('DUTS-TE, 300 images', _ALL)},
        tradeoff=('DUTS-TE', 'mae', 's'),
    ),
    'adm_inpaint_small': Model(
        'Inpainting',
        {'CelebA-HQ': Test('CelebA-HQ, 200 images, medium masks', _ALL)},
        tradeoff=('CelebA-HQ', 'psnr_hole', 'lpips_like_squeeze_rgb'),
    ),
    'adm_faces_small': Model(
        'Unconditional generation',
        {
            'CelebA-HQ': Test(
                'CelebA-HQ, 1,000 samples against 200 other images',
                {
                    'adm': (1, 2, 3, 5, 10, 20),
                    'deterministic': (2, 3, 5, 10, 20),
                    'multistep': (2, 3, 5, 10, 20),
                },
            )
        },
        results=(5, 10, 20),
    ),
}

#: The scores of tables and metafile: title, and the digits that half precision and
#: other machines leave unchanged.
METRICS = {
    'psnr_y_b4': ('PSNR-Y', 2),
    'ssim_y_b4': ('SSIM-Y', 3),
    'lpips_like_squeeze_rgb_b4': ('LPIPS-like', 3),
    'ods_seval': ('ODS', 3),
    'ois_seval': ('OIS', 3),
    'ap_seval': ('AP', 3),
    'r50_seval': ('R50', 3),
    'crisp/ods_ceval': ('crisp ODS', 3),
    'crisp/ois_ceval': ('crisp OIS', 3),
    'crisp/ap_ceval': ('crisp AP', 3),
    'ac': ('AC', 3),
    'mae': ('MAE', 3),
    'max_f': ('max F', 3),
    's': ('S', 3),
    'max_e': ('max E', 3),
    'psnr_rgb': ('PSNR', 2),
    'psnr_hole': ('PSNR in the hole', 2),
    'ssim_rgb': ('SSIM', 3),
    'lpips_like_squeeze_rgb': ('LPIPS-like', 3),
    'frechet_paired_squeezenet200': ('Frechet distance', 1),
    'frechet_paired_adm_edge_small200': ('Frechet distance, edge features', 1),
    'frechet_squeezenet1k': ('Frechet distance', 1),
    'frechet_adm_edge_small1k': ('Frechet distance, edge features', 1),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', choices=sorted(MODELS))
    parser.add_argument(
        '--published',
        action='store_true',
        help='test the published file again, and fill the tables; train nothing',
    )
    parser.add_argument(
        '--tables-only', action='store_true', help='fill the tables, run nothing'
    )
    return parser.parse_args()


def run(*command: object) -> None:
    """Run one of the tools; stop where it fails."""
    words = [sys.executable, *map(str, command)]
    print('$', *words[1:], flush=True)
    subprocess.run(words, cwd=ROOT, check=True)


def write_json(path: Path, content: dict) -> None:
    from mmadm.utils.files import atomic_write

    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + '\n')


def train(config: Path, work: Path) -> Path:
    """The last checkpoint of a finished training; draws its curves."""
    run('tools/train.py', config, '--work-dir', work, '--resume')
    run(
        *('tools/analysis_tools/analyze_logs.py', 'plot_curve', work),
        *('--keys', 'loss_image', 'loss_noise'),
        *('--out', FIGURES / f'{config.stem}_training.png'),
    )
    return Path((work / 'last_checkpoint').read_text().strip())


def test(name: str, source: list, work: Path) -> dict:
    """Scores of all tests; each run leaves a file, and is not repeated.

    Args:
        name: of the model.
        source: arguments of tools/test.py; the last one is the file of the weights.
        work: work directory.
    """
    scores, folder = {}, work / 'scores' / Path(source[-1]).stem
    for label, part in MODELS[name].tests.items():
        for sampler, counts in part.runs.items():
            for count in counts:
                file = folder / f'{label}.{sampler}.{count}.json'
                if not file.exists():
                    options = ('--cfg-options', *part.options) if part.options else ()
                    run(
                        *('tools/test.py', *source, '--work-dir', work),
                        *('--sampler', sampler, '--num-steps', count),
                        *('--out', file, *options),
                    )
                result = json.loads(file.read_text())
                scores.setdefault(f'{label}.{sampler}', {}).update(result)
    return scores


def facts(name: str, config: Path, work: Path, scores: dict) -> dict:
    """What the file says about its training, beside what it finds out by itself."""
    import torch
    from mmengine.fileio import load

    (entry,) = (e for e in load(METAFILE)['Models'] if e['Name'] == name)
    lines = [
        json.loads(line)
        for log in sorted(work.glob('*/vis_data/scalars.json'))
        for line in log.read_text().splitlines()
    ]
    times = {line['iter']: line['time'] for line in lines if 'lr' in line}
    return dict(
        data=entry['Metadata']['Training Data'],
        terms=entry['Metadata']['Data Terms'],
        command=f'python tools/train.py {config.relative_to(ROOT)}',
        hardware=f'{torch.get_num_threads()} threads of {os.cpu_count()} CPU cores',
        hours=round(sum(times.values()) / max(len(times), 1) * max(times) / 3600, 2),
        scores=scores,
    )


def publish(name: str, checkpoint: Path, *options: object) -> None:
    """Write the model's file, in place of an older one."""
    older = all_published(name)
    run(
        'tools/misc/publish_model.py',
        checkpoint,
        WEIGHTS / f'{name}.safetensors',
        *options,
    )
    if len(all_published(name)) > len(older):
        for file in older:
            print(f'{file} is removed: there is a newer one.')
            file.unlink()


def all_published(name: str) -> list[Path]:
    return sorted(WEIGHTS.glob(f'{name}-*.safetensors'))


def published(name: str) -> Path:
    """The one published file of a model."""
    files = all_published(name)
    if len(files) != 1:
        raise ValueError(
            f'One published file of {name} is needed, but weights/ has '
            f'{[file.name for file in files]}. Publish the model (give its name '
            'without other options), and remove its older files.'
        )
    return files[0]


def tables(name: str, scores: Mapping) -> str:
    """The scores as Markdown, a table for each test."""
    parts = []
    for label, part in MODELS[name].tests.items():
        rows = [
            (sampler, int(count), values)
            for sampler in part.runs
            for count, values in scores.get(f'{label}.{sampler}', {}).items()
        ]
        if not rows:
            continue
        keys = [key for key in METRICS if any(key in row[2] for row in rows)]
        titles = ' | '.join(METRICS[key][0] for key in keys)
        parts.append(f'**{part.dataset}**\n')
        parts.append(f'| sampler | NFE | {titles} |')
        parts.append(f'|---|--:|{"--:|" * len(keys)}')
        for sampler, count, values in rows:
            cells = ' | '.join(_number(key, values.get(key)) for key in keys)
            parts.append(f'| {sampler} | {count} | {cells} |')
        parts.append('')
    return '\n'.join(parts)


def _number(key: str, score: float | None) -> str:
    return '' if score is None else f'{score:.{METRICS[key][1]}f}'


def results(name: str, scores: Mapping) -> list[dict]:
    """``Results`` of the metafile."""
    model = MODELS[name]
    entries = []
    for label, part in model.tests.items():
        metrics = {}
        for count in model.results:
            values = scores.get(f'{label}.adm', {}).get(str(count), {})
            for key in filter(values.__contains__, METRICS):
                title, digits = METRICS[key]
                metrics[f'{title} (NFE {count})'] = round(values[key], digits)
        entries.append(dict(Task=model.task, Dataset=part.dataset, Metrics=metrics))
    return entries


def draw_tradeoff(name: str, scores: Mapping) -> None:
    """The figure of distortion against perception, if several runs have both."""
    from mmadm.visualization.tradeoff import plot_tradeoff

    if MODELS[name].tradeoff is None:
        return
    label, *keys = MODELS[name].tradeoff
    runs = {
        sampler: [
            (int(count), *(values[key] for key in keys))
            for count, values in scores.get(f'{label}.{sampler}', {}).items()
            if all(values.get(key) is not None for key in keys)
        ]
        for sampler in MODELS[name].tests[label].runs
    }
    if sum(map(len, runs.values())) > 2:
        titles = tuple(METRICS[key][0] for key in keys)
        plot_tradeoff(runs, titles, FIGURES / f'{name}_tradeoff.png')


def fill_page(page: str, name: str, text: str) -> str:
    """The page with ``text`` between the two comments of the model."""
    start, end = f'<!-- scores of {name} -->', f'<!-- end of {name} -->'
    if start not in page or end not in page:
        raise ValueError(
            f'The page has no place for the scores of {name}: {PAGE}. Add the lines '
            f'{start} and {end}.'
        )
    before, rest = page.split(start)
    return f'{before}{start}\n\n{text}\n{end}{rest.split(end)[1]}'


def fill_metafile(
    metafile: str, name: str, weights: str, sha256: str, results: list[dict]
) -> str:
    """The metafile with these in place of the model's keys from ``Weights`` on.

    Edited as text, which keeps the rest as it is, with its comments.
    """
    from mmengine.fileio import dump

    before, found, rest = metafile.partition(f'  - Name: {name}\n')
    own, _, after = rest.partition('\n  - Name: ')
    kept, has_weights, _ = own.partition('    Weights:')
    if not (found and has_weights):
        raise ValueError(
            f'The metafile has no place for the weights of {name}: {METAFILE}. Add an '
            'entry with its config, its metadata and, at the end, "Weights: null".'
        )
    lists = dump(
        results,
        file_format='yaml',
        sort_keys=False,
        default_flow_style=None,
        width=10_000,  # one line each
    )
    own = f'{kept}    Weights: {weights}\n    SHA256: {sha256}\n    Results:\n'
    own += textwrap.indent(lists, ' ' * 6)
    return before + found + own + (after and f'  - Name: {after}')


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Run it again: finished tests are kept.'):
        make(args)


def make(args: argparse.Namespace) -> None:
    """All stages; what would end the last one is noticed before the first."""
    name = args.model
    fill_page(PAGE.read_text(), name, '')
    fill_metafile(METAFILE.read_text(), name, '', '', [])
    config = ROOT / f'configs/adm/small/{name}.py'
    work = ROOT / 'work_dirs' / name
    if args.published:
        write_json(SCORES / f'{name}.json', test(name, [published(name)], work))
    elif not args.tables_only:
        checkpoint = train(config, work)
        scores = test(name, [config, checkpoint], work)
        write_json(SCORES / f'{name}.json', scores)
        info = work / 'facts.json'
        write_json(info, facts(name, config, work, scores))
        publish(name, checkpoint, '--config', config, '--info', info, '--hash-data')
    write_tables(name)


def write_tables(name: str) -> None:
    """The scores into the page, and with the published file into the metafile."""
    from mmadm.checkpoints import file_sha256

    file = published(name)
    scores = json.loads((SCORES / f'{name}.json').read_text())
    entry = (
        file.relative_to(ROOT).as_posix(),
        file_sha256(file),
        results(name, scores),
    )
    METAFILE.write_text(fill_metafile(METAFILE.read_text(), name, *entry))
    PAGE.write_text(fill_page(PAGE.read_text(), name, tables(name, scores)))
    draw_tradeoff(name, scores)
    print(f'Tables written to {PAGE} and {METAFILE}')


if __name__ == '__main__':
    main()
