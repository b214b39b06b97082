"""Every hostile bundle is refused with its own sentence, and costs no more memory than its size on disk allows."""

import importlib.util
import re
import tracemalloc
from pathlib import Path

import pytest

from ganrt import Bundle, GanrtError

HERE = Path(__file__).parent
ATTACKS = sorted(path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.glob("*/*.py"))
MEGABYTE = 1 << 20


def load(name):
    spec = importlib.util.spec_from_file_location(f"attack_{name.replace('/', '_')}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=ATTACKS)
def attack(request):
    return load(request.param)


def sources(attack, folder):
    """What to open: most attacks build one bundle, some a list."""
    built = attack.build(folder)
    return built if isinstance(built, list) else [built]


def use(source):
    """As far as a program goes before it trusts a bundle."""
    bundle = Bundle.open(source)
    bundle.graph()
    bundle.verify()


def size_on_disk(source):
    path = Path(source)
    paths = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(one.lstat().st_blocks * 512 for one in paths if one.exists())


def pattern(sentence, source):
    """The sentence as a regular expression: * is anything."""
    whole = sentence.replace("{path}", str(source)).replace("{{", "{").replace("}}", "}")
    return ".*".join(re.escape(part) for part in whole.split("*"))


def test_a_hostile_bundle_is_refused_with_its_sentence(attack, tmp_path):
    for source in sources(attack, tmp_path):
        with pytest.raises(GanrtError) as caught:
            use(source)
        message = str(caught.value)
        assert re.fullmatch(pattern(attack.SENTENCE, source), message), message
        assert type(caught.value).__name__ == attack.ERROR
        assert Path(source).name in message, "it names the file"
        assert len(message.replace(str(source), "")) < 500
        assert message.isprintable(), "one line, and nothing that moves a terminal's cursor"
        assert len(re.findall(r"[.?!] +[A-Z]", message)) <= 1, "one or two sentences"
    assert not (tmp_path / "executed").exists()


def test_refusing_costs_no_more_memory_than_a_few_times_the_size(attack, tmp_path):
    for source in sources(attack, tmp_path)[:3]:
        tracemalloc.start()
        try:
            with pytest.raises(GanrtError):
                use(source)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MEGABYTE + 8 * size_on_disk(source)


def test_the_bundle_that_the_attacks_start_from_is_good(tiny_files, tmp_path):
    import forge

    use(forge.as_zip(tmp_path, forge.contents()))
    use(forge.as_directory(tmp_path, forge.contents()))
    use(forge.as_zip(tmp_path, forge.with_graph(lambda model: None), "again.ganrt"))
