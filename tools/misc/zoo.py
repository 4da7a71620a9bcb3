#!/usr/bin/env python
"""Train, test and publish a model in the box, and fill its tables: `make zoo MODEL=...`

Each stage is skipped where its result exists; an interrupted one is resumed.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/en/user_guides/models_in_the_box.md'
SAMPLERS = ('adm', 'mean', 'deterministic', 'multistep')
STEPS = (1, 2, 3, 5, 10)
#: Test sets of each model: label -> options of tools/test.py, number of samplers.
_DATA = 'test_dataloader.dataset.'
TESTS = {
    'adm_sr_small': {
        'Set5': [],
        'Set14': [f'{_DATA}data_prefix.img_path=Set14/HR'],
        'B100': [
            f'{_DATA}data_root=data/BSDS500/data',
            f'{_DATA}data_prefix.img_path=images/val',
        ],
    },
    'adm_edge_small': {'BSDS500-test': []},
    'adm_saliency_small': {'DUTS-TE': []},
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', choices=sorted(TESTS))
    parser.add_argument('--samplers', nargs='+', default=SAMPLERS, choices=SAMPLERS)
    parser.add_argument('--num-steps', nargs='+', type=int, default=STEPS)
    parser.add_argument(
        '--tables-only', action='store_true', help='fill the tables, run nothing'
    )
    return parser.parse_args()


def run(*command: object) -> None:
    """Run one of the tools; stop where it fails."""
    words = [sys.executable, *map(str, command)]
    print('$', *words[1:], flush=True)
    subprocess.run(words, cwd=ROOT, check=True)


def train(config: Path, work: Path) -> Path:
    """The last checkpoint of a finished training."""
    pointer = work / 'last_checkpoint'
    run('tools/train.py', config, '--work-dir', work, '--resume')
    return Path(pointer.read_text().strip())


def test(config: Path, checkpoint: Path, work: Path, args) -> list[Path]:
    """Scores of all test sets and samplers."""
    files = []
    for label, options in TESTS[args.model].items():
        for sampler in args.samplers:
            file = work / 'scores' / f'{label}.{sampler}.json'
            files.append(file)
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                run(
                    *('tools/test.py', config, checkpoint, '--work-dir', work),
                    *('--sampler', sampler, '--num-steps', *args.num_steps),
                    *('--out', file, *(['--cfg-options', *options] if options else [])),
                )
    return files


def write_facts(model: str, config: Path, work: Path) -> Path:
    """What the file says about its training, beside what it finds out by itself."""
    import torch
    from mmengine.fileio import load

    from mmadm.utils.files import atomic_write

    (entry,) = (
        entry
        for entry in load(ROOT / 'configs/adm/metafile.yml')['Models']
        if entry['Name'] == model
    )
    lines = [
        json.loads(line)
        for log in sorted(work.glob('*/vis_data/scalars.json'))
        for line in log.read_text().splitlines()
    ]
    times = {line['iter']: line['time'] for line in lines if 'lr' in line}
    facts = dict(
        data=entry['Metadata']['Training Data'],
        terms=entry['Metadata']['Data Terms'],
        command=f'python tools/train.py {config.relative_to(ROOT)}',
        hardware=f'{torch.get_num_threads()} threads of {os.cpu_count()} CPU cores',
        hours=round(sum(times.values()) / max(len(times), 1) * max(times) / 3600, 2),
    )
    path = work / 'facts.json'
    with atomic_write(path) as part:
        part.write_text(json.dumps(facts))
    return path


def tables(model: str) -> str:
    """The scores in the published file, as Markdown."""
    from mmadm.checkpoints import load_published

    files = sorted((ROOT / 'weights').glob(f'{model}-*.safetensors'))
    if len(files) != 1:
        raise ValueError(
            f'One published file of {model} fills its tables, but weights/ has '
            f'{[file.name for file in files]}. Publish the model (run without '
            '--tables-only), and remove its older files.'
        )
    scores = load_published(files[0])[2]['scores']
    parts = []
    for label in TESTS[model]:
        runs = {
            name.split('.')[1]: steps
            for name, steps in scores.items()
            if name.split('.')[0] == label
        }
        first = next(iter(next(iter(runs.values())).values()))
        names = [key for key in first if ':' not in key and not key.endswith('time')]
        parts.append(f'**{label}**\n')
        parts.append(f'| sampler | NFE | {" | ".join(names)} |')
        parts.append(f'|---|--:|{"--:|" * len(names)}')
        for sampler, steps in runs.items():
            for count, values in steps.items():
                cells = ' | '.join(_number(name, values[name]) for name in names)
                parts.append(f'| {sampler} | {count} | {cells} |')
        parts.append('')
    return '\n'.join(parts)


def _number(name: str, score: float) -> str:
    """As many digits as half precision and other machines leave unchanged."""
    return f'{score:.2f}' if name.startswith('psnr') else f'{score:.3f}'


def fill(page: str, model: str, text: str) -> str:
    """The page with ``text`` between the two comments of the model."""
    start, end = f'<!-- scores of {model} -->', f'<!-- end of {model} -->'
    if start not in page or end not in page:
        raise ValueError(
            f'The page has no place for the scores of {model}: {PAGE}. Add the lines '
            f'{start} and {end}.'
        )
    before, rest = page.split(start)
    return f'{before}{start}\n\n{text}\n{end}{rest.split(end)[1]}'


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        make(args)


def make(args: argparse.Namespace) -> None:
    """All stages; what would end the last one is noticed before the first."""
    fill(PAGE.read_text(), args.model, '')
    config = ROOT / f'configs/adm/small/{args.model}.py'
    work = ROOT / 'work_dirs' / args.model
    if not args.tables_only:
        checkpoint = train(config, work)
        scores = test(config, checkpoint, work, args)
        facts = write_facts(args.model, config, work)
        run(
            *('tools/misc/publish_model.py', checkpoint),
            f'weights/{args.model}.safetensors',
            *('--config', config, '--info', facts, '--hash-data'),
            *('--scores', *scores),
        )
    PAGE.write_text(fill(PAGE.read_text(), args.model, tables(args.model)))
    print(f'Tables written to {PAGE}')


if __name__ == '__main__':
    main()
