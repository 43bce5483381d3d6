"""Reads tensors from PyTorch's legacy .pth files without PyTorch and without running what is in them.

The file is a row of pickles (magic number, protocol, system information, the object, the storages' keys) and the raw
storages behind them. The unpickler knows four names and refuses all others, so that a hostile file can do nothing.
"""

import collections
import pickle

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class Storage:
    """A flat tensor memory whose content comes later in the file."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.content = None


class Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def array(self):
        data = self.storage.content
        strides = [s * data.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset:], self.shape, strides).copy()


class Unpickler(pickle.Unpickler):
    def __init__(self, file, storages):
        super().__init__(file)
        self.storages = storages

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: Tensor(storage, offset, shape, stride)
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise pickle.UnpicklingError(f"expected tensors only, got {module}.{name}; the file is not a plain state_dict")

    def persistent_load(self, saved):
        kind, dtype, key, _location, _count, *_ = saved
        if kind != "storage":
            raise pickle.UnpicklingError(f"expected a storage, got {kind}")
        return self.storages.setdefault(key, Storage(dtype))


def load(path):
    """{name: numpy array} of a legacy state_dict."""
    storages = {}
    with open(path, "rb") as file:
        if Unpickler(file, storages).load() != MAGIC:
            raise ValueError(f"{path}: expected PyTorch's legacy format")
        Unpickler(file, storages).load()  # Protocol.
        Unpickler(file, storages).load()  # System information.
        tensors = Unpickler(file, storages).load()
        for key in Unpickler(file, storages).load():
            count = int.from_bytes(file.read(8), "little")
            storage = storages[key]
            storage.content = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype)
    return {name: tensor.array() for name, tensor in tensors.items()}
