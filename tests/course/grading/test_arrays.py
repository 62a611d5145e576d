"""Arrays between processes: everything that is sent arrives as it was, and nothing else is let in."""

import io
import math
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course.exercises.comparing import compare
from course.exercises.lessons import all_exercises
from course.grading.arrays import AS_BITS, BadArrays, from_npz, pack_inputs, to_npz, unpack_inputs

PLAIN = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
PLAIN += [torch.uint16, torch.uint32, torch.uint64, torch.float16, torch.float32, torch.float64]
DTYPES = PLAIN + [dtype for dtype, _ in AS_BITS.values()]


def read(content, max_bytes=10**6, max_arrays=8):
    return from_npz(content, max_bytes=max_bytes, max_arrays=max_arrays)


def zipped(*entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, entry in entries:
            archive.writestr(name, entry)
    return buffer.getvalue()


def npy(header, values=b"", version=(1, 0)):
    """An array file with a header of one's own."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text + values


def claim(shape, descr="'<f4'", values=bytes(4), **options):
    return zipped(("x.npy", npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}", values, **options)))


def saved(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def bits(tensor):
    tensor = tensor.detach().clone(memory_format=torch.contiguous_format)  # of one element any stride counts as contiguous
    return tensor.reshape(-1).view(torch.uint8).tolist() if tensor.numel() else []


def same(one, other):
    """Equal in every bit, whatever they mean."""
    assert (one.dtype, one.shape, bits(one)) == (other.dtype, other.shape, bits(other))


def refused(content, saying=None, **options):
    with pytest.raises(BadArrays, match=saying) as caught:
        read(content, **options)
    assert "\n" not in str(caught.value)


# What is sent arrives


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=5))
    count = math.prod(shape)
    if dtype is torch.bool:
        return torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=dtype).reshape(shape)
    size = count * dtype.itemsize
    chance = bytearray(draw(st.binary(min_size=size, max_size=size)))  # NaNs of every kind among them
    tensor = torch.frombuffer(chance, dtype=torch.uint8).view(dtype) if size else torch.empty(0, dtype=dtype)
    return tensor.reshape(shape).permute(draw(st.permutations(range(len(shape)))))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["result", "result[0]", "result['boxes']", "é", "a.b", "b.npy"]), tensors(), max_size=4))
def test_every_tensor_arrives_as_it_was(arrays):
    arrived = read(to_npz(arrays))
    assert list(arrived) == list(arrays)
    for name, tensor in arrays.items():
        same(arrived[name], tensor)
        assert arrived[name].is_contiguous()


@settings(max_examples=100, deadline=None)
@given(tensors().filter(lambda tensor: tensor.dtype in PLAIN))
def test_numpy_reads_the_same(tensor):
    content = to_npz({"x": tensor})
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert list(archive) == ["x"]
        assert archive["x"].tobytes() == read(content)["x"].numpy().tobytes() and archive["x"].dtype == tensor.numpy().dtype


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<f2", ">i2", "<i8", ">u8", "|u1", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpys_own_files_are_read_as_numpy_reads_them(dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 7, dtype=dtype, order=order)
    buffer = io.BytesIO()
    np.savez(buffer, x=array, y=array[..., 0])
    arrived = read(buffer.getvalue())
    assert arrived["x"].tolist() == array.tolist() and arrived["y"].tolist() == array[..., 0].tolist()
    assert arrived["x"].numpy().dtype == array.dtype.newbyteorder("=")


def test_the_second_version_of_the_format_is_read():
    assert read(zipped(("x.npy", saved(np.arange(3), version=(2, 0)))))["x"].tolist() == [0, 1, 2]
    refused(zipped(("x.npy", saved(np.arange(3), version=(3, 0)))), "no header")


def test_a_less_precise_float_does_not_become_a_more_precise_one():
    sent = torch.tensor([1.0, 2.0, math.nan, math.inf])
    arrived = read(to_npz({"result": sent.bfloat16()}))
    assert arrived["result"].dtype is torch.bfloat16
    assert "The dtype is bfloat16; expected float32" in compare({"result": sent}, arrived, 1e-5).sentence
    assert compare({"result": sent}, read(to_npz({"result": sent})), 0.0) is None


def test_nan_and_inf_are_values():
    x = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    assert str(read(to_npz({"x": x}))["x"].tolist()) == "[nan, inf, -inf, -0.0]"


def test_the_same_tensors_give_the_same_bytes():
    assert to_npz({"x": torch.ones(2)}) == to_npz({"x": torch.ones(2)})


def test_odd_tensors_are_sent_by_their_values():
    base = torch.arange(12.0).reshape(3, 4)
    negated = torch.imag(torch.complex(base, base).conj())  # torch keeps this as a view that is still to be negated
    odd = {
        "step": base[:, ::2],
        "expanded": base[:1].expand(3, 4),
        "grad": base.clone().requires_grad_(),
        "negated": negated,
        "one": negated[:1, :1],
    }
    arrived = read(to_npz(odd))
    assert negated.is_neg() and odd["one"].is_contiguous() and not arrived["grad"].requires_grad
    assert {name: tensor.tolist() for name, tensor in arrived.items()} == {name: tensor.tolist() for name, tensor in odd.items()}


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "", "a\0b", "a\nb", "x" * 201, "x.bfloat16"])
def test_a_name_that_could_not_be_read_is_not_sent(name):
    with pytest.raises(ValueError, match="cannot be called"):
        to_npz({name: torch.ones(1)})


def test_complex_numbers_are_not_sent():
    with pytest.raises(TypeError, match="'x' is of type torch.complex64; accepted are"):
        to_npz({"x": torch.ones(1, dtype=torch.complex64)})


# Nothing else is let in


class Crime:
    def __reduce__(self):
        return print, ("the pickle was run",)


def test_a_pickle_is_not_run(capsys):
    refused(zipped(("x.npy", saved(np.array([Crime()]), allow_pickle=True))), "type object")
    refused(zipped(("x.npy", pickle.dumps(Crime()))), "no header")
    refused(pickle.dumps(Crime()), "not in a zip file")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_nothing_compressed_is_opened(compression):
    refused(zipped(("x.npy", saved(np.zeros(10**6))), compression=compression), "compressed")


def test_nothing_compressed_is_opened_whatever_size_it_claims():
    content = bytearray(zipped(("x.npy", saved(np.zeros(10**5))), compression=zipfile.ZIP_DEFLATED))
    at = content.index(b"PK\1\2")
    content[at + 24 : at + 28] = content[at + 20 : at + 24]  # in the directory, as many bytes after as before
    refused(bytes(content), "compressed")


def test_a_zip_in_a_zip_is_no_array():
    refused(zipped(("x.npy", to_npz({"x": torch.ones(1)}))), "no header")
    refused(zipped(("x.zip", to_npz({"x": torch.ones(1)}))), "not an array's name")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_is_one_array():
    one = saved(np.ones(2, np.int16))
    refused(zipped(("x.npy", one), ("x.npy", one)), "twice")
    refused(zipped(("x.npy", one), ("x.bfloat16.npy", one)), "twice")
    refused(zipped(("x.bfloat16.npy", one), ("x.npy", one)), "twice")


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "a/x.npy", "x", "x.py", ".npy", "\n.npy", "a\\x.npy", "x" * 201 + ".npy"])
def test_names_are_plain(name):
    refused(zipped((name, saved(np.ones(1)))), "not an array's name|directory")


@pytest.mark.parametrize(
    "array",
    [np.ones(2, complex), np.array(["a"]), np.array([b"a"]), np.zeros(1, "M8[s]"), np.zeros(1, "f4,f4"), np.zeros(1, np.longdouble)],
)
def test_only_numbers_are_arrays(array):
    refused(zipped(("x.npy", saved(array))), "is of type")


@pytest.mark.parametrize("descr", ["('<f4', (2,))", "[('a', '<f4')]", "'<f4,<f4'", "'V4'", "'O'"])
def test_only_numbers_are_arrays_whatever_the_header_calls_them(descr):
    refused(claim("(1,)", descr), "is of type|no header")


def test_bits_of_a_type_of_torchs_have_its_size():
    refused(zipped(("x.bfloat16.npy", saved(np.ones(2)))), "bits of bfloat16")
    refused(zipped((".bfloat16.npy", saved(np.ones(2, np.int16)))), "bits of bfloat16")


def test_a_bool_is_0_or_1():
    assert read(claim("(2,)", "'|b1'", b"\0\1"))["x"].tolist() == [False, True]
    refused(claim("(2,)", "'|b1'", b"\1\2"), "neither 0 nor 1")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize(
    "shape",
    ["(10**12,)", "(1000000000000,)", "(-1,)", "(-1, -1)", "(1.0,)", "1", "(2,)", "(0,)", f"({'1, ' * 17})", f"(0, {2**62}, {2**62})"],
)
def test_a_shape_is_what_the_bytes_are(shape, version):
    assert read(claim("(1,)", version=version))["x"].tolist() == [0.0]
    refused(claim(shape, version=version), "shape|values|header")


def test_a_shape_without_values_is_bounded_too():
    assert read(claim("(0, 3, 1000)", values=b""))["x"].shape == (0, 3, 1000)
    refused(claim(f"(0, {2**62}, {2**62})", values=b""), "shape that is not accepted")


def test_a_claim_takes_no_memory():
    content = claim("(1000000000000,)")
    tracemalloc.start()
    try:
        refused(content, "values of float32, and has 4 bytes")
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_directory_of_a_million_entries_is_not_read():
    real = to_npz({"x": torch.ones(1)})
    at = real.index(b"PK\1\2")
    entry, end = real[at:-22], list(struct.unpack("<4s4H2LH", real[-22:]))
    many = entry * 10_000
    end[5] = len(many)
    content = real[:at] + many + struct.pack("<4s4H2LH", *end)
    assert len(zipfile.ZipFile(io.BytesIO(content)).infolist()) == 10_000
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(many), at) + struct.pack(
        "<4sLQL", b"PK\6\7", 0, at + len(many), 1
    )
    hidden = end[:5] + [len(zip64), at + len(many), 0]
    other = real[:at] + many + zip64 + struct.pack("<4s4H2LH", *hidden)
    assert len(zipfile.ZipFile(io.BytesIO(other)).infolist()) == 10_000
    for crafted in (content, other):
        tracemalloc.start()
        try:
            refused(crafted, "zip file")
            assert tracemalloc.get_traced_memory()[1] < 10**6
        finally:
            tracemalloc.stop()


def test_a_long_header_is_not_parsed():
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)" + " " * 10**7 + "}"
    refused(zipped(("x.npy", npy(header, bytes(4), version=(2, 0)))), "no header", max_bytes=10**8)
    refused(claim("(" * 900 + ")" * 900), "no header")


def test_counts_and_sizes_are_limited():
    content = to_npz({str(count): torch.ones(1) for count in range(3)})
    assert len(read(content, max_bytes=len(content), max_arrays=3)) == 3
    refused(content, "3 arrays; at most 2", max_arrays=2)
    refused(content, f"{len(content)} bytes; at most {len(content) - 1}", max_bytes=len(content) - 1)


def test_entries_do_not_share_their_bytes():
    """Ten entries on the same megabyte would be ten megabytes."""
    real = to_npz({"0": torch.zeros(1000)})
    at = real.index(b"PK\1\2")
    entry, end = real[at:-22], list(struct.unpack("<4s4H2LH", real[-22:]))
    names = [entry.replace(b"0.npy", b"%d.npy" % count) for count in range(5)]
    end[3] = end[4] = 5
    end[5] = len(b"".join(names))
    refused(real[:at] + b"".join(names) + struct.pack("<4s4H2LH", *end), "claim more bytes")


def test_no_byte_is_missing_or_more():
    content = to_npz({"x": torch.arange(5)})
    assert read(content)["x"].tolist() == [0, 1, 2, 3, 4]
    for length in range(len(content)):
        refused(content[:length])
    refused(content + b"\0", "stands after its end")
    refused(b"\0" + content, "directory is not where")
    refused(zipped(("x.npy", saved(np.ones(2)) + b"\0")), "2 values of float64, and has 17 bytes")


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_chance_bytes_raise_nothing_else():
    draw = random.Random(0)
    content = to_npz(
        {"result[0]": torch.arange(6).reshape(2, 3), "result[1]": torch.ones(2, dtype=torch.bool), "b": torch.ones(1).bfloat16()}
    )
    survived = 0
    for _ in range(6000):
        crafted = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 8])):
            place = draw.randrange(len(crafted))
            crafted[place] = draw.choice([crafted[place] ^ 1 << draw.randrange(8), draw.randrange(256), 0, 255])
        if draw.random() < 0.2:
            del crafted[draw.randrange(len(crafted)) : draw.randrange(len(crafted))]
        survived += only_bad_arrays(bytes(crafted))
    assert 0 < survived < 3000
    for length in range(200):
        assert not only_bad_arrays(draw.randbytes(length))


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_chance_headers_raise_nothing_else():
    """The zip file is right, checksum and all, so the flips reach the header."""
    draw = random.Random(1)
    entry = saved(np.arange(6).reshape(2, 3))
    for _ in range(3000):
        crafted = bytearray(entry)
        for _ in range(draw.choice([1, 2, 4])):
            crafted[draw.randrange(len(crafted) - 40)] = draw.choice(b"0123456789<>|()[]{}',:- OfiuVbLcM\0\n\xff")
        only_bad_arrays(zipped(("x.npy", bytes(crafted))))


def only_bad_arrays(content):
    try:
        return all(tensor.numel() < 100 for tensor in read(content).values())
    except BadArrays:
        return False


# Inputs

numbers = st.booleans() | st.integers(-(2**70), 2**70) | st.floats()
values = numbers | st.none() | st.text(max_size=5) | st.lists(numbers, max_size=4).map(tuple) | tensors()


def exactly(value):
    """The value with everything that `==` overlooks."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, bits(value)
    if type(value) is tuple:
        return tuple(exactly(entry) for entry in value)
    return type(value), struct.pack("<d", value) if type(value) is float else value


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_inputs_come_back_exactly(inputs):
    arrived = unpack_inputs(pack_inputs(inputs))
    assert list(arrived) == list(inputs)
    assert [exactly(value) for value in arrived.values()] == [exactly(value) for value in inputs.values()]


def test_the_odd_inputs():
    inputs = {
        "inputs": torch.eye(3)[:, 1:].requires_grad_(),
        "0": True,
        "a/b": (1, True, -0.0, math.inf),
        "n": 10**9999,
        "e": (),
        "s": "é\n😀",
        "none": None,
    }
    arrived = unpack_inputs(pack_inputs(inputs))
    assert arrived["inputs"].tolist() == [[0, 0], [1, 0], [0, 1]] and not arrived["inputs"].requires_grad
    assert arrived["0"] is True and repr(arrived["a/b"]) == "(1, True, -0.0, inf)"
    assert arrived["n"] == 10**9999 and arrived["e"] == () and arrived["s"] == "é\n😀" and arrived["none"] is None


def test_the_courses_own_cases_come_back_exactly():
    for exercise in all_exercises().values():
        for case in exercise.cases(7):
            arrived = unpack_inputs(pack_inputs(case.inputs))
            assert {name: exactly(value) for name, value in arrived.items()} == {
                name: exactly(value) for name, value in case.inputs.items()
            }


def test_other_inputs_are_not_sent():
    with pytest.raises(TypeError, match="'x' is a list; accepted are"):
        pack_inputs({"x": [1]})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '[["x", "tensor", null]]', '[["x", "int", 3]]', '[["x", "float", "00"]]', '[["x", "bool", 1]]', "[" * 10**5, "\xff"],
)
def test_other_bytes_are_no_inputs(text):
    content = zipped(("inputs.npy", saved(np.frombuffer(text.encode("latin1"), np.uint8))))
    with pytest.raises(BadArrays, match="not a case's inputs"):
        unpack_inputs(content)
    with pytest.raises(BadArrays, match="not a case's inputs"):
        unpack_inputs(to_npz({"x": torch.ones(1)}))
