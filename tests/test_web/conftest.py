"""Small models for the web page, and drawings of its visitors."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmadm.apis import ADMInferencer
from tests.test_demo import save_narrow_model


@pytest.fixture(scope='session')
def inferencers(tmp_path_factory) -> dict[str, ADMInferencer]:
    """One model of each kind, narrow and with random weights."""
    names = dict(
        map='adm_edge_toy',
        painter='adm_inpaint_toy',
        generator='adm_uncond_cifar10_toy',
        sr='adm_sr_demo',
    )
    return {
        name: ADMInferencer(
            *save_narrow_model(config, tmp_path_factory.mktemp(name)),
            'cpu',
            show_progress=False,
        )
        for name, config in names.items()
    }


@pytest.fixture
def draw(tmp_path):
    """A drawing: the file of an image, and the content of a layer per stroke."""

    def make(image: np.ndarray, *strokes: tuple[slice, slice]) -> dict:
        path = tmp_path / 'background.png'
        Image.fromarray(image).save(path)
        layers = []
        for place in strokes:
            layer = np.zeros((*image.shape[:2], 4), np.uint8)
            layer[place] = 255
            Image.fromarray(layer).save(tmp_path / 'layer.png')
            layers.append((tmp_path / 'layer.png').read_bytes())
        return dict(background=str(path), layers=layers)

    return make


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty folder for the files of a request."""
    path = tmp_path / 'request'
    path.mkdir()
    return path


@pytest.fixture
def ghostscript(tmp_path, monkeypatch) -> Path:
    """A fake Ghostscript; the file that it writes when it is run."""
    program, trace = tmp_path / 'bin' / 'gs', tmp_path / 'was_run'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntouch {trace}\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(program.parent), prepend=':')
    # Pillow looks for it once.
    monkeypatch.setattr('PIL.EpsImagePlugin.gs_binary', None)
    return trace
