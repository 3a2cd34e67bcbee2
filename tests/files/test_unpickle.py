from __future__ import annotations

import collections
import datetime
import functools
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from napari_facemap.files.unpickle import UnsafeFileError, load_plain


def write_pickle(path, payload, shape=()):
    """A .npy file that says it holds objects, followed by any bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": shape}
    )
    path.write_bytes(header.getvalue() + payload)
    return path


def in_array(item):
    """The payload of a dict that `item` stands in."""
    array = np.empty((), object)
    array[()] = {"innocent": np.arange(5), "item": item}
    return pickle.dumps(array, protocol=4)


def refused(path):
    with pytest.raises(UnsafeFileError) as caught:
        load_plain(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype == object:
            assert_same(a.ravel().tolist(), b.ravel().tolist())
        else:
            np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert_same(list(a.values()), list(b.values()))
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b or (a != a and b != b)


PLAIN = {
    "numbers": [1, -(2**70), 2.5, float("nan"), True, None],
    "text": ("é", b"\x00\xff", ""),
    5: {None: {}},
    "arrays": [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.asfortranarray(np.ones((2, 3), np.float32)),
        np.zeros((0, 1)),
        np.array(["ab", "ü"]),
        np.array([b"abc"]),
        np.array([True, False]),
        np.array(3.5),
    ],
    "objects": np.array([[1], None], object),
    "scalars": [np.float32(1.5), np.int64(-4), np.bool_(True), np.str_("é"), np.complex64(1j)],
}


def test_plain_things_come_as_they_were_saved(tmp_path):
    plain = PLAIN | {"sets": [{1, "a"}, frozenset({2.5})]}
    np.save(tmp_path / "a.npy", plain)
    assert_same(load_plain(tmp_path / "a.npy"), plain)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_that_numpy_uses(tmp_path, protocol):
    array = np.empty((), object)
    array[()] = PLAIN
    path = write_pickle(tmp_path / "a.npy", pickle.dumps(array, protocol=protocol))
    assert_same(load_plain(path), PLAIN)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_paths_and_dates_come_as_text(tmp_path, protocol):
    zone = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30), "somewhere")
    array = np.empty((), object)
    array[()] = [
        pathlib.PurePosixPath("/data/mouse/é"),
        pathlib.PureWindowsPath("C:\\data\\mouse"),
        pathlib.PurePosixPath("a"),
        pathlib.Path("b/c"),
        datetime.datetime(2024, 5, 1, 12, 30),
        datetime.datetime(2024, 5, 1, 12, 30, tzinfo=zone),
        datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
    ]
    path = write_pickle(tmp_path / "a.npy", pickle.dumps(array, protocol=protocol))
    assert load_plain(path) == [
        "/data/mouse/é",
        "C:/data/mouse",
        "a",
        "b/c",
        "2024-05-01T12:30:00",
        "2024-05-01T12:30:00-05:30",
        "2024-05-01T00:00:00+00:00",
    ]


def test_paths_of_python_3_13(tmp_path):
    payload = b"cpathlib._local\nPosixPath\n(S'/'\nS'data'\ntR"
    path = write_pickle(tmp_path / "a.npy", in_array("@").replace(b"\x8c\x01@", payload))
    # Without a frame, whose length would be another.
    path.write_bytes(path.read_bytes().replace(b"\x80\x04\x95", b"\x80\x04@", 1))
    content = path.read_bytes()
    at = content.index(b"\x80\x04@") + 2
    path.write_bytes(content[:at] + content[at + 9 :])
    assert load_plain(path)["item"] == "/data"


def test_names_of_older_and_newer_numpy(tmp_path):
    payload = in_array(np.float64(2.5))
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")):
        # Lengths of names stand before them.
        for name in (b"multiarray", b"numeric"):
            a, b = old + b"." + name, new + b"." + name
            payload = payload.replace(bytes([len(a)]) + a, bytes([len(b)]) + b)
        # Frames say how long the rest is.
        framed = payload[:3] + struct.pack("<Q", len(payload) - 11) + payload[11:]
        assert load_plain(write_pickle(tmp_path / "a.npy", framed))["item"] == 2.5


def test_arrays_can_be_written_to(tmp_path):
    np.save(tmp_path / "a.npy", {"a": np.zeros(3)})
    found = load_plain(tmp_path / "a.npy")["a"]
    found[0] = 1
    assert found[0] == 1


def test_what_holds_itself(tmp_path):
    ring: list = [np.ones(2)]
    ring.append({"ring": ring})
    array = np.empty((), object)
    array[()] = ring
    path = write_pickle(tmp_path / "a.npy", pickle.dumps(array, protocol=4))
    found = load_plain(path)
    assert found[1]["ring"] is found
    np.testing.assert_array_equal(found[0], [1, 1])


def test_files_without_pickles(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert_same(load_plain(tmp_path / "a.npy"), np.arange(6).reshape(2, 3))


numbers = st.one_of(st.integers(), st.floats(), st.text(), st.binary(), st.booleans(), st.none())
arrays = stn.arrays(
    st.sampled_from(["f4", "f8", "i1", ">u4", "?", "U3", "c8"]),
    stn.array_shapes(min_dims=0, min_side=0, max_side=4),
)
plain = st.recursive(
    st.one_of(numbers, arrays),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@given(plain)
def test_any_plain_thing(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("plain") / "a.npy"
    array = np.empty((), object)
    array[()] = found
    np.save(path, array)
    assert_same(load_plain(path), found)


class Calling:
    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


class WithState:
    def __init__(self, function, arguments, state):
        self.how = function, arguments, state

    def __reduce__(self):
        return self.how


def _reconstruct():
    return np.empty(0).__reduce__()[0]


def hostile(mark):
    """Things whose unpickling does something, by what the message has to name."""
    command = f"touch {mark}"
    touch = f"open({str(mark)!r}, 'w').close()"
    return {
        "posix.system": Calling(os.system, command),
        "subprocess": Calling(subprocess.check_output, ["touch", str(mark)]),
        "builtins.eval": Calling(eval, touch),
        "builtins.exec": Calling(exec, touch),
        "builtins.getattr": Calling(getattr, "", "x"),
        "builtins.__import__": Calling(__import__, "os"),
        "functools.partial": Calling(functools.partial, os.system, command),
        "datetime.time": datetime.time(1, 2),
        "datetime.date": datetime.date(2020, 1, 1),
        "collections.OrderedDict": collections.OrderedDict(a=1),
        "collections.defaultdict": collections.defaultdict(list),
        "numpy.load": Calling(np.load, str(mark), None, True),
        "numpy.matrix": Calling(np.matrix, "1"),
        "could run code": np.ma.masked_array([1], [True]),
        "builtins.bytearray": Calling(bytearray, 10**12),
        "builtins.slice": slice(1),
    }


@pytest.mark.parametrize("what", list(hostile("")))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_nothing_runs(tmp_path, what, protocol):
    mark = tmp_path / "was_here"
    item = hostile(mark)[what]
    for payload in (
        pickle.dumps(item, protocol=protocol),
        pickle.dumps({"a": [item]}, protocol=protocol),
        in_array(item),
    ):
        message = refused(write_pickle(tmp_path / "a.npy", payload))
        # Old protocols have Python 2's name of the builtins.
        assert what in message.replace("__builtin__", "builtins")
        assert "Nothing in it was run" in message
    assert not mark.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the command is of other systems")
def test_the_same_file_would_run_in_numpy(tmp_path):
    """So the files above are really hostile."""
    mark = tmp_path / "was_here"
    path = write_pickle(tmp_path / "a.npy", in_array(Calling(os.system, f"touch {mark}")))
    np.load(path, allow_pickle=True)
    assert mark.exists()


NAMED = b"cnumpy._core.multiarray\n_reconstruct\n"
STRUCTURED = np.dtype([("a", "O")])


@pytest.mark.parametrize(
    "payload",
    [
        # Steps that make objects of a class or look elsewhere.
        b"(inumpy\nndarray\n.",
        b"cnumpy\nndarray\n)\x81.",
        b"cnumpy\nndarray\n)}\x92.",
        b"(cnumpy\nndarray\no.",
        b"Pabc\n.",
        b"Nq\x00Q.",
        b"\x82\x01.",
        b"\x80\x05\x97.",
        # A state for a name itself, which would last.
        NAMED + b"}(S'a'\nI1\nsb.",
        NAMED + b"N}(S'__defaults__'\nNs\x86b.",
        # Names by other ways.
        b"\x80\x04\x8c\x16numpy._core.multiarray\x8c\x18_reconstruct.__globals__\x93.",
        b"cnumpy._core\nmultiarray._reconstruct\n.",
        b"cnumpy\ndtype\n(S'O8'\ntR(S'x'\ntR.",
        # Names that are called with what they are not for, or not called.
        NAMED + b".",
        NAMED + b")R.",
        NAMED + b"(I1\n(I0\ntS'b'\ntR.",
        b"cnumpy\nndarray\n(I1000000000000\ntR.",
        b"cnumpy\ndtype\n(S'V8'\ntR.",
        b"cnumpy\ndtype\n(S'M8[ns]'\ntR.",
        b"cnumpy\ndtype\n(S'f8'\ntR.",
        b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.",
        b"c_codecs\nencode\n(I5\nS'latin1'\ntR.",
        b"c_codecs\ndecode\n(S'a'\nS'latin1'\ntR.",
        b"c__builtin__\nbytes\n(I1000000000000\ntR.",
        b"cpathlib\nPosixPath\n(I5\ntR.",
        b"cpathlib\nPath\n(S'a'\ntR.",
        b"cdatetime\ntimedelta\n(I999999999999\ntR.",
        b"cdatetime\ntimedelta\n(S'a'\ntR.",
        b"cdatetime\ndatetime\n(S'a'\ntR.",
        b"cdatetime\ndatetime\n(C\x00tR.",
        b"cdatetime\ntimezone\n(I5\ntR.",
        b"cdatetime\ntimezone.utc\n.",
        # No array at all, or steps that end early.
        b"I5\n.",
        b"N.",
        b"",
        b".",
        b"0.",
        b"]",
        b"\x80\xff.",
        b"I" + b"9" * 10_000 + b"\n.",
    ],
)
def test_pickles_by_hand(tmp_path, payload):
    refused(write_pickle(tmp_path / "a.npy", payload))


def test_names_stay_as_they_are(tmp_path):
    """A pickle that changed what names lead to would change all files read after it."""
    refused(write_pickle(tmp_path / "a.npy", NAMED + b"N}(S'_call'\nNs\x86b."))
    refused(write_pickle(tmp_path / "a.npy", b"cnumpy\ndtype\n}(S'_call'\nNsb."))
    np.save(tmp_path / "b.npy", {"a": np.ones(2)})
    assert load_plain(tmp_path / "b.npy")["a"].sum() == 2


def array_state(dtype, shape, data, state=None):
    """An array as NumPy pickles it, of anything."""
    described = WithState(
        np.dtype, (dtype, False, True), state or (3, "|", *[None] * 3, -1, -1, 0)
    )
    inner = (1, shape, described, False, data)
    return WithState(_reconstruct(), (np.ndarray, (0,), b"b"), inner)


def test_the_writer_of_the_next_test_is_right(tmp_path):
    path = write_pickle(tmp_path / "a.npy", in_array(array_state("u1", (3,), b"\1\2\3")))
    np.testing.assert_array_equal(load_plain(path)["item"], [1, 2, 3])


@pytest.mark.parametrize(
    ("dtype", "shape", "data", "state"),
    [
        # Addresses where objects should be.
        ("O8", (1,), b"\x41" * 8, None),
        ("V8", (1,), b"\x41" * 8, (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)),
        ("f8", (1,), b"\x41" * 8, (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)),
        ("f8", (1,), b"\x41" * 8, (3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 0)),
        ("f8", (1,), b"\x41" * 8, (3, "|")),
        # Shapes that are no shapes or of another number of bytes.
        ("f8", (10**9,), b"", None),
        ("f8", (2,), b"\0" * 8, None),
        ("f8", (1,), b"\0" * 16, None),
        ("f8", (-1, -1), b"\0" * 8, None),
        ("f8", (2**32, 2**32), b"", None),
        ("f8", (1.0,), b"\0" * 8, None),
        ("f8", 1, b"\0" * 8, None),
        ("f8", (1,), "text of 8", None),
        ("f8", (1,), [1.0], None),
        ("U0", (10**12,), b"", None),
        ("S999999999999", (1,), b"", None),
        ("O8", (10**12,), [], None),
        ("O8", (2,), [1], None),
        ("f8, O", (1,), b"\0" * 16, None),
        (5, (1,), b"\0", None),
    ],
)
def test_arrays_that_lie(tmp_path, dtype, shape, data, state):
    item = array_state(dtype, shape, data, state)
    refused(write_pickle(tmp_path / "a.npy", in_array(item)))


def test_scalars_that_lie(tmp_path):
    scalar = np.float64(1).__reduce__()[0]
    for arguments in (
        (np.dtype("f8"), b"123"),
        (np.dtype("f8"), "12345678"),
        (np.dtype("O"), [1]),
        (np.dtype("O"), b"\x41" * 8),
        ("f8", b"\0" * 8),
    ):
        refused(write_pickle(tmp_path / "a.npy", in_array(Calling(scalar, *arguments))))


@pytest.mark.parametrize(
    "payload",
    [
        b"\x8e" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x8d" + struct.pack("<Q", 2**62) + b"abc.",
        b"\x96" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
        b"B" + struct.pack("<I", 2**32 - 1) + b"abc.",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"abc.",
        b"\x8b" + struct.pack("<i", -1) + b"abc.",
        b"Nr" + struct.pack("<I", 2**32 - 1) + b".",
        b"Np4294967295\n.",
    ],
)
def test_lengths_that_lie_take_no_memory(tmp_path, payload):
    path = write_pickle(tmp_path / "a.npy", payload)
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_bytes_that_many_arrays_share(tmp_path):
    data = b"\0" * 1_000_000
    items = [array_state("u1", (len(data),), data) for _ in range(200)]
    message = refused(write_pickle(tmp_path / "a.npy", in_array(items)))
    assert "larger together than their file" in message


@pytest.mark.parametrize(
    ("name", "arguments"), [(b"_codecs\nencode", b"S'latin1'\n"), (b"pathlib\nPosixPath", b"")]
)
def test_text_that_many_calls_share(tmp_path, name, arguments):
    text = b"S'" + b"a" * 100_000 + b"'\np1\n0"
    call = b"c" + name + b"\n(g1\n" + arguments + b"tR"
    path = write_pickle(tmp_path / "a.npy", text + b"(" + call * 1000 + b"l.")
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_lists_in_lists_in_lists(tmp_path):
    payload = b"]" * 100_000 + b"a" * 99_999 + b"."
    refused(write_pickle(tmp_path / "a.npy", payload))


def test_missing_damaged_and_other_files(tmp_path):
    path = tmp_path / "a.npy"
    assert "no such file" in refused(path)
    np.save(path, PLAIN)
    whole = path.read_bytes()
    for content in (b"", b"words", whole[:60], whole[:300], pickle.dumps({"a": 1})):
        path.write_bytes(content)
        refused(path)
    np.save(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:-8])
    assert "7992 bytes for an array of shape (1000,)" in refused(path)
    path.write_bytes(whole.replace(b"{'descr'", b"('descr'", 1))
    refused(path)
    # An array of objects whose shape is another than its header says.
    refused(write_pickle(path, in_array(1), shape=(3,)))
    np.save(path, np.zeros(2, STRUCTURED))
    refused(path)
