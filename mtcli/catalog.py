"""Every name a user may choose, and the import path of its code; importing this module loads none of it."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from mtcli.errors import UsageError

ARCHITECTURE = {
    "transformer": "mtcli.model.build_transformer:TransformerPlan",
    "recurrent": "mtcli.model.build_recurrent:RecurrentPlan",
}
ATTENTION = {
    "full": "mtcli.model.attention.full:FullAttention",
    "linear": "mtcli.model.attention.linear:LinearAttention",
    "linformer": "mtcli.model.attention.linformer:LinformerAttention",
    "performer": "mtcli.model.attention.performer:PerformerAttention",
    "block-local": "mtcli.model.attention.block_local:BlockLocalAttention",
    "longformer": "mtcli.model.attention.longformer:LongformerAttention",
    "sparse": "mtcli.model.attention.sparse:SparseAttention",
}
SCORE = {
    "bahdanau": "mtcli.model.recurrent_decoder:Bahdanau",
    "luong-dot": "mtcli.model.recurrent_decoder:LuongDot",
    "luong-general": "mtcli.model.recurrent_decoder:LuongGeneral",
    "luong-concat": "mtcli.model.recurrent_decoder:LuongConcat",
    "none": "mtcli.model.recurrent_decoder:FixedVector",
}
CROSS_ATTENTION = ATTENTION | SCORE
ALIGNMENT = {
    "global": "mtcli.model.attention.alignment:Global",
    "local-m": "mtcli.model.attention.alignment:LocalM",
    "local-p": "mtcli.model.attention.alignment:LocalP",
}
CELL = {"gru": "mtcli.model.cell:Gru", "lstm": "mtcli.model.cell:Lstm"}
POSITION = {
    "none": "mtcli.model.position:Position",
    "sinusoidal": "mtcli.model.position:Sinusoidal",
    "learned": "mtcli.model.positions.learned:Learned",
    "shaw": "mtcli.model.positions.shaw:Shaw",
    "t5": "mtcli.model.positions.t5:T5",
    "rope": "mtcli.model.positions.rope:Rope",
    "alibi": "mtcli.model.positions.alibi:Alibi",
}
ACTIVATION = {
    "relu": "mtcli.model.feed_forward:FeedForward",
    "gelu": "mtcli.model.feed_forward:GeluFeedForward",
    "swiglu": "mtcli.model.feed_forward:SwigluFeedForward",
}
NORMALIZATION = {"layernorm": "torch.nn:LayerNorm", "rmsnorm": "mtcli.model.normalization:RMSNorm"}
NORM = {"pre": "mtcli.model.residual:PreNorm", "post": "mtcli.model.residual:PostNorm"}
OPTIMIZER = {"adamw": "mtcli.training.optimizer:adamw", "muon": "mtcli.training.muon:muon"}
ENGINE = {
    "auto": "mtcli.training.engine:eager",
    "eager": "mtcli.training.engine:eager",
    "compiled": "mtcli.training.compiled:compiled",
    "graph": "mtcli.training.recorded:recorded",
}
SCHEDULE = {
    "inverse-sqrt": "mtcli.training.schedule:inverse_sqrt",
    "cosine": "mtcli.training.schedule:cosine",
    "linear": "mtcli.training.schedule:linear",
    "constant": "mtcli.training.schedule:constant",
}
PLANNED_SCHEDULES = ("cosine", "linear")
"""Schedules that must know at which step they end."""

DECODING = {
    "greedy": "mtcli.decoding.sampling:greedy",
    "beam": "mtcli.decoding.beam:beam_search",
    "sample": "mtcli.decoding.sampling:sample",
    "mbr": "mtcli.decoding.mbr:candidates",
}
UTILITY = {"chrf": "mtcli.decoding.utility:chrf", "bleu": "mtcli.decoding.utility:bleu"}
ENSEMBLE = {"log-linear": "mtcli.decoding.ensemble:log_linear", "linear": "mtcli.decoding.ensemble:linear"}
METRIC = {"bleu": "mtcli.evaluation:bleu", "chrf": "mtcli.evaluation:chrf", "ter": "mtcli.evaluation:ter"}
TASK = {
    "copy": "mtcli.data.probes:copy",
    "reverse": "mtcli.data.probes:reverse",
    "sort": "mtcli.data.probes:sort",
    "memory-game": "mtcli.data.probes:memory_game",
}
PROTOCOL = {"raw": "mtcli.evaluation:raw", "multi30k-lc": "mtcli.protocol:multi30k_lc"}

TABLES = {
    "architecture": ARCHITECTURE,
    "attention": ATTENTION,
    "cross-attention": CROSS_ATTENTION,
    "alignment": ALIGNMENT,
    "cell": CELL,
    "positions": POSITION,
    "activation": ACTIVATION,
    "norm": NORM,
    "normalization": NORMALIZATION,
    "optimizer": OPTIMIZER,
    "schedule": SCHEDULE,
    "decoding": DECODING,
    "utility": UTILITY,
    "engine": ENGINE,
    "ensemble": ENSEMBLE,
    "metric": METRIC,
    "protocol": PROTOCOL,
    "task": TASK,
}


def load(table: str, name: str) -> Any:
    """Import and return what `name` stands for in `table`; `UsageError` names the nearest entry if there is none."""
    entries = TABLES[table]
    if name not in entries:
        raise unknown(table, name, entries)
    module, _, attribute = entries[name].partition(":")
    return getattr(import_module(module), attribute)


def unknown(kind: str, name: str, known: Any) -> UsageError:
    """The error for a `name` that is not among the `known` ones."""
    near = get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(known)}"
    return UsageError(f"there is no {kind} called {name!r}", hint)
