"""A checkpoint of mtcli as a CTranslate2 model, so that both decode the same weights.

    PYTHON benchmarks/ctranslate2_model.py CHECKPOINT OUT

PYTHON has ctranslate2 and sentencepiece; mtcli is not needed. Takes Transformers with full attention, sinusoidal
positions, layer norms, ReLU, a joint vocabulary and three-way tied embeddings; `decode.py --same-weights` compares
the outputs.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from ctranslate2.specs import TransformerSpec

LONGEST = 512
EXPECTED = {
    "architecture": "transformer",
    "encoder_attention": "full",
    "decoder_attention": "full",
    "cross_attention": "full",
    "positions": "sinusoidal",
    "activation": "relu",
    "normalization": "layernorm",
    "key_value_heads": 0,
    "qk_norm": False,
    "tied_embeddings": "three-way",
}

Weights = dict[str, np.ndarray]


def convert(checkpoint: Path, out: Path) -> None:
    """Write the CTranslate2 model; `ValueError` if there is no such model."""
    settings = tomllib.loads((checkpoint / "recipe.toml").read_text(encoding="utf-8"))["model"]
    for name, value in EXPECTED.items():
        # Checkpoints older than a setting lack it, and have what is expected.
        if settings.get(name, value) != value:
            raise ValueError(f"{name} is {settings[name]!r}; only {value!r} can be converted")
    weights = read_weights(checkpoint / "model.safetensors")
    layers = settings["encoder_layers"], settings["decoder_layers"]
    spec = TransformerSpec.from_config(layers, settings["heads"], pre_norm=settings["norm"] == "pre")
    encoder, decoder = spec.encoder, spec.decoder
    table = weights["source.table.weight"]
    for embeddings in (encoder.embeddings[0], decoder.embeddings, decoder.projection):
        embeddings.weight = table
    for side, name in ((encoder, "encoder"), (decoder, "decoder")):
        side.position_encodings.encodings = sinusoids(LONGEST, settings["model_dim"])
        if settings["norm"] == "pre":
            fill_norm(side.layer_norm, weights, f"{name}.last")
        for number, layer in enumerate(side.layer):
            fill_layer(layer, weights, f"{name}.blocks.{number}")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(checkpoint / "tokenizer.model"))
    vocabulary = [pieces.id_to_piece(token) for token in range(pieces.get_piece_size())]
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    spec.config.add_source_eos = True
    spec.validate()
    spec.optimize()
    out.mkdir(parents=True, exist_ok=True)
    spec.save(str(out))


def read_weights(path: Path) -> Weights:
    """The fp32 tensors of a safetensors file: a length, a JSON header, then the bytes."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {name: tensor(data[8 + length :], about) for name, about in header.items()}


def tensor(data: bytes, about: dict[str, Any]) -> np.ndarray:
    """One tensor of the file."""
    begin, end = about["data_offsets"]
    if about["dtype"] != "F32":
        raise ValueError(f"the weights are {about['dtype']}, not fp32")
    return np.frombuffer(data[begin:end], np.float32).reshape(about["shape"])


def fill_layer(layer: Any, weights: Weights, name: str) -> None:
    """One block of the encoder or the decoder."""
    project, bias = (weights[f"{name}.attention.project.{part}"] for part in ("weight", "bias"))
    fill(layer.self_attention.linear[0], project, bias)
    fill_named(layer.self_attention.linear[1], weights, f"{name}.attention.merge")
    fill_norm(layer.self_attention.layer_norm, weights, f"{name}.attention_residual.norm")
    if hasattr(layer, "attention"):
        project, bias = (weights[f"{name}.cross_attention.project.{part}"] for part in ("weight", "bias"))
        third = len(project) // 3  # queries come from the target, keys and values from the source
        fill(layer.attention.linear[0], project[:third], bias[:third])
        fill(layer.attention.linear[1], project[third:], bias[third:])
        fill_named(layer.attention.linear[2], weights, f"{name}.cross_attention.merge")
        fill_norm(layer.attention.layer_norm, weights, f"{name}.cross_residual.norm")
    fill_named(layer.ffn.linear_0, weights, f"{name}.feed_forward.widen")
    fill_named(layer.ffn.linear_1, weights, f"{name}.feed_forward.narrow")
    fill_norm(layer.ffn.layer_norm, weights, f"{name}.feed_forward_residual.norm")


def fill(linear: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    """A linear layer."""
    linear.weight, linear.bias = weight, bias


def fill_named(linear: Any, weights: Weights, name: str) -> None:
    """A linear layer, by its name in the checkpoint."""
    fill(linear, weights[f"{name}.weight"], weights[f"{name}.bias"])


def fill_norm(norm: Any, weights: Weights, name: str) -> None:
    """A LayerNorm."""
    norm.gamma, norm.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def sinusoids(length: int, dim: int) -> np.ndarray:
    """The positions of `mtcli.model.position`: the sine in column 2i and the cosine in column 2i + 1."""
    angle = np.arange(length)[:, None] * np.exp(np.arange(0, dim, 2) * (-np.log(10000.0) / dim))
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(length, -1)[:, :dim].astype(np.float32)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
