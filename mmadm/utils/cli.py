"""What a user sees when something is wrong with the input."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRACEBACK = 'MMADM_TRACEBACK'


@contextmanager
def readable_errors(
    after_interrupt: str = 'Add --resume to go on from the last checkpoint.',
) -> Iterator[None]:
    """Print a user's mistake as one message and exit with code 1.

    mmadm reports mistakes as ``ValueError`` or ``FileNotFoundError`` with what is
    wrong, what was given and what to do; other ``OSError`` (a full disk, say) are no
    bugs either. Everything else is one and keeps its traceback, as does everything
    when ``MMADM_TRACEBACK`` is set.

    Args:
        after_interrupt: what is said to who interrupts.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f'\nInterrupted. {after_interrupt}')
        sys.exit(130)
    except (ValueError, OSError, KeyError) as error:
        if os.environ.get(_TRACEBACK):
            raise
        print(f'\nError: {plain_message(error)}', file=sys.stderr)
        print(f'({_TRACEBACK}=1 shows where it was noticed.)', file=sys.stderr)
        sys.exit(1)


def plain_message(error: Exception) -> str:
    """The message alone: without a data worker's traceback around it."""
    text = str(error.args[0]) if len(error.args) == 1 else str(error)
    return text.rsplit(f'\n{type(error).__name__}: ', 1)[-1].strip()
