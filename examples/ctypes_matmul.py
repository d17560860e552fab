#!/usr/bin/env python3
"""From Python, with nothing but ctypes and a shared liblutra: ctypes_matmul.py LIBRARY."""

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_float, c_int8, c_int32, c_size_t, c_uint8, c_uint16, c_uint32, c_void_p

lutra = ctypes.CDLL(sys.argv[1])

# The constants and structures of lutra/lutra_c.h that are used below, under their names there.
LUTRA_TYPE_F32, LUTRA_PER_ROW, LUTRA_FORMAT_TERNARY, LUTRA_PRECISION_INT16 = 0, 0, 4, 1


class Status(ctypes.Structure):
    _fields_ = [("code", c_int32), ("argument", c_char_p), ("reason", c_char_p)]


class QuantizedView(ctypes.Structure):
    _fields_ = [
        ("format", c_int32), ("m", c_size_t), ("k", c_size_t),
        ("codes", POINTER(c_uint8)), ("code_stride", c_size_t), ("group", c_size_t),
        ("scales", c_void_p), ("scale_type", c_int32), ("zero_kind", c_int32), ("zero_type", c_int32), ("zeros", c_void_p),
        ("super_scales", POINTER(c_uint16)), ("super_offsets", POINTER(c_uint16)),
        ("matrix_scale", c_float), ("codebook", POINTER(c_int8)), ("codebook_tables", c_size_t),
        ("table_choices", POINTER(c_uint8)), ("bias", POINTER(c_float)), ("order", POINTER(c_uint32)),
    ]


class ActivationView(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p), ("type", c_int32), ("n", c_size_t), ("k", c_size_t), ("row_stride", c_size_t),
        ("scales", POINTER(c_float)), ("scale_group", c_size_t),
    ]


class OutputView(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("type", c_int32), ("n", c_size_t), ("m", c_size_t), ("row_stride", c_size_t)]


lutra.lutra_status_message.argtypes = [Status, c_char_p, c_size_t]
lutra.lutra_status_message.restype = c_size_t


def call(name, *arguments):
    """Calls lutra_<name>; its status becomes an exception."""
    function = getattr(lutra, "lutra_" + name)
    function.restype = Status
    status = function(*arguments)
    if status.code != 0:
        message = ctypes.create_string_buffer(200)
        lutra.lutra_status_message(status, message, len(message))
        raise ValueError(f"lutra_{name}: {message.value.decode()}")


def main():
    m, k, n = 70, 300, 2
    codes = (c_uint8 * (m * k))(*(i * i % 3 for i in range(m * k)))  # ternary: 0, 1, 2 are -1, 0, 1
    scales = (c_float * m)(*(1 + i % 4 for i in range(m)))
    x = (c_float * (n * k))(*(i % 11 - 5 for i in range(n * k)))
    y = (c_float * (n * m))()

    w_view = QuantizedView(format=LUTRA_FORMAT_TERNARY, m=m, k=k, codes=codes, code_stride=k, group=LUTRA_PER_ROW,
                           scales=ctypes.addressof(scales), scale_type=LUTRA_TYPE_F32)
    x_view = ActivationView(data=ctypes.addressof(x), type=LUTRA_TYPE_F32, n=n, k=k, row_stride=k)
    y_view = OutputView(data=ctypes.addressof(y), type=LUTRA_TYPE_F32, n=n, m=m, row_stride=m)
    context, w, activations = c_void_p(), c_void_p(), c_void_p()
    call("context_create", c_size_t(2), byref(context))
    call("pack", byref(w_view), None, context, byref(w))
    call("activations_create", byref(activations))
    call("prepare", byref(x_view), w, c_int32(LUTRA_PRECISION_INT16), context, activations)
    call("matmul", w, activations, byref(y_view), context)
    try:
        call("matmul", activations, w, byref(y_view), context)
        sys.exit("handles of the wrong kind were not refused")
    except ValueError as error:
        print("as it should be:", error)
    for kind, handle in ("context", context), ("packed", w), ("activations", activations):
        call(kind + "_destroy", byref(handle))

    def exact_at(row, token):
        return scales[row] * sum((codes[row * k + j] - 1) * x[token * k + j] for j in range(k))

    exact = [exact_at(row, token) for token in range(n) for row in range(m)]
    worst = max(abs(y[i] - exact[i]) for i in range(n * m))
    print("largest error:", worst)
    return 0 if worst < 1e-3 * max(map(abs, exact)) else 1


if __name__ == "__main__":
    sys.exit(main())
