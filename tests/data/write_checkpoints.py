#!/usr/bin/python3
"""Writes *.safetensors here with the packing functions of the tools themselves: write_checkpoints.py REPOSITORIES

REPOSITORIES is a folder with clones named compressed-tensors, hqq and bitsandbytes; README.md says which commits. Their
functions are taken from their sources and run as they are, over numpy arrays that have the few methods of tensors that
the functions call. Each file also holds `expected`, the weights that the tool's own functions unpack.
"""
import ast
import json
import math
import pathlib
import struct
import sys
import types

import numpy


class Tensor(numpy.ndarray):
    device = None

    def to(self, *args, **kwargs):
        types_ = [a for a in args if isinstance(a, (type, numpy.dtype))]
        return self.astype(types_[0]).view(Tensor) if types_ else self

    def view(self, *shape):
        if len(shape) == 1 and isinstance(shape[0], (type, numpy.dtype)):
            return numpy.ndarray.view(self, *shape)
        return self.reshape(*shape)

    def size(self, axis):
        return self.shape[axis]

    numel = lambda self: self.shape[0] if self.ndim == 1 else int(numpy.prod(self.shape))
    long = lambda self: self.astype(numpy.int64)
    float = lambda self: self.astype(numpy.float32)
    contiguous = lambda self: numpy.ascontiguousarray(self).view(Tensor)
    unsqueeze = lambda self, axis: numpy.expand_dims(self, axis)
    expand = lambda self, *shape: numpy.broadcast_to(
        self, [o if s == -1 else s for s, o in zip(shape, self.shape)])
    abs_ = lambda self: numpy.abs(self)
    transpose = lambda self, a, b: numpy.swapaxes(self, a, b)

    abs = lambda self: numpy.abs(self)

    def div_(self, divisor):
        self /= divisor

    def scatter_add_(self, axis, index, values):
        assert axis == 1
        numpy.add.at(self, (numpy.arange(len(self))[:, None], index), values)


def tensor(values, dtype=None, device=None):
    array = numpy.array(values, dtype=dtype)
    return (array.astype(numpy.float32) if array.dtype == numpy.float64 else array).view(Tensor)


def pad(values, sides):
    widths = [(0, 0)] * (values.ndim - 1) + [tuple(sides)]
    return numpy.pad(values, widths).view(Tensor)


torch = types.SimpleNamespace(
    Tensor=Tensor, dtype=type, Size=tuple, **{n: numpy.dtype(n) for n in ("int8", "uint8", "int32", "int64", "float32")}, tensor=tensor,
    zeros=lambda *s, dtype=None, device=None: numpy.zeros(s[0] if isinstance(s[0], (tuple, list)) else s, dtype).view(Tensor),
    empty=lambda *s, dtype=None, device=None: numpy.zeros(s[0] if isinstance(s[0], (tuple, list)) else s, dtype).view(Tensor),
    zeros_like=lambda x, dtype=None: numpy.zeros_like(x, dtype=dtype).view(Tensor),
    arange=lambda n, device=None, dtype=None: numpy.arange(n, dtype=dtype).view(Tensor),
    clamp=lambda x, max: numpy.minimum(x, max).view(Tensor),
    signbit=lambda x: numpy.signbit(x).view(Tensor),
    nn=types.SimpleNamespace(functional=types.SimpleNamespace(pad=pad)))


def take(path, *names):
    """The functions and classes of these names, without decorators, from a source."""
    tree = ast.parse(path.read_text())
    nodes = [n for n in tree.body if getattr(n, "name", None) in names]
    assert len(nodes) == len(names), (path, names)
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
            for argument in node.args.args:
                argument.annotation = None
            node.returns = None
    scope = dict(torch=torch, Tensor=Tensor, uint8=numpy.uint8, int32=numpy.int32, numpy=numpy, np=numpy, math=math,
                 prod=math.prod)
    exec(compile(ast.Module(nodes, []), str(path), "exec"), scope)
    return [scope[n] for n in names]


NAMES = {"f4": "F32", "f2": "F16", "u1": "U8", "i1": "I8", "i4": "I32", "i8": "I64"}


def save(name, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for key, value in tensors.items():
        value = numpy.ascontiguousarray(value)
        header[key] = {"dtype": NAMES[value.dtype.str[1:]], "shape": list(value.shape),
                       "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    pathlib.Path(name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def compressed_tensors(repository, random):
    helpers = repository / "src/compressed_tensors/compressors/pack_quantized/helpers.py"
    pack, unpack = take(helpers, "pack_to_int32", "unpack_from_int32")
    m, k, group = 45, 77, 32
    groups = -(-k // group)
    for bits in (3, 4, 5, 8):
        low = -(1 << (bits - 1))
        q = tensor(random.integers(low, -low, (m, k)), numpy.int8)
        zeros = tensor(random.integers(low, -low, (m, groups)), numpy.int8)
        scales = random.uniform(0.01, 0.1, (m, groups)).astype(numpy.float16)
        packed, packed_zeros = pack(q, bits), pack(zeros, bits, packed_dim=0)
        columns = numpy.arange(k) // group
        codes = unpack(packed, bits, (m, k)).astype(numpy.int32)
        assert numpy.array_equal(codes, q)
        points = unpack(packed_zeros, bits, (m, groups), packed_dim=0).astype(numpy.int32)[:, columns]
        expected = (codes - points).astype(numpy.float32) * scales.astype(numpy.float32)[:, columns]
        save(f"pack_quantized_{bits}.safetensors", {
            "q.weight_packed": packed, "q.weight_scale": scales, "q.weight_zero_point": packed_zeros,
            "q.weight_shape": numpy.array([m, k], numpy.int64), "expected": expected},
             {"num_bits": str(bits), "group_size": str(group)})


def hqq(repository, random, widths):
    bit_pack, = take(repository / "hqq/core/bitpack.py", "BitPack")
    m, k, group = 12, 128, 64
    rows = m * k // group
    for bits in widths:
        packing = f"{bits}bit_32" if bits == 3 else f"{bits}bit_u8"
        q = tensor(random.integers(0, 1 << bits, (rows, group)), numpy.uint8)
        packed = getattr(bit_pack, f"pack_{packing}")(q)
        scales = random.uniform(0.01, 0.1, (rows, 1)).astype(numpy.float16)
        zeros = random.uniform(0, 1 << bits, (rows, 1)).astype(numpy.float16)
        codes = getattr(bit_pack, f"unpack_{packing}")(packed)[:rows].astype(numpy.float32)
        expected = ((codes - zeros.astype(numpy.float32)) * scales.astype(numpy.float32)).reshape(m, k)
        save(f"hqq_{bits}.safetensors", {
            "q.W_q": packed, "q.scale": scales, "q.zero": zeros, "q.nbits": numpy.array([bits], numpy.int32),
            "q.group_size": numpy.array([group], numpy.int32), "q.axis": numpy.array([1], numpy.int32),
            "q.shape": numpy.array([m, k], numpy.int64), "expected": expected}, {})


def bitsandbytes(repository, random):
    dequantize, nested = take(repository / "bitsandbytes/backends/default/ops.py", "_dequantize_4bit_compute",
                              "_dequantize_blockwise_compute")
    get_type, = take(repository / "bitsandbytes/functional.py", "get_4bit_type")
    m, k, block = 20, 96, 64
    blocks = m * k // block
    for name in ("nf4", "fp4"):
        packed = tensor(random.integers(0, 256, m * k // 2), numpy.uint8)
        bytes_ = tensor(random.integers(0, 256, blocks), numpy.uint8)
        map_ = tensor(numpy.sort(random.uniform(-1, 1, 256)), numpy.float32)
        second = tensor(random.uniform(0.01, 0.02, 1), numpy.float32)
        offset = 0.05
        absmax = nested(bytes_, second.repeat(blocks).view(Tensor), map_, 1, numpy.float32) + numpy.float32(offset)
        code = get_type(name, device="cpu")
        expected = dequantize(packed, absmax, code, block, (m, k), numpy.float32)
        state = {"quant_type": name, "blocksize": block, "dtype": "float32", "shape": [m, k], "nested_blocksize": 256,
                 "nested_dtype": "float32", "nested_offset": offset}
        save(f"bitsandbytes_{name}.safetensors", {
            "q.weight": packed.reshape(-1, 1), "q.weight.absmax": bytes_, "q.weight.quant_map": code,
            "q.weight.nested_absmax": second, "q.weight.nested_quant_map": map_,
            f"q.weight.quant_state.bitsandbytes__{name}": numpy.frombuffer(json.dumps(state).encode(), numpy.uint8),
            "expected": expected.astype(numpy.float32)}, {})


def main():
    repositories = pathlib.Path(sys.argv[1])
    random = numpy.random.default_rng(1)
    compressed_tensors(repositories / "compressed-tensors", random)
    hqq(repositories / "hqq", random, (2, 4))
    bitsandbytes(repositories / "bitsandbytes", random)
    hqq(repositories / "hqq", random, (1, 3))


main()
