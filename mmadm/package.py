"""Where the files beside the code are."""

from pathlib import Path


def package_folder() -> Path:
    """The folder with configs, tools, demo, weights: the checkout, or the wheel's."""
    package = Path(__file__).parent
    is_checkout = (package.parent / 'model-index.yml').is_file()
    return package.parent if is_checkout else package / '.mim'
