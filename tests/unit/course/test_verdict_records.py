"""What comes out of the sandbox is read as a stranger's: plain data of bounded size, or nothing."""

import base64
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatlab.course.verdict import codec, records
from flatlab.course.verdict.codec import Malformed, decode, encode

PLAIN = [
    *(None, True, False, 0, -(2**63), 0.1, "text", "Hessian λ", [], {}, [1, [2.5, "x"]]),
    *(float("inf"), {"a": {"b": [True, None]}}, -0.0),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data_comes_back_as_it_was(value):
    found = decode(encode(value))
    assert found == value and type(found) is type(value)
    assert math.copysign(1, found) == math.copysign(1, value) if value == 0 else True


@pytest.mark.parametrize("dtype", sorted(codec.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_arrays_come_back_bit_for_bit(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = decode(encode(array))
    assert isinstance(found, np.ndarray) and found.dtype == array.dtype
    assert found.shape == shape and found.tobytes() == array.tobytes()


def test_every_bit_of_a_float_survives():
    bits = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    array = bits.view(np.float64)
    assert decode(encode(array)).tobytes() == array.tobytes()
    nan = np.array([np.nan, np.inf, -np.inf])
    assert decode(encode(nan)).tobytes() == nan.tobytes()


def test_orders_and_bytes_of_memory_do_not_matter():
    array = np.arange(6.0).reshape(2, 3)
    for other in (np.asfortranarray(array), array[:, ::-1][:, ::-1], array.astype(">f8")):
        assert np.array_equal(decode(encode(other)), array)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, np.array(["x"]), np.array([1j])])
def test_what_is_no_plain_data_is_not_written(value):
    with pytest.raises(TypeError, match="not plain data"):
        encode(value)


def array_as(dtype="float64", shape=(1,), data=bytes(8)):
    return json.dumps(["array", dtype, shape, base64.b64encode(data).decode()]).encode()


MALFORMED = {
    "nothing": b"",
    "no JSON": b"outputs",
    "half a JSON": encode([1.0, 2.0])[:-3],
    "a pickle": pickle.dumps([1]),
    "not UTF-8": b'"\xff\xfe"',
    "no tag": b"[1, 2]",
    "an unknown tag": b'["object", "os.system"]',
    "a plain mapping": b'{"kind": "outputs"}',
    "an object dtype": array_as("object"),
    "a dtype that is no text": b'["array", ["float64"], [1], ""]',
    "a structured dtype": array_as("i4,O"),
    "too few bytes": array_as(data=bytes(7)),
    "a huge shape": array_as(shape=[2**40]),
    "a shape whose product overflows": array_as(shape=[2**21] * 3),
    "a negative shape": array_as(shape=[-1]),
    "a shape of booleans": array_as(shape=[True]),
    "too many axes": array_as(shape=[1] * 40),
    "a bool of 2": array_as("bool", data=b"\2"),
    "no base64": b'["array", "float64", [1], "%%%%%%%%"]',
    "base64 that is no ASCII": '["array", "float64", [1], "ä"]'.encode(),
    "a number with a shape": b'["number", "float64", [1], "AAAAAAAAAAA="]',
    "the same name twice": b'["dict", [["a", 1], ["a", 2]]]',
    "a name that is no text": b'["dict", [[1, 2]]]',
    "an entry of three": b'["dict", [["a", 1, 2]]]',
    "an endless integer": b"1" * 4000,
    "an integer of 65 bits": str(2**65).encode(),
    "a long text": json.dumps("x" * (codec.MOST_TEXT + 1)).encode(),
    "many values": json.dumps(["list", [0] * (codec.MOST_ITEMS + 1)]).encode(),
    "too many bytes": b" " * (codec.MOST_BYTES + 1),
    "deep nesting": b'["list", [' * 50 + b"]]" * 50,
    "nesting without end": b"[" * 500_000,
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_data_are_refused(data):
    with pytest.raises(Malformed):
        decode(data)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise_anything_else(data):
    try:
        decode(data)
    except Malformed:
        pass


def line(key: str, record: object) -> bytes:
    return f"{key} ".encode() + encode(record)


RIGHT = {"kind": "outputs", "outputs": {"result": 1.0}}


def test_records_are_found_by_job_and_check():
    found = records.read([line("0 0", RIGHT), line("1 1", {"kind": "died"})], [1, 2])
    assert found[0, 0].outputs == {"result": 1.0} and found[1, 1].kind == "died"
    assert set(found) == {(0, 0), (1, 1)}


@pytest.mark.parametrize("key", ["1 0", "0 1", "-1 0", "0", "x y", "00000 0", "0 0x", ""])
def test_a_line_that_belongs_nowhere_is_dropped(key):
    assert records.read([line(key, RIGHT)], [1]) == {}


def test_a_second_record_makes_neither_count():
    wrong = {"kind": "outputs", "outputs": {"result": 2.0}}
    for lines in ([RIGHT, wrong], [wrong, RIGHT], [RIGHT, RIGHT]):
        found = records.read([line("0 0", one) for one in lines], [1])
        assert found[0, 0].kind == "malformed"


@pytest.mark.parametrize(
    "record",
    [
        *("text", [1], {}, {"kind": "passed"}, {"kind": None}, {"kind": "outputs"}),
        *({"kind": "outputs", "outputs": [1.0]}, {"kind": "error"}, {"kind": "error", "text": 1}),
        *({**RIGHT, "earned": 4.0}, {"kind": "malformed", "text": "x"}, {"kind": ["outputs"]}),
    ],
    ids=repr,
)
def test_a_record_of_another_form_is_malformed(record):
    assert records.read([line("0 0", record)], [1])[0, 0].kind == "malformed"


def test_texts_are_printable_and_short():
    text = "\x1b[31mred\x00\u202e \n" + "x" * 1000
    found = records.read([line("0 0", {"kind": "error", "text": text})], [1])[0, 0].text
    assert found.startswith("[31mred \nxxx") and len(found) == records.MOST_TEXT
