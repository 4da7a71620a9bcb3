"""Several models in one table."""

from mmadm.apis.complexity import Complexity, Part, overview

ENCODER = Part('encoder', 3_000, 0, 4 * 10**9, 'once')
HEAD = Part('head', 2_000, 2_000, 10**9, 'each')


def test_a_line_tells_what_a_call_an_answer_and_a_training_cost():
    large = Complexity((64, 96), (ENCODER, HEAD), activations=2**30)
    small = Complexity((8, 8), (HEAD,), activations=2**29)
    title, *lines = overview({'a/large.py': large, 'small.py': small}, 10).split('\n')
    assert len({len(line) for line in (title, *lines)}) == 1
    assert [line.split() for line in lines] == [
        ['a/large.py', '64x96', '5,000', '1.0', '14.0', '1.00'],
        ['small.py', '8x8', '2,000', '1.0', '10.0', '0.50'],
    ]
