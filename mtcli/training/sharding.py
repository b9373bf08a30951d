"""Models that are too large for one device: each rank holds a part of every weight, gradient and moment.

The division is PyTorch's `fully_shard` (Zhao et al. 2023, "PyTorch FSDP"), which is stage 3 of ZeRO (Rajbhandari
et al. 2020). A unit of the model is whole on a device only while it computes: its weights are gathered before, its
gradients are added among the ranks and divided after. Units are each block of a Transformer, and all that is left,
with the weights that several of them use: tied embeddings, positions of all layers. A recurrent model is one unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mtcli.errors import ResourceError, out_of_memory
from mtcli.model.seq2seq import Seq2Seq
from mtcli.model.transformer import Transformer
from mtcli.training.distributed import Together
from mtcli.training.holding import Holding


class Sharded(Holding):
    """Divides models of one kind, such as one that learns and the average of its weights, in place."""

    sharded = True

    def __init__(self, ranks: Together, device: torch.device, models: Sequence[Seq2Seq[Any]]) -> None:
        self.first = ranks.first
        self.hollow = hollow(models[0])
        mesh = DeviceMesh.from_group(ranks.gradients or cast(dist.ProcessGroup, dist.group.WORLD), device.type)
        for model in models:
            ranks.align(model.state_dict().values())  # what another kind of machine drew may differ
            divide(model, mesh)
            model.register_load_state_dict_pre_hook(take_parts_of_weights)  # type: ignore[no-untyped-call]

    def follow(self, optimizer: Optimizer) -> None:
        """Let the optimizer of a model that is held take moments as a checkpoint stores them: whole."""
        optimizer.register_load_state_dict_pre_hook(take_parts_of_moments)

    @contextmanager
    def whole(self, model: Seq2Seq[Any]) -> Iterator[Seq2Seq[Any]]:
        """The same model with all weights on this rank's device while it is in use, gathered once.

        Of a divided one each unit would be gathered at each step of decoding, at all ranks at the same time; but
        their sentences take different numbers of steps.
        """
        empty = dict(self.hollow.named_parameters(remove_duplicate=False))
        self.hollow.load_state_dict(gathered_parameters(model), strict=False, assign=True)
        for name, module in model.named_modules():
            for key, buffer in module.named_buffers(recurse=False):
                setattr(self.hollow.get_submodule(name), key, buffer)
        try:
            yield self.hollow
        finally:
            self.hollow.load_state_dict(empty, strict=False, assign=True)

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors, whole, in main memory at the first rank; other ranks lend their parts and keep none.

        One is gathered after the other, so that a device never holds more than the largest of them; at all ranks in
        the same order, which that in a file that they loaded is not.
        """
        found: dict[int, Tensor] = {}
        for _, tensor in sorted(tensors.items()):
            if isinstance(tensor, DTensor) and id(tensor) not in found:
                full = gather(tensor)
                found[id(tensor)] = full.cpu() if self.first else full.new_empty(0)
        return {name: found.get(id(tensor), tensor) for name, tensor in tensors.items()}


def hollow(model: Seq2Seq[Any]) -> Seq2Seq[Any]:
    """A copy of the model whose parameters have shapes, but no memory; tied ones are tied there too."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach().to("meta"), False) for p in model.parameters()}
    return deepcopy(model, memo)


def divide(model: Seq2Seq[Any], mesh: DeviceMesh) -> None:
    """Move the model to the device of the mesh, unit by unit, and leave this rank its part of each parameter.

    The last unit is gathered from the beginning of `readout` to the end of the backward pass: the loss, outside of
    the model, multiplies with the output's matrix.
    """
    blocks: list[nn.Module] = []
    if isinstance(model, Transformer):
        blocks = [*model.encoder.blocks, *model.decoder.blocks]
    shared = common(model, blocks)
    for block in blocks:
        fully_shard(block, mesh=mesh, ignored_params=shared)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    register_fsdp_forward_method(model, "readout")
    for unit in model.modules():
        if isinstance(unit, FSDPModule):
            # Sums: the loss is divided by the target tokens of all ranks already.
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)  # gloo has no multiplication by 1.0 on the way


def common(model: nn.Module, blocks: Sequence[nn.Module]) -> set[nn.Parameter]:
    """The parameters of blocks that are used elsewhere too."""

    def uses(module: nn.Module) -> Counter[nn.Parameter]:
        return Counter(parameter for _, parameter in module.named_parameters(remove_duplicate=False))

    everywhere = uses(model)
    return {parameter for block in blocks for parameter, n in uses(block).items() if n < everywhere[parameter]}


def gathered_parameters(model: Seq2Seq[Any]) -> dict[str, nn.Parameter]:
    """All of a model's parameters on this rank's device, by name; `ResourceError` if it has no room for them."""
    try:
        full = {each: nn.Parameter(gather(each), requires_grad=False) for each in model.parameters()}
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise ResourceError(
            "there is not enough memory for all weights at once, with which validation translates",
            "only training divides them; to translate, they have to fit on one device",
        ) from error
    return {name: full[each] for name, each in model.named_parameters(remove_duplicate=False)}


def gather(tensor: Tensor) -> Tensor:
    """The whole of a tensor, on this rank's device; all ranks call this for the same ones."""
    return cast(DTensor, tensor.detach()).full_tensor()


def part(whole: Tensor, like: Tensor) -> Tensor:
    """This rank's part of what every rank has, divided like another tensor; others, and parts, stay as they are."""
    if not isinstance(like, DTensor) or isinstance(whole, DTensor) or whole.shape != like.shape:
        return whole
    # The clone lets go of the whole, of which the part is a view.
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None).clone()


def take_parts_of_weights(model: nn.Module, weights: dict[str, Any], *about: Any) -> None:
    """Let a divided model take whole weights, as `load_state_dict` is about to give it."""
    for name, held in model.named_parameters(remove_duplicate=False):
        if name in weights:
            weights[name] = part(weights[name], held.detach())


def take_parts_of_moments(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The state that `load_state_dict` is about to give an optimizer, with this rank's parts of whole moments."""
    parameters = [parameter.detach() for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {key: part(value, parameters[index]) for key, value in entry.items()}
        for index, entry in state["state"].items()
    }
    return {**state, "state": moments}
