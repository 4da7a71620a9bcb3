"""Results of all benchmarks: as tables, as a plot, and in a page of the docs."""

from collections.abc import Iterator, Mapping
from pathlib import Path


def to_markdown(results: Mapping[str, Mapping]) -> str:
    """A chapter for each benchmark."""
    chapters = [f'## {name}\n\n{chapter(result)}' for name, result in results.items()]
    return '\n'.join(chapters)


def chapter(result: Mapping) -> str:
    """The tables of one benchmark, and what could not be measured.

    Args:
        result: what ``run`` in ``__main__`` gives.
    """
    records = result['records']
    parts = [_timings(r) for r in records if 'timings' in r]
    parts += [_values(r) for r in records if 'values' in r and 'title' in r]
    growth = [r for r in records if 'exponent' in r]
    parts += [_growth(growth)] if growth else []
    missing = [f'{r["left_out"]}: {r["why"]}' for r in records if 'left_out' in r]
    missing += [result['failed']] if result['failed'] else []
    parts += [f'Not measured: {reason}\n' for reason in missing]
    return '\n'.join(parts)


def machine_of(results: Mapping[str, Mapping]) -> str:
    """Hardware and versions of the first benchmark that ran, with all seconds."""
    names = [
        r['machine']
        for result in results.values()
        for r in result['records']
        if 'machine' in r
    ]
    computed = sum(result['cpu_seconds'] for result in results.values())
    passed = sum(result['seconds'] for result in results.values())
    first = names[0].rpartition(';')[0] if names else 'unknown machine'
    return (
        f'{first}. {len(results)} benchmarks in {passed / 60:.0f} minutes, '
        f'{computed / 60:.0f} of them computing.\n'
    )


def _timings(record: Mapping) -> str:
    timings, against = record['timings'], record['against']
    lines = [
        f'| {record["title"]} | Median, ms | Quartiles | Faster by |',
        '|---|--:|--:|--:|',
    ]
    for name, timing in timings.items():
        median, low, high = (1e3 * timing[key] for key in ('median', 'low', 'high'))
        ratio = timings[against]['median'] / timing['median']
        quartiles = f'{_short(low)} to {_short(high)}'
        lines.append(f'| {name} | {_short(median)} | {quartiles} | {ratio:.2f} |')
    return '\n'.join(lines) + '\n'


def _values(record: Mapping) -> str:
    lines = [f'| {record["title"]} | |', '|---|--:|']
    lines += [f'| {name} | {_short(x)} |' for name, x in record['values'].items()]
    return '\n'.join(lines) + '\n'


def _growth(records: list[Mapping]) -> str:
    lines = ['| What | by | Measured | Exponent |', '|---|---|---|--:|']
    for r in records:
        points = zip(r['values'], r['results'])
        measured = ', '.join(f'{value}: {_short(result)}' for value, result in points)
        lines.append(
            f'| {r["what"]} | {r["axis"]} | {measured} | {r["exponent"]:.2f} |'
        )
    return '\n'.join(lines) + '\n'


def _short(number: float) -> str:
    """Three digits, without an exponent where the number is of usual size."""
    if abs(number) >= 100:
        return f'{number:,.0f}'
    return f'{number:.3g}'


def fill_page(page: str, results: Mapping[str, Mapping]) -> str:
    """The page with the results between its comments; the text around them stays.

    ``<!-- results of heads -->`` and ``<!-- end of heads -->`` enclose the tables of
    the benchmark ``heads``, those of ``machine`` the hardware. A benchmark without a
    place is left out of the page; one that was not run keeps its old results.

    Raises:
        ValueError: the page has a place for none of the results, or one without end.
    """
    texts = {name: chapter(result) for name, result in results.items()}
    texts['machine'] = machine_of(results)
    places = {
        name: (f'<!-- results of {name} -->', f'<!-- end of {name} -->')
        for name in texts
    }
    found = {name: place for name, place in places.items() if place[0] in page}
    if not set(found) - {'machine'}:
        raise ValueError(
            f'The page has no place for the results of {sorted(results)}. Add the '
            'lines <!-- results of NAME --> and <!-- end of NAME -->.'
        )
    for name, (start, end) in found.items():
        before, _, rest = page.partition(start)
        _, closed, after = rest.partition(end)
        if not closed:
            raise ValueError(
                f'The place for the results of {name} has no end. Add the line {end}.'
            )
        page = f'{before}{start}\n\n{texts[name]}\n{end}{after}'
    return page


def plot(results: Mapping[str, Mapping], path: Path) -> None:
    """Bars of all ratios, with the quartiles of the variant; nothing without ratios."""
    import matplotlib.pyplot as plt

    bars = list(_bars(results))
    if not bars:
        return
    labels, medians, lows, highs = zip(*bars[::-1])
    errors = [
        [m - low for m, low in zip(medians, lows)],
        [high - m for m, high in zip(medians, highs)],
    ]
    height = 1 + 0.25 * len(bars)
    figure, axis = plt.subplots(figsize=(10, height), layout='constrained')
    axis.barh(labels, medians, xerr=errors)
    axis.axvline(1, color='black', linewidth=1)
    axis.set_xscale('log')
    axis.margins(y=0.01)
    axis.set_xlabel('times as fast as what it is compared with')
    figure.savefig(path)
    plt.close(figure)


def _bars(results: Mapping[str, Mapping]) -> Iterator[tuple[str, float, float, float]]:
    for name, result in results.items():
        for record in result['records']:
            timings = record.get('timings', {})
            for variant, timing in timings.items():
                if variant != record['against']:
                    against = timings[record['against']]['median']
                    ratios = (against / timing[k] for k in ('median', 'high', 'low'))
                    yield f'{name}: {variant} ({record["title"]})', *ratios
