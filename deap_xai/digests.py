"""Hashes of what is behind a name, the same in every process."""

from __future__ import annotations

import hashlib
import re
from typing import Any

__all__ = ["module_digest", "plain_repr"]


def module_digest(module: Any) -> str:
    """SHA-256 of a ``torch.nn.Module``: its structure and all that its ``state_dict`` holds.

    Tensors of any dtype and layout count by their content; what else a state may hold
    (``get_extra_state``, packed weights of quantized layers), by its parts and their ``repr``.

    Examples
    --------
    >>> import torch
    >>> one = torch.nn.Linear(2, 2)
    >>> before = module_digest(one)
    >>> module_digest(one) == before
    True
    >>> _ = torch.nn.init.zeros_(one.weight)
    >>> module_digest(one) == before
    False
    """
    found = hashlib.sha256(plain_repr(module))
    _add(found, dict(module.state_dict()))
    return found.hexdigest()


def _add(found: Any, value: Any) -> None:
    import torch

    if isinstance(value, dict):
        for key, inner in value.items():
            found.update(plain_repr(key))
            _add(found, inner)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            _add(found, inner)
    elif isinstance(value, torch.Tensor):
        found.update(f"{value.dtype} {tuple(value.shape)}".encode())
        plain = value.detach().cpu()
        plain = plain.dequantize() if plain.is_quantized else plain
        plain = plain if plain.layout == torch.strided else plain.to_dense()
        flat = plain.resolve_conj().resolve_neg().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    else:
        found.update(plain_repr(value))


def plain_repr(value: Any) -> bytes:
    """Its ``repr`` without addresses, which are others in each process.

    Examples
    --------
    >>> plain_repr(print), plain_repr(object())
    (b'<built-in function print>', b'<object object>')
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)).encode()
