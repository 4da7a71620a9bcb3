"""Sphinx configuration: `make docs` builds the pages, warnings are errors."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

from mmadm.version import __version__

project = 'mmadm'
author = 'The mmadm authors'
release = version = __version__

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'myst_parser',
    'sphinx_copybutton',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'mmadm'

# Formulas are MathML, which browsers draw without a script: the pages work offline.
html_math_renderer = 'mathml'

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

# Defaults as they are written: `dict(type=ADMProcess)`, not the repr of the class.
autodoc_preserve_defaults = True
autodoc_typehints_format = 'short'
autodoc_member_order = 'bysource'
# What the libraries say of their own methods is not ours to format.
autodoc_inherit_docstrings = False
copybutton_prompt_text = '$ '


def _keep_formulas(app, what, name, obj, options, lines: list[str]) -> None:
    """Make literal blocks of the indented formulas below a line of prose."""
    for i in range(len(lines) - 1, 1, -1):
        before, blank, line = lines[i - 2 : i + 1]
        begins_block = line.startswith('    ') and not blank and before.strip()
        if begins_block and not before.startswith(' '):
            lines[i:i] = ['::', '']


def _inline_formula(writer, node) -> None:
    writer.body.append(convert(node.astext()))
    raise SkipNode


def _formula(writer, node) -> None:
    formula = convert(node.astext(), display='block')
    # Without a margin, the theme's frame would get a scroll bar.
    writer.body.append(f'<div style="padding: 0.3em 0">{formula}</div>')
    raise SkipNode


def setup(app) -> None:
    app.add_html_math_renderer('mathml', (_inline_formula, None), (_formula, None))
    # Before napoleon (priority 500), which reads the sections.
    app.connect('autodoc-process-docstring', _keep_formulas, priority=400)
