"""The tensors of a GGUF file, for lutra.from_gguf."""

import collections
import mmap
import struct

Tensor = collections.namedtuple("Tensor", "type shape data")
Tensor.__doc__ = "ggml's number of the type, the shape (.., M, K), and the bytes, up to the next tensor's."

_STRING, _ARRAY = 8, 9  # types of metadata; the others are numbers
_NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd"))


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, layout):
        """The numbers of a layout of struct; one alone is no tuple."""
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def text(self):
        return self.read(f"{self.read('Q')}s").decode("utf-8", "replace")

    def value(self, kind):
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            kind, count = self.read("IQ")
            return [self.value(kind) for _ in range(count)]
        return self.read(_NUMBERS[kind])

    def tensor(self):
        """Name, shape, type and offset of a tensor."""
        name, rank = self.text(), self.read("I")
        shape = tuple(self.read("Q") for _ in range(rank))
        return (name, shape[::-1], *self.read("IQ"))


def tensors(file):
    """The tensors of a file by name. `file` is a path, which is mapped, or bytes."""
    if not isinstance(file, (bytes, bytearray, memoryview)):
        with open(file, "rb") as opened:
            file = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    reader = _Reader(memoryview(file))
    try:
        magic, version, count, fields = reader.read("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("no GGUF file of version 2 or 3")
        metadata = {reader.text(): reader.value(reader.read("I")) for _ in range(fields)}
        found = [reader.tensor() for _ in range(count)]
    except (struct.error, KeyError) as error:
        raise ValueError("a GGUF file that is damaged, or ends early") from error
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError("a GGUF file whose alignment is not a positive number")
    data = reader.data[-(-reader.at // alignment) * alignment:]
    offsets = sorted(offset for *_, offset in found) + [len(data)]
    ends = dict(zip(offsets, offsets[1:]))
    return {name: Tensor(kind, shape, data[offset:ends[offset]]) for name, shape, kind, offset in found}
