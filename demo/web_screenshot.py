#!/usr/bin/env python
"""Draw the figure of the web page: a run of a shipped model, as Chromium shows it.

Needs the packages of requirements/web.txt, and Chromium.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from mmadm.web import serve

#: Draws without a window and without a GPU; the first option is for containers.
OPTIONS = ('--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader')


def find_chromium() -> str | None:
    """The program, where it is installed."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    return next(filter(None, map(shutil.which, names)), None)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='PNG file')
    parser.add_argument('--model', default='adm_edge_small', help='shipped model')
    parser.add_argument('--example', type=int, default=2, help='its number')
    parser.add_argument('--samples', type=int, default=2, help='samples of the run')
    parser.add_argument('--tab', default='Prediction', help='tab that is open')
    parser.add_argument('--width', type=int, default=1200, help='of the browser')
    return parser.parse_args()


def shoot(address: str, args: argparse.Namespace) -> None:
    """Run an example of the model, and save the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=OPTIONS
        )
        page = browser.new_page(viewport=dict(width=args.width, height=900))
        page.set_default_timeout(600_000)
        page.goto(address)
        page.get_by_label(f'Thumbnail {args.example} of 3').click()
        page.get_by_label('number input for Samples').fill(str(args.samples))
        page.get_by_role('button', name='Run', exact=True).click()
        page.get_by_text('Finished').wait_for()
        page.get_by_role('tab', name=args.tab).click()
        page.locator('[role=tabpanel]:visible img').first.wait_for()
        # The animations of the tabs and of the buttons are over.
        page.wait_for_timeout(1000)
        page.screenshot(path=args.out, full_page=True)
        browser.close()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with (
        readable_errors('Nothing was written.'),
        tempfile.TemporaryDirectory() as folder,
    ):
        if find_chromium() is None:
            raise ValueError(
                'The page is drawn by Chromium, which is not installed. Install it '
                '(Debian: apt-get install chromium).'
            )
        from mmadm.apis import ADMInferencer

        models = {args.model: ADMInferencer(args.model, show_progress=False)}
        page = serve(models, folder, port=None, prevent_thread_lock=True, quiet=True)
        shoot(page.local_url, args)
        page.close()
        print(f'Web page written to {args.out}')


if __name__ == '__main__':
    main()
