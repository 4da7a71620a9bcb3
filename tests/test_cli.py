"""The command ``mmadm``."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmadm.cli import commands, main, overview, summary
from mmadm.package import package_folder

ROOT = Path(__file__).parent.parent


def test_every_tool_is_a_command_with_a_summary():
    found = commands()
    tools = {
        path for path in (ROOT / 'tools').rglob('*') if path.suffix in ('.py', '.sh')
    }
    demos = {ROOT / 'demo' / name for name in ('image_demo.py', 'web_demo.py')}
    assert {*found.values()} == tools | demos
    text = overview(found)
    for name, path in found.items():
        assert summary(path) and text.count(f'\n  {name} ') == 1
    assert {'train', 'test', 'infer', 'web', 'convert duts', 'fid_stats'} <= {*found}


def test_no_two_tools_have_one_name():
    tools = [*(ROOT / 'tools').rglob('*.py'), *(ROOT / 'tools').rglob('*.sh')]
    assert len({path.stem for path in tools}) == len(tools)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['trian'], "unknown command: trian. Similar ones are ['train']"),
        (['convert'], 'convert duts'),
        (['convert', 'dut'], 'convert duts'),
        (['x' * 20], 'mmadm --help lists all'),
    ],
)
def test_an_unknown_command_is_refused(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_tool_runs_as_if_its_file_was_called(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('mmadm.cli.package_folder', lambda: tmp_path)
    folder = tmp_path / 'tools' / 'data_converters'
    folder.mkdir(parents=True)
    (folder / 'my_tool.py').write_text(
        '"""Some tool."""\n'
        'import sys, beside\n'
        'print(__name__, sys.argv, beside.x)\n'
        'sys.exit(int(sys.argv[1]))'
    )
    (folder / 'beside.py').write_text('x = 5')
    monkeypatch.setattr(sys, 'argv', ['mmadm'])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    for name in ('my_tool', 'my-tool'):
        with pytest.raises(SystemExit) as exit_info:
            main(['convert', name, '3', '--option', 'a b'])
        assert exit_info.value.code == 3
        expected = [str(folder / 'my_tool.py'), '3', '--option', 'a b']
        assert capsys.readouterr().out == f'__main__ {expected} 5\n'


@pytest.mark.parametrize(
    'name', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test']
)
def test_a_shell_script_says_how_it_is_called(name, capsys):
    main([name, '--help'])
    usage = capsys.readouterr().out.splitlines()[0]
    assert usage.startswith(f'{name}.sh ')
    command = [sys.executable, '-m', 'mmadm', name, 'one']
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0 and f'usage: {usage}' in run.stderr


def test_a_shell_script_runs_the_python_of_its_environment(tmp_path):
    script = tmp_path / 'tools' / 'which.sh'
    script.parent.mkdir()
    script.write_text('#!/usr/bin/env bash\n# which.sh\ncommand -v python\n')
    code = 'import mmadm.cli as cli; cli.package_folder = lambda: '
    code += f'cli.Path({str(tmp_path)!r}); cli.main(["which"])'
    command, environment = [sys.executable, '-c', code], {'PATH': '/usr/bin:/bin'}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert Path(run.stdout.decode().strip()).parent == Path(sys.executable).parent


def test_the_help_imports_no_library():
    code = (
        'import sys; from mmadm.cli import main; main(["--help"]); '
        'assert not {"torch", "numpy", "mmengine"} & {*sys.modules}'
    )
    run = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    assert b'train ' in run.stdout


def test_configs_are_found_by_name(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['mmadm'])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    main(['print_config', 'adm_sr_demo'])
    by_name = capsys.readouterr().out
    main(['print_config', str(package_folder() / 'configs' / 'adm' / 'adm_sr_demo.py')])
    assert by_name == capsys.readouterr().out and 'ConvEncoder' in by_name
    with pytest.raises(SystemExit):
        main(['print_config', 'adm_sr_dmeo'])
    message = capsys.readouterr().err
    assert 'neither a file nor the name of a shipped config. Similar' in message
    assert "'adm_sr_demo'" in message
