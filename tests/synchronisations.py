"""Operations that would make the host wait for a GPU, found on a machine without one."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

HERE, TORCH = Path(__file__), Path(torch.__file__).parent
# Adam counts its steps in tensors that stay on the host.
ON_THE_HOST = {TORCH / "optim" / name for name in ("adam.py", "optimizer.py")}

# A number for Python, and results whose size depends on values.
READS = {"_local_scalar_dense", "equal", "allclose", "nonzero", "masked_select", "_unique2"}
INDEXES = {"index", "index_put", "index_put_"}
# These are no operations of their own on a CPU: values for Python or NumPy, and values from there,
# which a GPU waits for too.
FROM_DEVICE = {Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.__array__}
TO_DEVICE = {torch.tensor, torch.as_tensor, Tensor.new_tensor}
# So are numbers of elements.
ELEMENTS = {Tensor.__getitem__, Tensor.__setitem__}


@contextmanager
def synchronisations() -> Iterator[list[str]]:
    """Every such operation within, as "name at file:line" of the caller.

    Not seen are what runs compiled, and `tensor.to(device)`.
    """
    found: list[str] = []
    with _Methods(found), _Operations(found):
        yield found


class _Operations(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masked = name in INDEXES and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if masked or name in READS:
            _note(self.found, name)
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        values = args[-1] if args else None
        moved = func in TO_DEVICE and not isinstance(values, Tensor)
        numbers = func in ELEMENTS and any(
            isinstance(index, list | np.ndarray)
            for index in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        if moved or numbers or func in FROM_DEVICE:
            _note(self.found, func.__name__)
        return func(*args, **(kwargs or {}))


def _note(found: list[str], name: str) -> None:
    for call in reversed(traceback.extract_stack()):
        path = Path(call.filename)
        if path in ON_THE_HOST:
            return
        if path.parent == TORCH / "optim" or (not path.is_relative_to(TORCH) and path != HERE):
            found.append(f"{name} at {path}:{call.lineno}")
            return
