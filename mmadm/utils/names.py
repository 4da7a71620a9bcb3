"""Options that are one name or several."""

from collections.abc import Sequence


def as_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; a string is one name, not a sequence of letters.

    ``--cfg-options key=name`` gives a string, ``key=a,b`` a list.
    """
    return (value,) if isinstance(value, str) else tuple(value)
