"""Named tensors as safetensors bytes and back; tensors that share memory are stored once, and share it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
from torch import Tensor

# safetensors writes its metadata in random order: with one entry, equal tensors are equal bytes.
ENTRY = "mtcli"


class DamagedTensorsError(ValueError):
    """The bytes are not what `pack` makes."""


def pack(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """The tensors, on whatever device and in whatever strides, with JSON `about` them; equal input, equal bytes."""
    first = tied(tensors)
    stored: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name in dict.fromkeys(first.values()):
        stored[name] = plain(tensors[name], taken)
        taken.add(stored[name].data_ptr())
    aliases = {name: original for name, original in first.items() if original != name}
    return safetensors.torch.save(stored, {ENTRY: json.dumps({**about, "aliases": aliases}, sort_keys=True)})


def tied(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """For each name, the first name of the same tensor."""
    first: dict[Any, str] = {}
    return {name: first.setdefault(memory(tensor) or name, name) for name, tensor in tensors.items()}


def memory(tensor: Tensor) -> tuple[object, ...]:
    """What two tensors have in common if they are one; nothing for empty tensors, which have no memory."""
    if tensor.numel() == 0:
        return ()
    return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def plain(tensor: Tensor, taken: set[int]) -> Tensor:
    """A contiguous tensor in main memory that shares it with none of those that start at `taken`."""
    contiguous = tensor.detach().cpu().contiguous()
    whole = contiguous.untyped_storage().nbytes() == contiguous.numel() * contiguous.element_size()
    return contiguous if whole and contiguous.data_ptr() not in taken else contiguous.clone()


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, in main memory, and what `pack` was told about them.

    Raises `DamagedTensorsError` if the bytes are not well-formed, whoever made them.
    """
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = dict(json.loads(header["__metadata__"][ENTRY]))
        for alias, original in about["aliases"].items():
            tensors[alias] = tensors[original]
    except Exception as error:  # a parser of others meets bytes from anywhere: it may raise anything
        raise DamagedTensorsError(f"not tensors as mtcli stores them: {type(error).__name__}: {error}") from error
    return tensors, about


def size(tensors: Mapping[str, Tensor]) -> int:
    """About how many bytes `pack` makes; tied tensors count once."""
    return sum({memory(tensor): tensor.numel() * tensor.element_size() for tensor in tensors.values()}.values())
