"""Lutra for NumPy: products of arrays with low-bit matrices, over the C API (lutra/lutra_c.h) and a shared liblutra.

    import lutra

    w = lutra.quantize(weights, "int4", group=32)   # weights[M, K]; or from_gguf, from_gptq, from_nbits, pack
    y = x @ w.T                                     # x[..., K] -> y[..., M]

x and y are float32, float16, or bfloat16 in the bits of a uint16. They are read and written in place, never copied, so
the elements of a row must follow each other; x of one or two dimensions may have a stride from row to row.

Errors are ValueError, NotImplementedError (types and shapes that Lutra does not have), MemoryError or OSError, with
Lutra's text. The library is the file that LUTRA_LIBRARY names, or else liblutra.so where the system looks for it.
"""

import ctypes
import os
import threading
import weakref
from ctypes import byref, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_void_p

import numpy as np

FORMATS = {name: i for i, name in enumerate(
    "int1 int2 int3 int4 ternary iq4nl fp4 int5 int6 int7 int8 iq1 iq2 iq3xxs iq3s "
    "codebook3 codebook4 int2_codes fp8_e4m3 fp8_e5m2 fp6_e3m2 fp6_e2m3".split())}
PER_ROW, PER_MATRIX = 0, c_size_t(-1).value  # groups beside 16, 32, 64, 128 and 256
INT8, INT16 = 0, 1  # precisions: of x, before it is multiplied
V1_WORDS, V2, V1_FIELDS, V1_MASKED = range(4)  # readings of GPTQ's zeros: see lutra::GptqZeros in lutra/import.h
_TYPES = {np.dtype(name): i for name, i in dict(float32=0, float16=1, uint16=2, int8=3, uint8=5).items()}
_BYTE_SCALES = dict(e8m0=6, e4m3=7)
_ERRORS = {1: ValueError, 2: NotImplementedError, 3: MemoryError, 4: OSError}


def _structure(name, fields):  # names and types as in the header
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


_Status = _structure("Status", dict(code=c_int32, argument=c_char_p, reason=c_char_p))
_QuantizedView = _structure("QuantizedView", dict(
    format=c_int32, m=c_size_t, k=c_size_t, codes=c_void_p, code_stride=c_size_t, group=c_size_t, scales=c_void_p,
    scale_type=c_int32, zero_kind=c_int32, zero_type=c_int32, zeros=c_void_p, super_scales=c_void_p,
    super_offsets=c_void_p, matrix_scale=c_float, codebook=c_void_p, codebook_tables=c_size_t, table_choices=c_void_p,
    bias=c_void_p, order=c_void_p))
_QuantizeOptions = _structure("QuantizeOptions", dict(
    format=c_int32, group=c_size_t, scale_type=c_int32, zero_kind=c_int32, zero_type=c_int32, codebook=c_void_p,
    codebook_tables=c_size_t, order=c_void_p, matrix_scale=c_float))
_FitOptions = _structure("FitOptions", dict(fit=c_int32, importance=c_void_p, context=c_void_p))
_GptqView = _structure("GptqView", dict(
    bits=c_int32, m=c_size_t, k=c_size_t, group_size=ctypes.c_ssize_t, qweight=c_void_p, qweight_size=c_size_t,
    qzeros=c_void_p, qzeros_size=c_size_t, scales=c_void_p, scales_size=c_size_t, g_idx=c_void_p, g_idx_size=c_size_t,
    zeros=c_int32))
_ActivationView = _structure("ActivationView", dict(
    data=c_void_p, type=c_int32, n=c_size_t, k=c_size_t, row_stride=c_size_t, scales=c_void_p, scale_group=c_size_t))
_OutputView = _structure("OutputView", dict(data=c_void_p, type=c_int32, n=c_size_t, m=c_size_t, row_stride=c_size_t))

_library = ctypes.CDLL(os.environ.get("LUTRA_LIBRARY", "liblutra.so"))
_library.lutra_version.restype = c_char_p
_library.lutra_status_message.argtypes = [_Status, c_char_p, c_size_t]
if not _library.lutra_version().startswith(b"0.1."):
    raise ImportError("this module is for liblutra 0.1, not " + _library.lutra_version().decode())


def _call(name, *arguments):
    """Calls lutra_<name>; a status that is not ok becomes an exception."""
    function = getattr(_library, "lutra_" + name)
    function.restype = _Status
    status = function(*arguments)
    if status.code != 0:
        text = ctypes.create_string_buffer(200)
        _library.lutra_status_message(status, text, len(text))
        raise _ERRORS.get(status.code, RuntimeError)(text.value.decode())


class _Handle:
    """A handle of the library, to be written by a function that creates it; destroyed with this object."""

    def __init__(self, kind):
        self._as_parameter_ = c_void_p()
        weakref.finalize(self, _call, kind + "_destroy", byref(self._as_parameter_))


_threads, _local = None, threading.local()  # the context of all calls, None: the calling thread; what a thread keeps


def set_threads(count):
    """Lets all later calls use `count` threads, the caller's among them; 0: one for each processor; at first 1."""
    global _threads
    context = _Handle("context")
    _call("context_create", c_size_t(count), byref(context._as_parameter_))
    _threads = context


def _address(array):
    return None if array is None else array.ctypes.data


def _ndarray(array, name):
    """Returns the array. Raises TypeError for other types: a list has no element type."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}, not a NumPy array: pass numpy.asarray({name}, dtype)")
    return array


def _rows(array, last, name):
    """The address, type, rows, columns and stride of an array of rows."""
    if _ndarray(array, name).dtype not in (np.float32, np.float16, np.uint16):
        raise ValueError(name + " is no array of float32, float16 or uint16 (bfloat16)")
    if array.shape[-1:] != (last,):
        raise ValueError(f"{name} has the shape {array.shape}, whose last dimension is not {last}")
    dense, size = array.flags.c_contiguous, array.itemsize
    stride = array.strides[0] if array.ndim == 2 and not dense else last * size
    in_rows = array.ndim == 2 and array.strides[1] == size and stride >= last * size and stride % size == 0
    if not (dense or in_rows) or not array.flags.aligned:
        raise ValueError(name + " is not contiguous, and would have to be copied")
    return array.ctypes.data, _TYPES[array.dtype], array.size // last if last else 0, last, stride // size


class Prepared:
    """x, prepared once for several matrices: w.prepare(x), then v.matmul(prepared) for any v that it fits."""

    def __init__(self):
        self._handle = _Handle("activations")
        _call("activations_create", byref(self._handle._as_parameter_))

    def _fill(self, x, w, precision):
        view = _ActivationView(*_rows(x, w.shape[1], "x"))
        _call("prepare", byref(view), w._handle, c_int32(precision), _threads, self._handle)
        self.shape, self.dtype = x.shape, x.dtype
        return self


class Matrix:
    """Packed weights W[M, K] with `shape`; made by the functions below. `y = x @ w.T` is `y = w.matmul(x)`."""

    __array_ufunc__ = None  # so that NumPy leaves `x @ w.T` to __rmatmul__
    T = property(lambda self: _Transposed(self))

    def __init__(self, view):
        self.shape = (view.m, view.k)
        self._handle = _Handle("packed")
        _call("pack", byref(view), None, _threads, byref(self._handle._as_parameter_))

    def prepare(self, x, precision=INT8):
        """Prepares x for this and other matrices. INT16: sums are exact integers."""
        return Prepared()._fill(x, self, precision)

    def matmul(self, x, out=None, precision=INT8):
        """Returns x @ W.T, in `out` if it is given, else in an array of the type of x. x is an array or Prepared."""
        if not isinstance(x, Prepared):
            if not hasattr(_local, "prepared"):
                _local.prepared = Prepared()  # its memory serves all calls of this thread
            x = _local.prepared._fill(x, self, precision)
        shape = x.shape[:-1] + self.shape[:1]
        out = np.empty(shape, x.dtype) if out is None else _ndarray(out, "out")
        if out.shape != shape or not out.flags.writeable:
            raise ValueError(f"out is no array of the shape {shape} that can be written")
        view = _OutputView(*_rows(out, self.shape[0], "out"))
        _call("matmul", self._handle, x._handle, byref(view), _threads)
        return out

    def dequantize(self):
        """Returns W in float32."""
        quantized, view, out = _Handle("quantized"), _QuantizedView(), np.empty(self.shape, np.float32)
        _call("unpack", self._handle, byref(quantized._as_parameter_))
        _call("quantized_get", quantized, byref(view))
        _call("dequantize", byref(view), c_void_p(_address(out)), c_size_t(self.shape[1]))
        return out


class _Transposed:
    __array_ufunc__ = None

    def __init__(self, matrix):
        self._matrix, self.shape = matrix, matrix.shape[::-1]

    def __rmatmul__(self, x):
        return self._matrix.matmul(x)


def _imported(function, *arguments):
    """Calls a function of the library that creates a quantized matrix, and packs the result."""
    quantized, view = _Handle("quantized"), _QuantizedView()
    _call(function, *arguments, byref(quantized._as_parameter_))
    _call("quantized_get", quantized, byref(view))
    return Matrix(view)


def quantize(weights, format="int4", group=32, scales=np.float16, zero_points=False, search=False, importance=None):
    """Quantizes float32 weights[M, K]. `scales`: the type of scales and zero points, a NumPy type; or "e8m0" or "e4m3",
    without zero points: quantize(weights, "fp4", 32, "e8m0") gives MXFP4, quantize(weights, "fp4", 16, "e4m3") NVFP4.
    `search`: looks for the scales and zero points with the least error, each times importance[K] (float32) if given."""
    if _ndarray(weights, "weights").ndim != 2 or weights.dtype != np.float32:
        raise ValueError("weights is no matrix of float32")
    data, _, m, k, stride = _rows(weights, weights.shape[1], "weights")
    of_bytes = isinstance(scales, str) and scales in _BYTE_SCALES
    scale_type = _BYTE_SCALES[scales] if of_bytes else _TYPES[np.dtype(scales)]
    options = _QuantizeOptions(FORMATS[format], group, scale_type, int(zero_points), scale_type)
    if importance is not None and (_ndarray(importance, "importance").dtype != np.float32 or importance.shape != (k,)
                                   or not importance.flags.c_contiguous):
        raise ValueError(f"importance is no contiguous array of {k} float32")
    fit = _FitOptions(int(search), _address(importance), None if _threads is None else _threads._as_parameter_)
    return _imported("quantize_fit", c_void_p(data), c_size_t(m), c_size_t(k), c_size_t(stride), byref(options),
                     byref(fit))


def _array(array, name, size, *types):
    """An array that the library reads, of one of some types; or None."""
    if array is None:
        return None
    array = np.ascontiguousarray(_ndarray(array, name))
    if array.size != size or array.dtype not in types:
        raise ValueError(f"{name} are not {size} elements of {' or '.join(np.dtype(t).name for t in types)}")
    return array


def pack(codes, scales, format="int4", group=32, zeros=None, bias=None):
    """Packs weights of any origin: W = scales * (codes - zeros). codes[M, K] has a code in each byte; scales and zeros
    are [M, ceil(K / group)]. zeros have the type of scales or uint8; None: the format's default."""
    if _ndarray(codes, "codes").ndim != 2:
        raise ValueError("codes is no matrix")
    m, k = codes.shape
    groups = {PER_ROW: m, PER_MATRIX: 1}.get(group) or m * -(-k // group)
    codes = _array(codes, "codes", m * k, np.uint8)
    scales = _array(scales, "scales", groups, np.float32, np.float16, np.uint16)
    zeros = _array(zeros, "zeros", groups, np.uint8, scales.dtype)
    bias = _array(bias, "bias", m, np.float32)
    return Matrix(_QuantizedView(
        FORMATS[format], m, k, _address(codes), k, group, _address(scales), _TYPES[scales.dtype],
        int(zeros is not None), 0 if zeros is None else _TYPES[zeros.dtype], _address(zeros), bias=_address(bias)))


def from_nbits(b, scales, k, bits=4, block_size=32, zero_points=None, bias=None):
    """The weights of ONNX Runtime's com.microsoft.MatMulNBits, 2 to 8 bits, without g_idx."""
    def fields(packed, count):  # of `bits` bits, the lowest first
        each = np.unpackbits(packed, axis=-1, count=count * bits, bitorder="little")
        return np.packbits(each.reshape(*packed.shape[:-1], count, bits), axis=-1, bitorder="little")[..., 0]

    for name, array in dict(b=b, scales=scales, zero_points=zero_points, bias=bias).items():
        if array is not None or name in ("b", "scales"):
            _ndarray(array, name)
    blocks = -(-k // block_size)
    m = scales.size // blocks
    codes = fields(b.reshape(m, blocks, -1), block_size).reshape(m, -1)[:, :k]
    if zero_points is not None and zero_points.dtype == np.uint8:
        zero_points = fields(zero_points.reshape(m, -1), blocks)
    return pack(codes, scales, f"int{bits}", block_size, zero_points, None if bias is None else bias.astype(np.float32))


def from_gptq(qweight, qzeros, scales, bits=4, group_size=128, g_idx=None, zeros=V1_WORDS):
    """The tensors of a GPTQ checkpoint, 2, 3, 4 or 8 bits. g_idx: the group of each column; None: no act-order."""
    tensors = [np.ascontiguousarray(tensor, kind) for tensor, kind in (
        (qweight, np.int32), (qzeros, np.int32), (scales, np.float16), ([] if g_idx is None else g_idx, np.int32))]
    if tensors[0].ndim != 2:
        raise ValueError("qweight is no matrix")
    m, k = tensors[0].shape[1], tensors[0].shape[0] * 32 // bits
    pairs = [value for tensor in tensors for value in (_address(tensor) if tensor.size else None, tensor.size)]
    return _imported("import_gptq", byref(_GptqView(bits, m, k, group_size, *pairs, zeros)))


def from_gguf(tensor, padding=32):
    """A gguf.Tensor, or any (type, shape, bytes) with ggml's number of the type and the shape (M, K). The bytes are
    blocks of that type and then less than `padding` others."""
    kind, shape, data = tensor
    if len(shape) != 2:
        raise ValueError(f"a tensor of the shape {shape} is no matrix")
    data = np.frombuffer(data, np.uint8)
    for size in range(data.size, max(data.size - padding, -1), -1):  # the library takes the right size alone
        try:
            return _imported("import_gguf", c_uint32(kind), c_void_p(_address(data)), *map(c_size_t, (size, *shape)))
        except ValueError as error:
            refusal = error
            if not str(error).startswith("size:"):
                break
    raise refusal
