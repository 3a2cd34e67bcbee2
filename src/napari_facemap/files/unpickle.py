"""Old .npy files that hold pickles, read without running anything in them.

A pickle is a program. Here it may name nothing but NumPy's arrays, scalars and dtypes, paths and
dates, and even those names lead to the stand-ins below: NumPy itself believes what a pickle says
of a dtype, down to addresses in memory. So the program only writes down what is to be made; shapes
and lengths are checked, and then arrays are made of it. Paths and dates become text.
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import pickletools
import re
import tokenize
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO, NoReturn

import numpy as np

_OPCODES = frozenset(
    [
        *("MARK", "STOP", "POP", "POP_MARK", "DUP", "PROTO", "FRAME", "NONE"),
        *("NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
        *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET"),
        *("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    ]
)
"""What arrays, containers, text and numbers need; of the calls only those of `_NAMES`."""

# How many bytes follow each step, or how that is said.
_SIZES = {
    ord(op.code): op.arg.n if op.arg else 0 for op in pickletools.opcodes if op.name in _OPCODES
}
_WIDTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_PUT, _GLOBAL, _STOP, _FRAME = b"pc.\x95"
_MEMO = b"qr"

_DTYPE = re.compile(r"(b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SU][1-9]\d{0,8}|O8?)")
_LONGEST_PATH = 2**15  # characters; no system knows longer ones
_SCALARS = (str, bytes, bool, int, float, type(None), np.generic)


class UnsafeFileError(ValueError):
    """A file that is damaged, something else, or would run code."""


def load_plain(path: str | Path) -> Any:
    """Read a .npy file, also one that holds a pickle; nothing in it is executed.

    Parameters
    ----------
    path : str or Path
        Written by ``np.save``, of an array or of a dict or list.

    Returns
    -------
    object
        What was saved: an array; or of NumPy arrays and scalars, dict, list, tuple, set, str,
        bytes, int, float, bool and None. Paths of pathlib are given as str, with ``/`` between
        their parts; dates and times as str by ISO 8601.

    Raises
    ------
    UnsafeFileError
        When the file is missing, damaged, no .npy file, or names anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise UnsafeFileError(f"{path}: no such file.")
    try:
        with open(path, "rb") as file:
            return _read(file)
    except (
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OSError),
        *(OverflowError, RecursionError, MemoryError, pickle.UnpicklingError),
        *(tokenize.TokenError, SyntaxError),
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnsafeFileError(
            f"{path}: expected a .npy file of arrays, numbers, text and plain containers, found: "
            f"{reason}. Nothing in it was run; save it again from what it was made of."
        ) from error


def _read(file: BinaryIO) -> Any:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        # Only for structured dtypes with names beyond Latin; those hold no pickles of Facemap's.
        raise ValueError(f"version {version[0]} of the .npy format")
    start, size = file.tell(), os.fstat(file.fileno()).st_size
    if not dtype.hasobject:
        if math.prod(shape) * dtype.itemsize > size - start:
            raise ValueError(f"{size - start} bytes for an array of shape {shape}, {dtype}")
        file.seek(0)
        return np.load(file, allow_pickle=False)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _survey(data, start)
    file.seek(start)
    found = _Making(size).whole(_Plain(file, size).load())
    if not isinstance(found, np.ndarray) or found.shape != tuple(shape):
        raise ValueError(f"a {type(found).__name__} where an array of shape {shape} should be")
    return found.item() if found.ndim == 0 else found


def _survey(data: mmap.mmap, start: int) -> None:
    """Look at a pickle's steps before any is taken.

    The unpickler makes room for text of any announced length, and for as many remembered objects
    as the highest number, before it looks whether they are there. The steps are millions in files
    of many neurons, so this goes over their bytes alone.
    """
    place, count, end = start, 0, len(data)
    while True:
        code = data[place]  # an IndexError where the file ends
        size = _SIZES.get(code)
        if size is None:
            names = [op.name for op in pickletools.opcodes if ord(op.code) == code] or [str(code)]
            raise ValueError(f"the pickle step {names[0]}, which could run code")
        place += 1
        if size >= 0:
            if code in _MEMO and int.from_bytes(data[place : place + size], "little") > count:
                raise ValueError(f"an object's number too high after {count} steps of a pickle")
            if code == _FRAME:
                _within(data, place, size, end - place - size)
            elif code == _STOP:
                return
        elif size == pickletools.UP_TO_NEWLINE:
            size = _lines(data, place, 2 if code == _GLOBAL else 1)
            if code == _PUT and int(data[place : place + size]) > count:
                raise ValueError(f"an object's number too high after {count} steps of a pickle")
        else:
            width = _WIDTHS[size]
            size = width + _within(data, place, width, end - place - width)
        place += size
        count += 1


def _within(data: mmap.mmap, place: int, width: int, rest: int) -> int:
    """An announced length, of as many bytes as there are."""
    size = int.from_bytes(data[place : place + width], "little")
    if size > rest:
        raise ValueError(f"{size} bytes announced, which the file does not hold")
    return size


def _lines(data: mmap.mmap, place: int, lines: int) -> int:
    end = place
    for _ in range(lines):
        end = data.find(b"\n", end) + 1
        if end == 0:
            raise ValueError("a line without an end")
    return end - place


class _Plain(pickle.Unpickler):
    """Finds nothing but stand-ins."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file)
        # Text that is bytes in old pickles; honest ones hold it once.
        self.room = size

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _Name(self._latin)
        found = _NAMES.get((module.replace("numpy.core", "numpy._core", 1), name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name}, which could run code")
        return found

    def _latin(self, text: Any, encoding: Any) -> bytes:
        """Bytes, as protocols before 3 keep them."""
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError("bytes by another way than Python's")
        self.room -= len(text)
        if self.room < 0:
            raise ValueError("bytes that are more than their file")
        return text.encode("latin-1")


class _Name:
    """Something that a pickle may name and call; it cannot be changed."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, *_: Any) -> NoReturn:
        raise ValueError("a name with a state of its own")

    def __setstate__(self, _: Any) -> NoReturn:
        raise ValueError("a name with a state of its own")


class _Dtype:
    """What a pickle says of a dtype."""

    def __init__(self, text: Any, *_: Any) -> None:
        if not isinstance(text, str) or not _DTYPE.fullmatch(text):
            raise ValueError(f"the dtype {text!r:.40}, which is none of numbers or text")
        self.dtype = np.dtype(text.rstrip("8") if text[0] == "O" else text)

    def __setstate__(self, state: tuple) -> None:
        _, order, *parts = state[:5]
        if order not in ("<", ">", "|", "=") or parts != [None] * 3:
            raise ValueError(f"the dtype {self.dtype} with parts {state!r:.60}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """What a pickle says of an array; made by `_Making`."""

    def __init__(self, shape: Any = None, dtype: Any = None, order: Any = "C", data: Any = None):
        self.shape, self.dtype, self.order, self.data = shape, dtype, order, data

    def __setstate__(self, state: tuple) -> None:
        self.shape, self.dtype, fortran, self.data = state[-4:]
        self.order = "F" if fortran else "C"


def _refuse(*_: Any) -> NoReturn:
    raise ValueError("an array made by another way than NumPy's")


_NDARRAY = _Name(_refuse)


def _reconstruct(kind: Any, *_: Any) -> _Array:
    return _Array() if kind is _NDARRAY else _refuse()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    return _Array(shape, dtype, str(order), data)


def _scalar(dtype: Any, data: Any) -> np.generic:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or dtype.dtype.hasobject:
        raise ValueError("a scalar that is none of numbers or text")
    if len(data) != dtype.dtype.itemsize:
        raise ValueError(f"{len(data)} bytes for a scalar of {dtype.dtype}")
    return np.frombuffer(data, dtype.dtype)[0]


def _path(kind: type[PurePath], *parts: Any) -> str:
    if not all(isinstance(part, str) for part in parts) or sum(map(len, parts)) > _LONGEST_PATH:
        raise ValueError("a path that is none")
    return kind(*parts).as_posix()


def _delta(*parts: Any) -> timedelta:
    if not all(type(part) is int for part in parts):
        raise ValueError("a span of time that is none")
    return timedelta(*parts)


def _zone(offset: Any, *_: Any) -> timezone:
    if not isinstance(offset, timedelta):
        raise ValueError("a time zone that is none")
    return timezone(offset)


def _moment(state: Any, zone: Any = None) -> str:
    if not isinstance(state, bytes) or not isinstance(zone, timezone | None):
        raise ValueError("a date that is none")
    return datetime(state, zone).isoformat()  # type: ignore[call-arg, arg-type]


def _no_bytes() -> bytes:
    return b""


_NAMES: dict[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Name(_Dtype),
    ("numpy._core.multiarray", "_reconstruct"): _Name(_reconstruct),
    ("numpy._core.multiarray", "scalar"): _Name(_scalar),
    ("numpy._core.numeric", "_frombuffer"): _Name(_frombuffer),
    ("__builtin__", "bytes"): _Name(_no_bytes),
    ("datetime", "datetime"): _Name(_moment),
    ("datetime", "timezone"): _Name(_zone),
    ("datetime", "timedelta"): _Name(_delta),
} | {
    (module, f"{pure}{kind.__name__.removeprefix('Pure')}"): _Name(partial(_path, kind))
    for module in ("pathlib", "pathlib._local")
    for kind in (PurePosixPath, PureWindowsPath)
    for pure in ("", "Pure")
}


class _Making:
    """Makes arrays of what a pickle said of them, and leaves the rest as it is."""

    def __init__(self, size: int) -> None:
        # Arrays of one pickle can share their bytes; honest ones share no more than a few.
        self.room = 2 * size + 2**20
        # Each object is made once; keeping the original keeps its id from being given again.
        self.made: dict[int, tuple[Any, Any]] = {}

    def whole(self, found: Any) -> Any:
        """What is meant by an unpickled object."""
        if isinstance(found, _SCALARS):
            return found
        if id(found) not in self.made:
            self._make(found)
        return self.made[id(found)][1]

    def _make(self, found: Any) -> None:
        if isinstance(found, list | dict):
            # Known before its parts are, since it can be among them.
            self.made[id(found)] = found, found
            if isinstance(found, list):
                found[:] = [self.whole(part) for part in found]
            else:
                parts = {_key(key): self.whole(value) for key, value in found.items()}
                found.clear()
                found.update(parts)
            return
        if isinstance(found, tuple):
            made: Any = tuple(self.whole(part) for part in found)
        elif isinstance(found, set | frozenset):
            made = type(found)(_key(part) for part in found)
        elif isinstance(found, bytearray):
            made = bytes(found)
        elif isinstance(found, _Array):
            made = self._array(found)
        else:
            raise ValueError(f"a {type(found).__name__.strip('_').lower()} out of its place")
        self.made[id(found)] = found, made

    def _array(self, found: _Array) -> np.ndarray:
        shape, dtype = found.shape, found.dtype
        fits = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not fits or not isinstance(dtype, _Dtype) or found.order not in ("C", "F"):
            raise ValueError("an array without a proper shape or dtype")
        count, dtype, order = math.prod(shape), dtype.dtype, found.order
        if dtype.hasobject:
            if not isinstance(found.data, list) or len(found.data) != count:
                raise ValueError(f"no list of {count} objects for an array of shape {shape}")
            flat = np.empty(count, object)
            for n, part in enumerate(found.data):
                flat[n] = self.whole(part)
            return flat.reshape(shape, order=order)
        if not isinstance(found.data, bytes | bytearray) or len(found.data) != (
            count * dtype.itemsize
        ):
            raise ValueError(f"another number of bytes than an array of shape {shape}, {dtype}")
        self.room -= len(found.data)
        if self.room < 0:
            raise ValueError("arrays that are larger together than their file")
        return np.frombuffer(found.data, dtype).reshape(shape, order=order).copy("K")


def _key(found: Any) -> Any:
    if not isinstance(found, _SCALARS):
        raise ValueError(f"a {type(found).__name__.strip('_').lower()} as a key")
    return found
