"""How to use lutra.py: quantize, multiply, and share one preparation of x."""

import numpy as np

import lutra

random = np.random.default_rng(1)
weights = random.standard_normal((256, 512), dtype=np.float32)
x = random.standard_normal((3, 512), dtype=np.float32)

lutra.set_threads(2)
w = lutra.quantize(weights, "int4", group=32)
y = x @ w.T  # [3, 256]
print("error of 4 bits:", np.linalg.norm(y - x @ weights.T) / np.linalg.norm(x @ weights.T))
print("error of the product:", np.linalg.norm(y - x @ w.dequantize().T) / np.linalg.norm(y))

prepared = w.prepare(x, lutra.INT16)  # for every matrix with the same K
print("error with exact sums:", np.linalg.norm(w.matmul(prepared) - x @ w.dequantize().T) / np.linalg.norm(y))
