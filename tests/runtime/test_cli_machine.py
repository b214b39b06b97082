"""`ganrt doctor`, and commands that other packages bring."""

import json
import os
import subprocess
import sys

import pytest

from ganrt import __version__
from ganrt.backends import NAMES, available, module_name
from ganrt.cli import main

HERE = [name for name in NAMES if available(name)]
WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys({absent!r})); from ganrt.cli import main; sys.exit(main({words!r}))"
)


def without(absent, *words):
    """Runs a command in a process in which these modules cannot be imported."""
    code = WITHOUT.format(absent=absent, words=list(words))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def distribution(folder, name, version="1.0", entry_points=""):
    """What pip leaves of an installed package, for importlib.metadata to find."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder


def with_path(folder, *words):
    """Runs a command in a process that finds the packages of `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-m", "ganrt", *words], capture_output=True, text=True, env=environment)


def test_doctor_shows_the_machine_and_engines_that_really_draw(capfd):
    assert main(["doctor"]) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert f"ganrt {__version__}" in text
    for name in HERE:
        assert f"✓ {name} {available(name).version} draws as it should" in text


def test_doctor_as_json_has_stable_keys(capfd):
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert set(told) == {
        *("ganrt", "environment", "engines", "builders", "formats", "cache_folder", "cache_bytes", "problems")
    }
    assert set(told["environment"]["processor"]) == {"name", "architecture", "cores", "features"}
    assert [engine["name"] for engine in told["engines"]] == list(NAMES)
    assert all(set(engine) == {"name", "ok", "version", "note", "install"} for engine in told["engines"])


def test_a_missing_engine_comes_with_the_command_that_installs_it():
    done = without(["openvino"], "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓   onnxruntime" in done.stdout
    assert "OpenVINO is not installed.\n    pip install 'ganrt[openvino]'" in done.stdout


def test_doctor_exits_with_1_when_no_engine_works():
    engines = [module_name(name) for name in NAMES]
    done = without(engines, "doctor")
    assert done.returncode == 1
    assert "pip install 'ganrt[cpu]'" in done.stdout
    done = without(engines, "sample", "digits")
    assert done.returncode == 1
    assert done.stderr == "Error: No engine is installed. Install one: pip install 'ganrt[cpu]'\n"


def test_what_cannot_be_written_here_comes_with_the_command_that_installs_it(tmp_path):
    code = (
        "from importlib import metadata; whole = metadata.version\n"
        "def version(name):\n"
        "    if name in ('av', 'soundfile'): raise metadata.PackageNotFoundError(name)\n"
        "    return whole(name)\n"
        "metadata.version = version\n"
        "from ganrt.cli import main; main(['doctor'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "These files cannot be written: mp4, wav, flac.\n    pip install 'ganrt[media]'" in done.stdout


def test_two_onnx_runtimes_at_once_are_found_and_the_command_mends_it(tmp_path):
    distribution(tmp_path, "onnxruntime-gpu", "1.20.0")
    told = json.loads(with_path(tmp_path, "doctor", "--json").stdout)
    assert told["problems"][0]["problem"].startswith("onnxruntime and onnxruntime-gpu are both installed")
    assert told["problems"][0]["command"].startswith(
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'ganrt["
    )


@pytest.mark.parametrize("code", ["raise ImportError('its library is missing')", "SessionOptions = None"])
def test_an_engine_that_is_damaged_does_not_take_the_doctor_down(tmp_path, code):
    (tmp_path / "onnxruntime.py").write_text(code)
    done = with_path(tmp_path, "doctor")
    assert done.stderr == ""
    assert "✗   onnxruntime" in done.stdout
    assert "pip install 'ganrt[cpu]'" in done.stdout


PLUG_IN = """
from typing import Annotated
import typer

def command(what: str, times: Annotated[int, typer.Option("-t")] = 1) -> None:
    '''Say it.'''
    print(*[what] * times)
    raise typer.Exit(times)
"""


def test_a_plug_in_is_listed_and_runs_with_its_own_options_and_exit_code(tmp_path):
    distribution(tmp_path, "parrot", entry_points="[ganrt.commands]\nrepeat = parrot:command\n")
    (tmp_path / "parrot.py").write_text(PLUG_IN)
    assert "From parrot." in with_path(tmp_path, "--help").stdout
    done = with_path(tmp_path, "repeat", "hello", "-t", "3")
    assert (done.stdout, done.returncode) == ("hello hello hello\n", 3)
    help_text = with_path(tmp_path, "repeat", "--help")
    assert "Usage: ganrt repeat" in help_text.stdout
    assert "Say it." in help_text.stdout
    wrong = with_path(tmp_path, "repeat", "hello", "-t", "x")
    assert wrong.returncode == 2
    assert wrong.stderr.endswith("See: ganrt repeat --help\n")


def test_a_plug_in_that_cannot_be_loaded_harms_no_other_command(tmp_path):
    distribution(tmp_path, "parrot", entry_points="[ganrt.commands]\nrepeat = parrot:command\nsample = parrot:thief\n")
    (tmp_path / "parrot.py").write_text("import nothing_of_that_name")
    assert "Draw samples" in with_path(tmp_path, "--help").stdout
    assert "Draw samples" in with_path(tmp_path, "sample", "--help").stdout  # ganrt's own cannot be taken over
    done = with_path(tmp_path, "repeat", "hello")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: 'ganrt repeat' cannot be loaded from parrot:command: No module named 'nothing_of_that_name'.\n"
    )


def test_train_without_torch_is_one_sentence_that_says_what_to_install():
    done = without(["torch"], "train", "cgan")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'ganrt[export]'" in done.stderr
    assert without(["torch"], "--help").returncode == 0
