"""Tests of examples/python: lutra_test.py MODEL.gguf, with LUTRA_LIBRARY and PYTHONPATH set."""

import pathlib
import sys
import unittest

import numpy as np

import gguf
import lutra

RANDOM = np.random.default_rng(1)
M, K = 70, 288


def uniform(*shape):
    return RANDOM.uniform(-1, 1, shape).astype(np.float32)


def bfloat16(x):
    """The upper halves of floats, and the floats that they stand for."""
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    return bits, (bits.astype(np.uint32) << 16).view(np.float32)


def bits_of(codes, bits):
    """The last axis of codes as a stream of bits, the lowest first."""
    each = np.unpackbits(codes[..., None], axis=-1, bitorder="little")[..., :bits]
    return np.packbits(each.reshape(*codes.shape[:-1], -1), axis=-1, bitorder="little")


class Products(unittest.TestCase):
    def assert_product(self, y, x, weights, share):
        """The error is at most a share of sum |w| * max |x|, because x is rounded relative to its largest element."""
        x, weights = x.astype(np.float64), weights.astype(np.float64)
        bound = share * np.abs(weights).sum(axis=-1) * np.abs(x).max(initial=0)
        self.assertTrue((np.abs(y - x @ weights.T) <= bound).all())

    def test_formats(self):
        weights, x = uniform(M, K), uniform(3, K)
        for format in "int1 int2 int3 int4 ternary iq4nl fp4 int5 int6 int7 int8".split():
            for group in 32, 128, lutra.PER_ROW:
                w = lutra.quantize(weights, format, group)
                self.assertEqual(w.shape, (M, K))
                self.assert_product(x @ w.T, x, w.dequantize(), 2**-5)
                self.assert_product(w.matmul(x, precision=lutra.INT16), x, w.dequantize(), 2**-10)
        self.assert_product(x @ lutra.quantize(weights, "int8").T, x, weights, 2**-6)
        schemes = ("fp4", 32, "e8m0", 0.16), ("fp4", 16, "e4m3", 0.12), ("fp8_e4m3", 32, "e8m0", 0.04)  # MX and NVFP4
        for format, group, scales, error in schemes:
            difference = lutra.quantize(weights, format, group, scales).dequantize() - weights
            self.assertLess((difference**2).sum(), error**2 * (weights**2).sum())
        offsets = lutra.quantize(weights + 2, "int4", scales=np.float32, zero_points=True)
        self.assertLess(np.abs(offsets.dequantize() - weights - 2).max(), 2**-3)
        importance = np.arange(K, dtype=np.float32)
        errors = [(importance * (lutra.quantize(weights, "int3", **search).dequantize() - weights)**2).sum()
                  for search in ({}, {"search": True}, {"search": True, "importance": importance})]
        self.assertLess(errors[1], errors[0])
        self.assertLess(errors[2], errors[1])
        with self.assertRaises(ValueError):
            lutra.quantize(weights, search=True, importance=importance[1:])

    def test_arrays_are_read_and_written_in_place(self):
        w = lutra.quantize(uniform(M, K))
        x = uniform(4, K)
        y = x @ w.T
        wide = np.full((4, K + 5), np.nan, np.float32)
        wide[:, :K] = x
        out = np.full((4, M + 3), 7, np.float32)
        self.assertIs(w.matmul(x, out=out[:, :M]).base, out)
        np.testing.assert_array_equal(out[:, :M], y)
        np.testing.assert_array_equal(out[:, M:], 7)
        np.testing.assert_array_equal(wide[:, :K] @ w.T, y)
        np.testing.assert_array_equal(x[2] @ w.T, y[2])
        np.testing.assert_array_equal(x.reshape(2, 2, K) @ w.T, y.reshape(2, 2, M))
        self.assertEqual((x[:0] @ w.T).shape, (0, M))
        for copied in x[:, ::-1], wide[::2, ::2][:, :K], np.asfortranarray(x), wide[:, :K].reshape(2, 2, K)[:, ::-1]:
            with self.assertRaises(ValueError):
                copied @ w.T

    def test_types(self):
        weights, x = uniform(M, K), uniform(3, K)
        w = lutra.quantize(weights)
        half = x.astype(np.float16)
        y = half @ w.T
        self.assertEqual(y.dtype, np.float16)
        np.testing.assert_array_equal(y, w.matmul(half, out=np.empty((3, M), np.float32)).astype(np.float16))
        brain, floats = bfloat16(x)
        y = brain @ w.T
        self.assertEqual(y.dtype, np.uint16)
        np.testing.assert_array_equal(w.matmul(brain, out=np.empty((3, M), np.float32)), floats @ w.T)

    def test_prepared_x_and_threads(self):
        v, w, x = lutra.quantize(uniform(M, K)), lutra.quantize(uniform(5, K)), uniform(9, K)
        expected = x @ v.T, x @ w.T
        lutra.set_threads(3)
        prepared = v.prepare(x)
        np.testing.assert_array_equal(v.matmul(prepared), expected[0])
        np.testing.assert_array_equal(w.matmul(prepared), expected[1])

    def test_gguf(self):
        model = gguf.tensors(sys.argv[1])
        self.assertEqual(model.keys(), gguf.tensors(pathlib.Path(sys.argv[1]).read_bytes()).keys())
        imported = 0
        for name, tensor in model.items():
            try:
                w = lutra.from_gguf(tensor)
            except (NotImplementedError, ValueError):  # types that stay the engine's, vectors, experts
                continue
            imported += 1
            x = uniform(2, w.shape[1])
            with self.subTest(name):
                self.assert_product(x @ w.T, x, w.dequantize(), 2**-4)
        self.assertGreater(imported, 20)

    def test_gguf_blocks(self):
        scales, codes = RANDOM.uniform(0.5, 1, (M, 2, 1)).astype(np.float16), RANDOM.integers(-127, 128, (M, 2, 32))
        blocks = np.concatenate([scales.view(np.uint8).reshape(M, 2, 2), codes.astype(np.int8).view(np.uint8)], axis=-1)
        w = lutra.from_gguf((8, (M, 64), blocks.tobytes() + bytes(31)))  # q8_0
        np.testing.assert_array_equal(w.dequantize(), (scales.astype(np.float32) * codes).reshape(M, 64))

    def test_nbits(self):
        block, blocks = 32, 9
        for bits in range(2, 9):
            codes = RANDOM.integers(0, 2**bits, (M, blocks, block), np.uint8)
            zeros = RANDOM.integers(0, 2**bits, (M, blocks, 1), np.uint8)
            scales, bias = RANDOM.uniform(0.5, 1, (M, blocks, 1)).astype(np.float32), uniform(M)
            points = zeros + np.float32(0.5)
            for points, packed in (2**(bits - 1), None), (zeros, bits_of(zeros[..., 0], bits)), (points, points):
                w = lutra.from_nbits(bits_of(codes, bits), scales, K, bits, block, packed, bias)
                np.testing.assert_allclose(w.dequantize(), (scales * (codes.astype(np.float32) - points)).reshape(M, K))
                x = np.zeros((1, K), np.float32)
                np.testing.assert_array_equal((x @ w.T)[0], bias)

    def test_gptq(self):
        m = 64
        codes, zeros = RANDOM.integers(0, 16, (K, m), np.uint8), RANDOM.integers(0, 16, (3, m), np.uint8)
        scales = RANDOM.uniform(0.5, 1, (3, m)).astype(np.float16)
        qweight = np.ascontiguousarray(bits_of(codes.T, 4)).view(np.int32).T
        qzeros = bits_of(zeros, 4).view(np.int32)
        w = lutra.from_gptq(qweight, qzeros, scales, group_size=128, zeros=lutra.V2)
        groups = np.arange(K) // 128
        exact = scales.astype(np.float32)[groups] * (codes.astype(np.float32) - zeros[groups])
        np.testing.assert_array_equal(w.dequantize(), exact.T)
        lists = [tensor.tolist() for tensor in (qweight, qzeros, scales, groups)]
        of_lists = lutra.from_gptq(*lists[:3], group_size=128, g_idx=lists[3], zeros=lutra.V2)
        np.testing.assert_array_equal(of_lists.dequantize(), exact.T)

    def test_errors_have_the_librarys_text(self):
        w = lutra.quantize(uniform(M, K))
        x, with_nan = uniform(2, K), uniform(2, K)
        with_nan[1, 3] = np.nan
        for text, call in (
                ("x.data: holds a value that is not finite", lambda: with_nan @ w.T),
                ("options.group: is not", lambda: lutra.quantize(uniform(2, 64), group=33)),
                ("weights: holds", lambda: lutra.quantize(np.full((2, 64), np.inf, np.float32))),
                ("size: is not", lambda: lutra.from_gguf((8, (1, 64), bytes(10)))),
                ("a tensor of the shape", lambda: lutra.from_gguf((8, (64,), bytes(68)))),
                ("x has the shape", lambda: x[:, 1:] @ w.T),
                ("x is no array", lambda: x.astype(np.float64) @ w.T),
                ("out is no array", lambda: w.matmul(x, out=np.empty((1, M), np.float32))),
                ("scales are not 140", lambda: lutra.pack(np.zeros((M, 64), np.uint8), np.ones(2, np.float32))),
                ("a GGUF file that is", lambda: gguf.tensors(b"GGUF" + bytes([3]))),
                ("no GGUF file", lambda: gguf.tensors(bytes(100)))):
            with self.assertRaisesRegex(ValueError, "^" + text):
                call()
        lists, ones = uniform(2, 64).tolist(), np.ones(4, np.float32)
        for name, call in (
                ("weights", lambda: lutra.quantize(lists)),
                ("importance", lambda: lutra.quantize(uniform(2, 64), importance=[1.0] * 64)),
                ("x", lambda: lists @ w.T),
                ("out", lambda: w.matmul(x, out=lists)),
                ("codes", lambda: lutra.pack(lists, ones)),
                ("scales", lambda: lutra.pack(np.zeros((2, 64), np.uint8), [1.0] * 4)),
                ("b", lambda: lutra.from_nbits(lists, ones, 64)),
                ("zero_points", lambda: lutra.from_nbits(np.zeros((2, 32), np.uint8), ones, 64, zero_points=[8] * 4))):
            with self.assertRaisesRegex(TypeError, f"^{name} is a list, not a NumPy array"):
                call()
        with self.assertRaisesRegex(ValueError, "^weights is no matrix of float32"):
            lutra.quantize(uniform(3))
        with self.assertRaises(NotImplementedError):
            lutra.from_gguf((0, (1, 64), bytes(256)))  # f32
        with self.assertRaises(KeyError):
            lutra.quantize(uniform(2, 64), "int9")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
