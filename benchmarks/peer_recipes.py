"""The other toolkits' recipes for models of another shape: copies of the scripts with other sizes in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SIZES = {
    "train.sh": [
        "--encoder-layers {encoder_layers} --decoder-layers {decoder_layers}",
        "--encoder-embed-dim {model_dim} --decoder-embed-dim {model_dim}",
        "--encoder-ffn-embed-dim {feed_forward_dim} --decoder-ffn-embed-dim {feed_forward_dim}",
        "--encoder-attention-heads {heads}",
        "--decoder-attention-heads {heads}",
        "--num-layers {encoder_layers}:{decoder_layers} --transformer-model-size {model_dim}",
        "--transformer-attention-heads {heads} --transformer-feed-forward-num-hidden {feed_forward_dim}",
    ],
    "hf_marian.py": [
        "encoder_layers={encoder_layers}, decoder_layers={decoder_layers}, d_model={model_dim}",
        "encoder_ffn_dim={feed_forward_dim}",
        "decoder_ffn_dim={feed_forward_dim}",
        "encoder_attention_heads={heads}, decoder_attention_heads={heads}",
    ],
    "configs/eole.yaml.in": [
        "  layers: {encoder_layers}\n",
        "hidden_size: {model_dim}",
        "heads: {heads}",
        "transformer_ff: {feed_forward_dim}",
        "word_vec_size: {model_dim}",
    ],
    "configs/joeynmt.yaml.in": [
        "num_layers: {encoder_layers}, num_heads: {heads}, hidden_size: {model_dim}, ff_size: {feed_forward_dim}",
        "embedding_dim: {model_dim}",
    ],
}
"""Where each script says how large its model is; what it says of both sides alike stands once or twice."""


def resized(scripts: Path, before: dict[str, Any], after: dict[str, Any], home: Path) -> Path:
    """A copy of the scripts in `home`, with models of the sizes `after`; `SystemExit` where `before` is not found."""
    copy = home / "peer-scripts"
    shutil.copytree(scripts, copy, dirs_exist_ok=True)
    for name, places in SIZES.items():
        path = copy / name
        text = path.read_text(encoding="utf-8")
        for place in places:
            said = place.format(**before)
            if said not in text:
                raise SystemExit(f"{scripts / name} does not say {said!r}")
            text = text.replace(said, place.format(**after))
        path.write_text(text, encoding="utf-8")
    return copy
