"""No mutated bundle ever crashes with anything but a GanrtError.

Mutations reach as deep as they can: in members and manifest fields they come with digests that are right.
"""

import hashlib
import json
import unicodedata
from copy import deepcopy

import forge
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganrt import ArgumentError, Bundle, GanrtError
from ganrt.latents import Draws

WHOLE = {name: forge.contents(of=name) for name in tiny.SPECS}
SETTINGS = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

# Values that parsers stumble over, next to the ordinary ones.
ODD = st.sampled_from(
    [None, True, 0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**64, 1e-320, 1e308, -0.0, "", "..", "/", "a\0b", "\ud7ff", [], {}]
)
VALUES = st.recursive(
    ODD | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORDS = sorted(
    {
        *("latent", "label", "code", "truncation", "signal", "image", "audio", "table", "mel", "fp32", "fp16", "int8"),
        *(
            "normal",
            "uniform",
            "truncated_normal",
            "index",
            "one_hot",
            "categorical",
            "continuous",
            "graph",
            "threshold",
        ),
        *("z", "psi", "style", "image_float", tiny.GRAPH, tiny.GOLDENS, "manifest.json", "0" * 64),
    }
)
PARTS = [part for held in WHOLE.values() for part in json.loads(held["manifest.json"])["spec"]["inputs"]]


@st.composite
def mutated_bytes(draw, data):
    """`data` with one to four flips, deletions, insertions, copies or cuts."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 64, 512]))
        match draw(st.sampled_from(["flip", "set", "delete", "insert", "copy", "cut"])):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if data:
                data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
            case "delete":
                del data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case "copy":
                other = draw(st.integers(0, max(0, len(data) - 1)))
                data[at : at + length] = data[other : other + length]
            case "cut":
                del data[at:]
    return bytes(data)


def alike(value):
    """Values of the same type, so that a field's meaning is reached and not only its type."""
    match value:
        case bool():
            return st.booleans()
        case int():
            return st.sampled_from([0, 1, 2, value - 1, value + 1, 4096, 2**24, 2**31, 2**53, 2**63 - 1, -1])
        case float():
            return st.sampled_from([0.0, -0.0, 5e-324, 1e-30, -value, 2 * value, 1e30, 3.5e38, 1.7e308])
        case str():
            return st.sampled_from(WORDS) | st.text(max_size=5)
        case dict():
            return st.sampled_from(PARTS)
    return st.just([]) | st.lists(VALUES, max_size=3)


@st.composite
def mutated_manifests(draw, held):
    """The members with one to three fields of the manifest changed, removed, copied or renamed."""
    held = dict(held)
    manifest = json.loads(held["manifest.json"])
    for _ in range(draw(st.integers(1, 3))):
        places = [(at, key) for at in walk(manifest) for key in (at if isinstance(at, dict) else range(len(at)))]
        if not places:
            break
        at, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["nudge", "nudge", "nudge", "set", "delete", "copy", "rename"])):
            case "nudge":
                at[key] = deepcopy(draw(alike(at[key])))
            case "set":
                at[key] = deepcopy(draw(VALUES))
            case "delete":
                del at[key]
            case "copy":
                other, name = draw(st.sampled_from(places))
                if (isinstance(other, dict) and name in other) or (isinstance(other, list) and name < len(other)):
                    at[key] = deepcopy(other[name])
            case "rename" if isinstance(at, dict):
                at[draw(st.text(max_size=8) | st.sampled_from(["size", "name", "kind", "role", "fp16"]))] = at.pop(key)
    held["manifest.json"] = json.dumps(manifest).encode()
    return held


@st.composite
def spliced(draw, held):
    """The members of this bundle and another's, under each other's names, digests right or as they were."""
    other = draw(st.sampled_from(sorted(WHOLE)))
    pool = [*held.values(), *WHOLE[other].values(), b""]
    names = st.sampled_from([*held, "extra.onnx", "a/b.npy"])
    spliced = {**held, **draw(st.dictionaries(names, st.sampled_from(pool), min_size=1, max_size=3))}
    return digested(spliced) if draw(st.booleans()) else spliced


def digested(held):
    """The members with the digests of what they are now, if the manifest can still be read."""
    try:
        manifest = json.loads(held["manifest.json"])
        manifest["files"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in held.items()
            if name != "manifest.json"
        }
    except (ValueError, TypeError, RecursionError):
        return held
    return {**held, "manifest.json": json.dumps(manifest).encode()}


@st.composite
def mutated_bundles(draw):
    """The bytes of a .ganrt."""
    held = WHOLE[draw(st.sampled_from(sorted(WHOLE)))]
    match draw(st.sampled_from(["zip", "zip", "member", "member", "manifest", "manifest", "manifest bytes", "splice"])):
        case "zip":
            return draw(mutated_bytes(forge.raw_zip(forge.members(held))))
        case "member":
            name = draw(st.sampled_from([tiny.GRAPH, tiny.GRAPH, tiny.GOLDENS]))
            held = digested({**held, name: draw(mutated_bytes(held[name]))})
        case "manifest":
            held = draw(mutated_manifests(held))
        case "manifest bytes":
            held = {**held, "manifest.json": draw(mutated_bytes(held["manifest.json"]))}
        case "splice":
            held = draw(spliced(held))
    return forge.raw_zip(forge.members(held))


def walk(value):
    """Every list and object in a JSON value, itself included."""
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from walk(inner)


def use(path):
    """Everything that a program does with a bundle before an engine runs."""
    bundle = Bundle.open(path)
    spec = bundle.manifest.spec
    assert len(bundle.digest) == 64
    assert stays_on_its_line(repr(bundle))
    sizes = [np.prod(port.shape[1:], dtype=float) for port in (*spec.input_ports(), *spec.output_ports())]
    if not spec.signals and max(sizes) < 1e5:
        Draws(spec, 7, 0, 3).feeds(0, 3)
    for precision in bundle.manifest.graphs:
        bundle.graph(precision)
    bundle.verify()
    for golden in bundle.manifest.goldens.samples if bundle.manifest.goldens else ():
        draws = Draws.of(spec, golden)
        if max(sizes) < 1e5:
            draws.feeds(0, 1)


def stays_on_its_line(text):
    return not any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text)


def fault(path):
    """What `use` makes of a bundle: the GanrtError that it raises, if any; everything else passes through."""
    try:
        return use(path)
    except GanrtError as problem:
        return problem


def hold(data, path):
    path.write_bytes(data)
    problem = fault(path)
    if problem is not None:
        message = str(problem)
        assert stays_on_its_line(message)
        assert path.name in message or isinstance(problem, ArgumentError)
        assert len(message.replace(str(path), "")) < 1000


@settings(max_examples=500, **SETTINGS)
@given(data=mutated_bundles())
def test_a_mutated_bundle_opens_or_is_refused(data, tmp_path_factory):
    hold(data, tmp_path_factory.getbasetemp() / "mutated.ganrt")


@pytest.mark.slow
@settings(max_examples=10_000, derandomize=False, **SETTINGS)
@given(data=mutated_bundles())
def test_ten_thousand_mutated_bundles_open_or_are_refused(data, tmp_path_factory):
    hold(data, tmp_path_factory.getbasetemp() / "mutated.ganrt")
