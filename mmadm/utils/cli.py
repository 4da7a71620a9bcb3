"""Command lines: dicts in options, and errors of the user in one line."""

import ast
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import DictAction

_TRACEBACK = 'MMADM_TRACEBACK'
_WORKER = 'DataLoader worker'
_ERRORS = (ValueError, OSError, KeyError, RuntimeError, MemoryError, ImportError)


class OptionsAction(DictAction):
    """``--cfg-options``: MMEngine's ``key=value``, with dicts as values, too.

    A value with braces is parsed as Python: ``"x=[{'type': 'A', 'n': 1}]"``. A value
    that cannot be parsed is an error of the command line.
    """

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: list[str],
        option_string: str | None = None,
    ) -> None:
        """Parse the values, one by one."""
        for pair in values:
            try:
                if '{' in pair:
                    key, value = pair.split('=', maxsplit=1)
                    former = getattr(namespace, self.dest, None) or {}
                    options = {**former, key: ast.literal_eval(value)}
                    setattr(namespace, self.dest, options)
                else:
                    super().__call__(parser, namespace, [pair], option_string)
            except (ValueError, SyntaxError, AssertionError, RecursionError):
                parser.error(
                    f'{option_string} takes key=value, but {pair} cannot be parsed. '
                    'Write dicts in Python syntax, in quotes: '
                    """"key=[{'type': 'Name', 'number': 1}]"."""
                )


def add_cfg_options(
    parser: ArgumentParser,
    name: str = '--cfg-options',
    help: str = 'override entries of the config: key=value, nested keys with dots',
) -> None:
    """Add the option that changes entries of a config."""
    parser.add_argument(name, nargs='+', action=OptionsAction, help=help)


def add_check_options(parser: ArgumentParser) -> None:
    """Add what all tools have that check an official data set."""
    parser.add_argument(
        '--subset', action='store_true', help='accept a part of the official images'
    )
    parser.add_argument(
        '--num-workers', type=int, default=0, help='threads, 0 for one per core'
    )


@contextmanager
def readable_errors(
    after_interrupt: str = 'Add --resume to continue from the last checkpoint.',
) -> Iterator[None]:
    """Print an error of the user as one message and exit with code 1.

    mmadm raises ``ValueError`` and ``FileNotFoundError`` in three parts: what is wrong,
    what was given, what to do. Another ``OSError`` (a full disk), a registry's
    ``KeyError``, a missing library and the end of a data worker are no bugs either. All
    other exceptions keep their traceback; with ``MMADM_TRACEBACK`` set, all do.

    Args:
        after_interrupt: what is printed after Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f'\nInterrupted. {after_interrupt}')
        sys.exit(130)
    except _ERRORS as error:
        if os.environ.get(_TRACEBACK) or _is_bug(error):
            raise
        print(f'\nError: {plain_message(error)}', file=sys.stderr)
        print(f'({_TRACEBACK}=1 shows the traceback.)', file=sys.stderr)
        sys.exit(1)


def _is_bug(error: Exception) -> bool:
    """Whether only a traceback helps: a bare KeyError, or another RuntimeError."""
    if isinstance(error, KeyError):
        return ' ' not in str(error)
    ours = _WORKER in str(error) or 'DataLoader timed out' in str(error)
    return isinstance(error, RuntimeError) and not ours


def plain_message(error: Exception) -> str:
    """The message alone, without a data worker's traceback around it."""
    text = str(error.args[0]) if len(error.args) == 1 else str(error)
    text = text.rsplit(f'\n{type(error).__name__}: ', 1)[-1].strip()
    if isinstance(error, RuntimeError) and _WORKER in text:
        return (
            f'A process that loads data has ended: {text.splitlines()[0]} Often the '
            'machine has too little memory: reduce num_workers or batch_size of the '
            'data loader, then add --resume.'
        )
    return text
