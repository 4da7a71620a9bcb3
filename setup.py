"""Package metadata; ``mmadm/.mim``: configs and tools for ``mim``, demo and weights."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM_ITEMS = (
    *('configs', 'tools', 'demo', 'weights'),
    *('model-index.yml', 'dataset-index.yml'),
)


def requirements(name: str) -> list[str]:
    return (ROOT / 'requirements' / f'{name}.txt').read_text().split('\n')


def version() -> str:
    scope: dict = {}
    exec((ROOT / 'mmadm' / 'version.py').read_text(), scope)
    return scope['__version__']


class BuildWithMim(build_py):
    """Copies configs, tools and weights into the wheel; links them if editable."""

    def run(self) -> None:
        super().run()
        base = ROOT if self.editable_mode else Path(self.build_lib)
        mim = base / 'mmadm' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for item in filter(Path.exists, (ROOT / name for name in MIM_ITEMS)):
            if self.editable_mode:
                (mim / item.name).symlink_to(Path('..', '..', item.name))
            elif item.is_dir():
                ignore = shutil.ignore_patterns('__pycache__')
                shutil.copytree(item, mim / item.name, ignore=ignore)
            else:
                shutil.copy(item, mim)
        if not self.editable_mode:
            # `from mmadm.configs...` in the configs of users; a link in a checkout.
            target = base / 'mmadm' / 'configs'
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(mim / 'configs', target)


setup(
    name='mmadm',
    version=version(),
    description='Diffusion models with Analytical image Attenuation (ADM), few-step '
    'image generation and image-to-image tasks, in the OpenMMLab style',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=[
        'Intended Audience :: Science/Research',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmadm', 'mmadm.*']),
    install_requires=requirements('mminstall') + requirements('runtime'),
    extras_require={
        name: requirements(name) for name in ('optional', 'web', 'tests', 'docs')
    },
    entry_points=dict(console_scripts=['mmadm = mmadm.cli:main']),
    cmdclass={'build_py': BuildWithMim},
)
