"""Every setting, declared once: name, type, default, help, limits, and what a change means when a run resumes.

Flags, TOML keys, validation and the `recipe.toml` of a checkpoint all derive from these declarations. A setting's
name is unique over all sections, so that its flag needs no prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Resume = Literal["free", "warn", "refuse"]
"""On resume a changed setting is applied in silence, applied with a warning, or refused."""


def setting(
    default: Any, help: str, resume: Resume, strategies: Sequence[str] = (), word: str = "", **limits: Any
) -> Any:
    """Declare one setting; `limits` are pydantic's (`ge`, `gt`, `le`, `lt`).

    `strategies` are those ways of decoding whose translations a setting of decoding can change; none: all of them.
    `word` may be asked for instead of a number; `recipe.resolve` knows what it stands for.
    """
    extra: dict[str, Any] = {"resume": resume, "strategies": [*strategies], "word": word}
    return Field(default, description=help, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """A group of settings that one part of the program reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Section):
    """What to learn from."""

    train: tuple[str, ...] = setting((), "corpora to train on", "refuse")
    valid: tuple[str, ...] = setting((), "corpora to choose the best checkpoint on", "warn")
    source_lang: str = setting("", "language to translate from, as in the file names", "refuse")
    target_lang: str = setting("", "language to translate into, as in the file names", "refuse")
    alignments: tuple[str, ...] = setting(
        (),
        "word alignments of each corpus of --train, in order: files of lines such as 0-0 1-2, source and target word",
        "refuse",
    )
    strict: bool = setting(False, "fail on a line that cannot be read instead of dropping it", "refuse")
    max_length: int = setting(256, "drop training pairs with a side longer than this many tokens", "refuse", ge=1)


class TokenizerSettings(Section):
    """How text becomes tokens."""

    tokenizer: str = setting(
        "", "directory of a trained tokenizer; empty: train one, or take that of --init-from", "refuse"
    )
    vocab_size: int = setting(8000, "pieces in a vocabulary", "refuse", ge=8, le=1_000_000)
    tokenizer_model: Literal["unigram", "bpe"] = setting("unigram", "kind of SentencePiece model", "refuse")
    joint: bool = setting(True, "one vocabulary for both languages", "refuse")
    byte_fallback: bool = setting(True, "spell characters never seen in training as bytes", "refuse")
    character_coverage: float = setting(
        0.9998, "share of all characters that get a piece of their own", "refuse", gt=0, le=1
    )


class ModelSettings(Section):
    """What the model is."""

    architecture: str = setting("transformer", "family of models", "refuse")
    encoder_layers: int = setting(3, "blocks of the encoder", "refuse", ge=1, le=1000)
    decoder_layers: int = setting(3, "blocks of the decoder", "refuse", ge=1, le=1000)
    model_dim: int = setting(256, "width of the residual stream", "refuse", ge=1, le=65536)
    feed_forward_dim: int = setting(
        1024, "width inside the feed-forward blocks; swiglu has 3 matrices of it, others 2", "refuse", ge=1, le=262144
    )
    heads: int = setting(4, "attention heads", "refuse", ge=1, le=1024)
    encoder_attention: str = setting("full", "attention of the encoder to itself", "refuse")
    decoder_attention: str = setting("full", "attention of the decoder to its past", "refuse")
    cross_attention: str = setting("full", "attention of the decoder to the encoder", "refuse")
    positions: str = setting("sinusoidal", "how the model knows the order of tokens", "refuse")
    norm: str = setting("pre", "where norms stand: before each residual branch, or after it", "refuse")
    normalization: str = setting("layernorm", "how vectors are normalised", "refuse")
    activation: str = setting("relu", "non-linearity inside the feed-forward blocks", "refuse")
    key_value_heads: int = setting(
        0,
        "heads of keys and values, which heads of queries share; 1: multi-query; 0: as many as heads",
        "refuse",
        ge=0,
    )
    qk_norm: bool = setting(False, "normalise queries and keys within each head: bounds the logits", "refuse")
    window: int = setting(10, "tokens on each side that longformer and local alignments see", "refuse", ge=1)
    dilation: int = setting(1, "longformer: distance between neighbours in the window", "refuse", ge=1)
    global_tokens: int = setting(1, "longformer: first tokens that see all and are seen by all", "refuse", ge=0)
    block_size: int = setting(16, "block-local: tokens in a block", "refuse", ge=1)
    neighbours: bool = setting(True, "block-local: blocks see the blocks beside them", "refuse")
    sparse_pattern: Literal["strided", "fixed"] = setting("strided", "sparse: which tokens are seen", "refuse")
    stride: int = setting(8, "sparse: tokens in a row of its pattern", "refuse", ge=1)
    summary_tokens: int = setting(
        1, "sparse, fixed pattern: last tokens of each row that all later ones see", "refuse", ge=1
    )
    rank: int = setting(32, "linformer: keys and values that a whole source is reduced to", "refuse", ge=1)
    features: int = setting(128, "performer: random features of each head", "refuse", ge=1)
    redraw_every: int = setting(
        0, "performer: training batches after which its features are drawn anew; 0: never", "refuse", ge=0
    )
    max_positions: int = setting(
        1024, "tokens, EOS included, of the longest sentence for learned positions and linformer", "refuse", ge=1
    )
    clip_distance: int = setting(16, "shaw: distance from which all offsets are one", "refuse", ge=1)
    relative_buckets: int = setting(32, "t5: buckets of offsets", "refuse", ge=4)
    relative_distance: int = setting(128, "t5: distance from which all offsets are one bucket", "refuse", ge=2)
    rope_base: float = setting(10000.0, "rope: base of its wavelengths", "refuse", gt=1)
    cell: str = setting("gru", "recurrent models: what remembers from token to token", "refuse")
    alignment: str = setting("global", "recurrent models: which source tokens a target token attends to", "refuse")
    input_feeding: bool = setting(
        True, "recurrent models: the last attentional vector enters the next step", "refuse"
    )
    tied_embeddings: Literal["three-way", "two-way", "none"] = setting(
        "three-way",
        "which embeddings are one matrix: source, target and output; target and output; none",
        "refuse",
    )
    dropout: float = setting(0.1, "dropout of embeddings and residual branches", "warn", ge=0, lt=1)
    activation_dropout: float = setting(0.0, "dropout inside the feed-forward blocks", "warn", ge=0, lt=1)
    attention_dropout: float = setting(0.0, "dropout of attention weights", "warn", ge=0, lt=1)
    word_dropout: float = setting(
        0.0, "probability that a word, of the source or of the target so far, is left out", "warn", ge=0, lt=1
    )
    layer_dropout: float = setting(
        0.0, "transformer: probability that a training batch skips a block", "warn", ge=0, lt=1
    )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.model_dim // self.heads


class TrainingSettings(Section):
    """How the model learns, for how long, and what is kept."""

    seed: int = setting(1, "seed of every random choice", "refuse", ge=0, lt=2**32)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", "warn")
    threads: int = setting(0, "processor threads; 0: all cores", "warn", ge=0, le=4096)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "arithmetic of the forward and backward pass; auto: what is fastest here", "warn"
    )
    engine: str = setting(
        "auto", "how a step is computed: as it is written, with compiled blocks, or as one CUDA graph", "warn"
    )
    optimizer: str = setting("adamw", "optimizer", "refuse")
    lr: float = setting(1e-3, "highest learning rate, reached after the warm-up", "warn", gt=0)
    beta1: float = setting(0.9, "decay of Adam's first moment", "warn", ge=0, lt=1)
    beta2: float = setting(0.98, "decay of Adam's second moment", "warn", ge=0, lt=1)
    epsilon: float = setting(1e-9, "Adam's epsilon", "warn", gt=0)
    weight_decay: float = setting(0.0, "decoupled weight decay of matrices", "warn", ge=0)
    schedule: str = setting("inverse-sqrt", "learning rate after the warm-up", "refuse")
    warmup_steps: int = setting(1000, "steps in which the learning rate rises from 0", "warn", ge=0)
    decay_steps: int = setting(
        0, "step at which cosine and linear reach their end; 0: --max-steps of the first start", "warn", ge=0
    )
    clip: float = setting(1.0, "largest gradient norm; 0: no clipping", "warn", ge=0)
    ema: float = setting(
        0.0,
        "decay, at each update, of a moving average of the weights, which is then validated and stored; 0: none",
        "refuse",
        ge=0,
        lt=1,
    )
    label_smoothing: float = setting(0.1, "probability spread over the whole vocabulary", "warn", ge=0, lt=1)
    r_drop: float = setting(
        0.0, "weight of how far two passes with other dropout are apart, 5 is usual; 0: one pass", "warn", ge=0
    )
    simcut: float = setting(
        0.0,
        "weight of how far a pass without some words is from the usual one, 3 is usual; 0: one pass",
        "warn",
        ge=0,
    )
    simcut_rate: float = setting(0.05, "simcut: share of words that are left out", "warn", ge=0, lt=1)
    guided_alignment: float = setting(
        0.0,
        "weight of how far the attention that aligns words is from --alignments; 0: they teach nothing",
        "warn",
        ge=0,
    )
    bpe_dropout: float = setting(
        0.0,
        "bpe tokenizers: cut training text anew in every epoch, leaving out merges with this probability; 0: none",
        "refuse",
        ge=0,
        lt=1,
    )
    unigram_temperature: float = setting(
        0.0,
        "unigram tokenizers: cut training text anew in every epoch, the higher the more at random; 0: not at random",
        "refuse",
        ge=0,
    )
    max_tokens: int = setting(
        4096,
        "tokens of the longer side in a batch, padding included; auto: as many as without this, with --split 0",
        "refuse",
        word="auto",
        ge=1,
        le=2**31,
    )
    layout: Literal["auto", "padded", "packed"] = setting(
        "auto", "how a batch lies in memory: a sentence in each row, or all of them end to end in one", "refuse"
    )
    split: int = setting(
        1, "parts of a batch computed one after the other, to save memory; 0: as few as fit", "warn", ge=0, le=65536
    )
    shard: bool = setting(False, "divide weights, gradients and moments among the processes", "warn")
    accumulate: int = setting(1, "batches of each process in one optimizer step", "warn", ge=1, le=65536)
    init_from: str = setting("", "run or checkpoint with whose weights to begin, to train them further", "refuse")
    lora_rank: int = setting(
        0,
        "with --init-from: learn nothing but updates of this rank to each matrix of attentions, feed-forward networks"
        " and, of recurrent models, around the cells; 0: learn all weights",
        "refuse",
        ge=0,
        le=65536,
    )
    lora_alpha: float = setting(16.0, "these updates are multiplied by this, divided by --lora-rank", "refuse", gt=0)
    max_steps: int = setting(0, "stop after this many steps; 0: no limit", "free", ge=0)
    max_epochs: int = setting(0, "stop after this many passes over the data; 0: no limit", "free", ge=0)
    max_minutes: float = setting(0, "stop after this much time, resumed runs added up; 0: no limit", "free", ge=0)
    validate_every: int = setting(1000, "steps between validations", "warn", ge=1)
    validation_lines: int = setting(
        1000, "validation sentences decoded each time, spread evenly; 0: all", "warn", ge=0
    )
    validation_decoding: Literal["greedy", "beam"] = setting("greedy", "how validation decodes", "warn")
    save_every: int = setting(1000, "steps between checkpoints", "free", ge=1)
    keep: int = setting(5, "newest checkpoints kept, beside the best", "free", ge=1)
    metric: Literal["bleu", "chrf", "loss"] = setting("bleu", "what the best checkpoint is chosen by", "refuse")
    patience: int = setting(10, "stop after this many validations without a new best; 0: never", "free", ge=0)
    samples: int = setting(3, "sample translations shown at each validation", "free", ge=0, le=100)
    tensorboard: bool = setting(False, "write TensorBoard event files too", "free")


BEAM, SAMPLING, MBR = ("beam",), ("sample", "mbr"), ("mbr",)
"""Strategies that share settings."""


class DecodingSettings(Section):
    """How translations are searched for."""

    decoding: str = setting("beam", "how translations are found", "warn")
    beam_size: int = setting(5, "hypotheses kept in beam search", "warn", BEAM, ge=1, le=1000)
    length_normalization: Literal["average", "gnmt", "none"] = setting(
        "average",
        "what divides a hypothesis' log-probability: its length, (5 + length) / 6, or nothing",
        "warn",
        BEAM,
    )
    length_penalty: float = setting(
        1.0, "exponent of what divides a hypothesis' log-probability; 0: none", "warn", BEAM, ge=0
    )
    beam_patience: float = setting(
        1.0,
        "ended hypotheses to wait for, as a multiple of the beam; 0: until none alive can win, which always ends it",
        "warn",
        BEAM,
        ge=0,
    )
    coverage_penalty: float = setting(
        0.0,
        "weight of the log of how much a translation looks at each source token, at most 1; 0: does not count",
        "warn",
        BEAM,
        ge=0,
    )
    diversity_groups: int = setting(
        1, "groups of the beam that avoid each other's words; 1: plain beam search", "warn", BEAM, ge=1, le=1000
    )
    diversity_strength: float = setting(
        0.5, "taken from a token's log-probability for each choice of it by the groups before", "warn", BEAM, ge=0
    )
    n_best: int = setting(1, "translations per sentence", "free", ge=1, le=1000)
    temperature: float = setting(1.0, "sampling: divides the logits", "free", SAMPLING, gt=0)
    top_k: int = setting(0, "sampling: keep the k likeliest tokens; 0: all", "free", SAMPLING, ge=0)
    top_p: float = setting(
        1.0, "sampling: keep the likeliest tokens that make up this probability", "free", SAMPLING, gt=0, le=1
    )
    min_p: float = setting(
        0.0, "sampling: keep tokens this many times as likely as the likeliest; 0: all", "free", SAMPLING, ge=0, le=1
    )
    epsilon_cutoff: float = setting(
        0.0, "sampling: keep tokens more likely than this; 0: all", "free", SAMPLING, ge=0, lt=1
    )
    sampling_seed: int = setting(
        1, "sampling: seed; a line's translation depends on it and the line only", "free", SAMPLING, ge=0
    )
    mbr_samples: int = setting(16, "mbr: samples among which translations are chosen", "free", MBR, ge=1, le=1000)
    mbr_utility: str = setting("chrf", "mbr: how alike a translation should be to all samples", "free", MBR)
    max_output_ratio: float = setting(
        2.0, "longest translation: this many tokens per source token, plus 20", "warn", gt=0
    )
    min_output_ratio: float = setting(
        0.0, "shortest translation: this many tokens per source token, if the longest has room", "warn", ge=0
    )
    no_repeat_ngram: int = setting(
        0, "no run of this many tokens occurs twice in a translation; 0: any may", "warn", ge=0
    )
    batch_tokens: int = setting(
        4096, "source tokens decoded together; of more than 8 hypotheses each, fewer", "free", ge=1
    )


class Recipe(Section):
    """A whole run: what `mtcli train` reads and what every checkpoint stores."""

    preset: str = setting("auto", "starting values by model size, or auto: by the size of the corpus", "refuse")
    data: DataSettings = DataSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    decoding: DecodingSettings = DecodingSettings()


SECTIONS: dict[str, type[Section]] = {
    "data": DataSettings,
    "tokenizer": TokenizerSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "decoding": DecodingSettings,
}


def declarations() -> Iterator[tuple[str, str, FieldInfo]]:
    """Every setting as (section, name, declaration); the section of `preset` is empty."""
    yield "", "preset", Recipe.model_fields["preset"]
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            yield section, name, field


def strategies_of(field: FieldInfo) -> Sequence[str]:
    """The ways of decoding whose translations a setting can change; empty: all of them."""
    return cast(Sequence[str], cast(dict[str, Any], field.json_schema_extra)["strategies"])


def word_of(field: FieldInfo) -> str:
    """The word that may be asked for instead of a number; empty: none."""
    return cast(str, cast(dict[str, Any], field.json_schema_extra)["word"])


def resume_rule(field: FieldInfo) -> Resume:
    """What a change of this setting means when a run resumes."""
    return cast(Resume, cast(dict[str, Any], field.json_schema_extra)["resume"])
