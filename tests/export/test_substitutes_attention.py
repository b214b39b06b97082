"""Attention of any rank and mask, and what nn.MultiheadAttention makes of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_near, assert_same, numbers
from torch import Tensor, nn

from ganrt_export.substitutes import Substitutes
from ganrt_export.trace import quiet

few = st.integers(1, 5)


@given(
    leading=st.lists(st.integers(1, 3), max_size=3), queries=few, keys=few, size=few,
    mask=st.sampled_from(["none", "bool", "float", "causal", "all"]), scale=st.one_of(st.none(), st.floats(0.1, 2)),
)  # fmt: skip
def test_it_is_pytorchs(leading: list[int], queries: int, keys: int, size: int, mask: str, scale: float | None) -> None:
    q, k, v = (numbers(*leading, n, size, seed=seed) for seed, n in enumerate((queries, keys, keys)))
    given_mask = {
        "bool": numbers(queries, keys, seed=7) > 0,
        "float": numbers(queries, keys, seed=7),
        "all": torch.zeros(queries, keys, dtype=torch.bool),
    }.get(mask)
    options = {"attn_mask": given_mask, "is_causal": mask == "causal", "scale": scale}
    assert_same(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options), q, k, v)


def test_grouped_queries() -> None:
    q, k = numbers(2, 6, 5, 4), numbers(2, 3, 5, 4, seed=1)
    mask = numbers(5, 5) > -1
    assert_same(lambda q, k: F.scaled_dot_product_attention(q, k, k, mask, enable_gqa=True), q, k)


class Block(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.cat([torch.zeros_like(x[:, :1, 0]), x[:, 1:, 0]], 1) > 0
        if self.how == "masked places":
            y: Tensor = self.attention(x, x, x, key_padding_mask=hidden)[0]
            return y
        if self.how == "causal":
            later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            z: Tensor = self.attention(x, x, x, attn_mask=later, need_weights=False)[0]
            return z
        w: Tensor = self.encoder(x, src_key_padding_mask=hidden if self.how == "encoder, masked" else None)
        return w


@pytest.mark.parametrize("how", ["masked places", "causal", "encoder", "encoder, masked"])
def test_a_graph_has_multi_head_attention_for_every_batch(how: str) -> None:
    torch.manual_seed(0)
    block = Block(how).eval().requires_grad_(False)
    torch.backends.mha.set_fastpath_enabled(False)  # which gives zeros in masked places
    try:
        assert_exported(block, lambda batch: (numbers(batch, 5, 8, seed=batch),))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


FUNCTIONS = {
    "three axes": lambda q: F.scaled_dot_product_attention(q[:, 0], q[:, 1], q[:, 1]),
    "a mask that forbids everything": lambda q: F.scaled_dot_product_attention(q, q, q, (q.sum(-1) > 1)[:, :1, None]),
    "causal": lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_graph_has_it_for_every_batch_and_length(name: str) -> None:
    assert_exported(FUNCTIONS[name], lambda batch: (numbers(batch, 2, 4 + batch, 4, seed=batch),), axes=(0, 2))


class Decoder(nn.Module):
    """PyTorch looks whether the mask is the causal one."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(5)
        y: Tensor = self.decoder(x, x + 1, tgt_mask=mask)
        return y


def test_a_mask_that_may_be_causal_is_taken_as_it_is() -> None:
    torch.manual_seed(0)
    assert_exported(Decoder().eval().requires_grad_(False), lambda batch: (numbers(batch, 5, 8, seed=batch),))


class Inside(nn.Module):
    """Attention under the substitutes."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        with Substitutes():
            y: Tensor = self.attention(x, x, x)[0]
            return y.mT.tile(1, 1, 2)


def test_strict_tracing_follows_and_takes_no_fast_path() -> None:
    module, x = Inside().eval().requires_grad_(False), numbers(2, 5, 8)
    with quiet():
        program = torch.export.export(module, (x,), strict=True)
    assert not any("native_multi_head" in str(node.target) for node in program.graph.nodes)
    assert_near(program.module()(x), module(x))
