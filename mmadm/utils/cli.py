"""What a user sees when something is wrong with the input."""

import ast
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import DictAction

_TRACEBACK = 'MMADM_TRACEBACK'


class OptionsAction(DictAction):
    """``--cfg-options``: MMEngine's ``key=value``, where values may be dicts too.

    A value with braces is read as Python writes it: ``"x=[{'type': 'A', 'n': 1}]"``.
    What cannot be read is an error of the command line.
    """

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: list[str],
        option_string: str | None = None,
    ) -> None:
        """Read the values, one by one."""
        for pair in values:
            try:
                super().__call__(parser, namespace, [pair], option_string)
            except (ValueError, SyntaxError, AssertionError, RecursionError):
                parser.error(
                    f'{option_string} takes key=value, but {pair} is none that can be '
                    'read. Write dicts as Python does, in quotes: '
                    """"key=[{'type': 'Name', 'number': 1}]"."""
                )

    @staticmethod
    def _parse_iterable(value: str) -> Any:
        if '{' in value:
            return ast.literal_eval(value)
        return DictAction._parse_iterable(value)


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
