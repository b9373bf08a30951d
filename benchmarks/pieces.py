"""A corpus as files of pieces, such as the other toolkits read, by a tokenizer that is trained for it."""

from __future__ import annotations

from pathlib import Path

import measure

from mtcli.data import tokenizer
from mtcli.data.corpus import Account, open_corpora
from mtcli.settings import TokenizerSettings


def own_pieces(corpora: Path | None, size: int, scratch: Path) -> Path:
    """Multi30k, or else the sample corpus, as `size` pieces in files; the folder of these."""
    found = measure.corpora(corpora)
    prefix = found / "multi30k" / "train" if found else measure.ROOT / "data" / "sample" / "train"
    pairs = list(open_corpora([str(prefix)], "en", "de")[0].pairs(Account()))
    learnt = tokenizer.train(pairs, TokenizerSettings(vocab_size=size), scratch / "tokenizer").tokenizer
    vocabulary = learnt.pieces_source(range(tokenizer.EOS + 1, learnt.source_size))
    (scratch / "vocab.pieces").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    for language, lines in (("en", [pair.source for pair in pairs]), ("de", [pair.target for pair in pairs])):
        rows = [" ".join(learnt.pieces_source(row)) for row in learnt.encode_source(lines)]
        (scratch / f"train.sp.{language}").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return scratch
