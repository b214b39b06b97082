"""The README is true: its Python runs, its commands work, its map is the tree, its figures are the bundle's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ganrt import Bundle

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [line.split(" #")[0].strip() for language, text in BLOCKS if not language for line in text.splitlines()]
NEED_MORE = ("ganrt train", "ganrt export")  # an hour, or a checkpoint; their own tests run them
GANRT = [command for command in COMMANDS if command.startswith("ganrt ") and not command.startswith(NEED_MORE)]


@pytest.mark.parametrize("code", PYTHON)
def test_its_python_runs_as_written(code, tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", GANRT)
def test_its_commands_run_as_written(command, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    for made in re.findall(r"-o (\S+)", command):
        assert (tmp_path / made).exists()


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_its_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_its_map_of_the_code_is_the_tree():
    section = README[README.index("## The code") :]
    listed, folder = set(), ""
    for line in re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[0].splitlines():
        names = re.split(r"  +", line.strip())[0].split(", ")
        if not line.startswith(" "):
            folder = names[0]
            continue  # a heading: what it holds is listed below it, or is no code
        listed |= {folder + name for name in names}
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in ("ganrt", "export/ganrt_export")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    folders = {name for name in listed if name.endswith("/")}
    assert {name for name in listed if not (ROOT / name).exists()} == set(), "listed and not there"
    covered = {name for name in files if name in listed or any(name.startswith(folder) for folder in folders)}
    assert files - covered == set(), "there and not listed"


def test_the_figures_of_the_digits_are_those_in_their_bundle():
    quality = Bundle.open("digits").manifest.quality
    for figure in ("accuracy", "worst_accuracy", "judge_accuracy"):
        assert f"{quality[figure]:.2%}".replace("%", " %") in README
    for figure in ("precision", "recall", "frechet_distance", "real_precision", "real_recall", "real_frechet_distance"):
        assert f"{quality[figure]:.2f}" in README


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
