"""One vocabulary (docs/en/notes/glossary.md): retired words do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ('mmadm', 'tools', 'demo', 'configs', 'docs/en', 'benchmarks', 'README.md')

#: Retired words, as regular expressions, and the terms in their place.
RETIRED = {
    r'answer(s|ed|ing)?': 'prediction, output',
    r'pictures?': 'image',
    r'(?<!ground[ _-])truths?': 'ground truth, gt_*',
    r'(network|sampling) calls?': 'steps, NFE',
    r'(ask|asks|asked|asking|tell|tells|told|said)': 'request, pass, report',
    r'known of|at hand|no numbers|wholly': 'plain words',
    r'preparations?': 'dataset conversion',
    r'ways? from noise': 'sampling trajectory',
    r'rooms?': 'module, package',
    r'shares? of': 'fraction of',
    r'deaf|lonely|kin|riddles?': 'plain words',
    'SineCode|FourierCode|ChannelNorm|whole_file|without_truth': 'names of the field',
    'Given(Condition|Mask|Pictures)': 'InferenceCondition, ...',
    r'custom_hooks\[': 'default_hooks by name',
}


def texts() -> list[Path]:
    """All files of the package, its tools, configs and documentation."""
    paths = []
    for folder in FOLDERS:
        path = ROOT / folder
        paths += [path] if path.is_file() else path.rglob('*')
    kept = ('.py', '.md', '.yml', '.sh')
    return [
        p for p in paths if p.suffix in kept and not {'_build', '.mim'} & {*p.parts}
    ]


def occurrences(pattern: str, text: str) -> list[str]:
    """Parts of a text with a word that is no part of another word."""
    # Terms may be broken over two lines.
    text = ' '.join(text.split())
    word = re.compile(rf'(?<![a-zA-Z])({pattern})(?![a-zA-Z])', re.IGNORECASE)
    starts = [match.start() for match in word.finditer(text)]
    return [text[max(0, i - 30) : i + 40] for i in starts]


@pytest.mark.parametrize('pattern', RETIRED)
def test_a_retired_word_is_not_used(pattern):
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in texts()
        if (lines := occurrences(pattern, path.read_text()))
    }
    assert found == {}, f'Use: {RETIRED[pattern]}'


@pytest.mark.parametrize('pattern', RETIRED)
def test_no_test_has_a_retired_word_in_its_name(pattern):
    files = (path.read_text() for path in (ROOT / 'tests').rglob('*.py'))
    names = [name for text in files for name in re.findall(r'def (test_\w+)', text)]
    spoken = {name: name.replace('_', ' ') for name in names}
    assert [n for n, text in spoken.items() if occurrences(pattern, text)] == []


@pytest.mark.parametrize(
    ('text', 'number'),
    [
        ('The answer is gt_img. An Answered question.', 2),
        ('ground truth, ground-truth, groundTruth, truth', 1),
        ('task, mask, ask', 1),
        ('the truth of_truth', 2),
        ('network\n    calls, ground\n    truth', 1),
    ],
)
def test_a_retired_word_is_found(text, number):
    assert sum(len(occurrences(pattern, text)) for pattern in RETIRED) == number
