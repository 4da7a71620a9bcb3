"""A model is found by its name, a file, an address or a config."""

import json
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import safetensors.torch
import torch
from torch import nn

from mmadm.checkpoints import (
    find_weights,
    model_zoo,
    read_checkpoint,
    resolve_model,
    safe_loaders,
)
from mmadm.checkpoints.download import download

CONFIG = dict(model=dict(type='ADM', head=dict(type='DualDecoderUNet')))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with three models: a published one, a file of weights, and neither."""
    weights = tmp_path / 'package' / 'weights'
    weights.mkdir(parents=True)
    metadata = dict(mmadm_config=json.dumps(CONFIG), mmadm_version='1', format='pt')
    info = json.dumps(dict(num_steps=5))
    tensors = dict(w=torch.ones(2, 2).half())
    safetensors.torch.save_file(
        tensors, weights / 'boxed.safetensors', dict(metadata, mmadm_info=info)
    )
    torch.save(nn.Linear(2, 2).state_dict(), weights / 'plain.pth')
    folder = weights.parent
    (folder / 'model-index.yml').write_text('Import: [metafile.yml]')
    entries = [
        dict(Name='boxed', Config='a.json', Weights='weights/boxed.safetensors'),
        dict(Name='plain', Config='a.json', Weights='weights/plain.pth'),
        dict(Name='empty', Config='a.json', Weights=None),
    ]
    (folder / 'metafile.yml').write_text(json.dumps(dict(Models=entries)))
    (folder / 'a.json').write_text(json.dumps(CONFIG))
    monkeypatch.setattr('mmadm.checkpoints.zoo.package_folder', lambda: folder)
    return folder


def test_names_lead_to_configs_and_weights(package):
    boxed = resolve_model('boxed')
    assert boxed.config.model.head.type == 'DualDecoderUNet'
    assert boxed.info['num_steps'] == 5
    assert boxed.checkpoint['state_dict']['w'].dtype == torch.float32
    plain = resolve_model('plain')
    assert plain.path == package / 'weights' / 'plain.pth' and not plain.info
    assert plain.checkpoint.keys() == {'weight', 'bias'}
    assert resolve_model('empty').checkpoint is None
    other = resolve_model('boxed', package / 'weights' / 'plain.pth')
    assert other.checkpoint.keys() == {'weight', 'bias'}


def test_weights_may_be_given_by_the_name_of_a_model(package):
    assert find_weights('boxed') == package / 'weights' / 'boxed.safetensors'
    with safe_loaders():
        from mmengine.runner import CheckpointLoader

        assert 'w' in CheckpointLoader.load_checkpoint('boxed')['state_dict']
    with pytest.raises(ValueError, match='empty is not trained yet'):
        find_weights('empty')


def test_a_file_of_the_name_comes_before_the_model(package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(nn.Linear(2, 2).state_dict(), 'boxed')
    assert 'weight' in read_checkpoint(find_weights('boxed'))


def test_configs_are_read_as_requested(package):
    path = str(package / 'a.json')
    calls = []

    def read(name):
        calls.append(name)
        return CONFIG

    resolve_model(path, read_config=read)
    resolve_model('empty', read_config=read)
    assert calls == [path, path]


def test_an_unknown_name_leads_to_similar_ones(package):
    with pytest.raises(ValueError, match=r"'boxd' is neither.*Similar.*boxed"):
        resolve_model('boxd')
    with pytest.raises(FileNotFoundError, match=r'none\.safetensors'):
        resolve_model('none.safetensors')


def test_what_mmadm_ships_is_there_and_verified():
    for name, entry in model_zoo().items():
        assert entry.config.is_file(), name
        if entry.weights and entry.weights.startswith('http'):
            assert len(entry.sha256) == 64, name
        elif entry.weights:
            assert resolve_model(name).info, name


CONTENTS = {'/a/m.pth': b'first' * 1000, '/b/m.pth': b'second' * 1000}
CONTENTS[f'/c/m-{sha256(b"x").hexdigest()[:8]}.pth'] = b'y'


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of two files of one name; it can break off, and knows ranges."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers.get('Range')))
            if self.path not in CONTENTS:
                return self.send_error(404)
            begin = int((self.headers.get('Range') or 'bytes=0-')[6:-1])
            body = CONTENTS[self.path][begin:]
            self.send_response(206 if begin else 200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            broken = httpd.broken.pop() if httpd.broken else False
            self.wfile.write(body[:1200] if broken else body)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    httpd.broken, httpd.requests = [], requests
    httpd.address = f'http://127.0.0.1:{httpd.server_port}'
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def test_two_addresses_with_one_base_name_are_two_files(server):
    for path in ('/a/m.pth', '/b/m.pth', '/a/m.pth'):
        found = download(server.address + path)
        assert found.name == 'm.pth' and found.read_bytes() == CONTENTS[path]
    assert len(server.requests) == 2, 'the third one was there already'


def test_an_interrupted_download_goes_on(server):
    address = f'{server.address}/a/m.pth'
    server.broken.append(True)
    with pytest.raises(ValueError, match='Download failed'):
        download(address)
    assert download(address).read_bytes() == CONTENTS['/a/m.pth']
    assert server.requests[-1] == ('/a/m.pth', 'bytes=1200-')


def test_another_file_than_the_published_one_is_refused(server):
    digest = sha256(CONTENTS['/a/m.pth']).hexdigest()
    path = download(f'{server.address}/a/m.pth', digest)
    path.write_bytes(b'damaged in the cache')
    assert download(f'{server.address}/a/m.pth', digest).read_bytes() != b'damaged'
    with pytest.raises(ValueError, match='Not the file that was published'):
        download(f'{server.address}/b/m.pth', digest)
    (named,) = (name for name in CONTENTS if name.startswith('/c/'))
    with pytest.raises(ValueError, match='Not the file that was published'):
        download(server.address + named)
    assert not list(path.parents[1].rglob('*c*/m-*.pth'))


def test_a_missing_address_is_reported(server):
    with pytest.raises(ValueError, match=r'Download failed: .*/none\.pth .*404'):
        download(f'{server.address}/none.pth')
