"""Results of all benchmarks: as tables, as a plot, and in a page of the docs."""

from collections.abc import Iterator, Mapping, Sequence
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
    parts = [_table(group) for group in _groups(records)]
    growth = [r for r in records if 'exponent' in r]
    parts += [_growth(growth)] if growth else []
    missing = [f'{r["left_out"]}: {r["why"]}' for r in records if 'left_out' in r]
    missing += [result['failed']] if result['failed'] else []
    parts += [f'Not measured: {reason}\n' for reason in missing]
    return '\n'.join(parts)


def _groups(records: Sequence[Mapping]) -> list[list[Mapping]]:
    """Records of one table: further numbers of the same rows are columns.

    Numbers join the timings before them, if those have all their rows, or else those
    after them.
    """
    groups = {i: [r] for i, r in enumerate(records) if 'timings' in r}
    for i, r in enumerate(records):
        if 'values' not in r or 'title' not in r:
            continue
        order = sorted(groups, key=lambda j: (j > i, abs(j - i)))
        joined = (j for j in order if set(r['values']) <= set(_rows(groups[j][0])))
        groups.setdefault(next(joined, i), []).append(r)
    return [groups[i] for i in sorted(groups)]


def _rows(record: Mapping) -> Mapping:
    return record.get('timings') or record['values']


def _table(group: Sequence[Mapping]) -> str:
    first, *others = group
    title, columns = first['title'], []
    if 'timings' in first:
        timings, against = first['timings'], first['against']
        median = timings[against]['median']
        columns = [
            ('Median, ms', {n: _short(1e3 * t['median']) for n, t in timings.items()}),
            ('Quartiles', {n: _quartiles(t) for n, t in timings.items()}),
            (
                'Faster by',
                {n: f'{median / t["median"]:.2f}' for n, t in timings.items()},
            ),
        ]
    else:
        others, title = group, ''
    for other in others:
        values = {name: _short(value) for name, value in other['values'].items()}
        columns.append((_capital(other['title']), values))
    lines = [
        ' | '.join([f'| {_capital(title)}', *(name for name, _ in columns)]) + ' |',
        '|---' + '|--:' * len(columns) + '|',
    ]
    for row in _rows(first):
        cells = (cells.get(row, '') for _, cells in columns)
        lines.append(' | '.join([f'| {row}', *cells]) + ' |')
    return '\n'.join(lines) + '\n'


def _quartiles(timing: Mapping[str, float]) -> str:
    return f'{_short(1e3 * timing["low"])} to {_short(1e3 * timing["high"])}'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
    from matplotlib.ticker import LogLocator

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
    axis.set_xscale('log')
    axis.barh(labels, [median - 1 for median in medians], left=1, xerr=errors)
    axis.axvline(1, color='black', linewidth=1)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter('{x:g}')
    axis.minorticks_off()
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
