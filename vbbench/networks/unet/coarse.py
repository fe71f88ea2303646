"""The coarse stage: an image prompt becomes a few word embeddings of the text encoder (VideoBooth,
section 3.2).

Shape suffixes: B batch, L tokens of a text, E embeddings of an image prompt, P patches of a
picture, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import CLIPTextModel


class Mapper(nn.Module):
    """Maps hidden states of an image encoder to word embeddings, one embedding a level.

    Each level adds what it reads from the class token to the mean of what it reads from the
    patches.

    Args:
        levels: hidden states read, and embeddings made.
        input_dim: width of the image encoder.
        hidden_dim: width inside.
        output_dim: width of the text encoder's word embeddings.
    """

    def __init__(
        self, levels: int = 5, input_dim: int = 1024, hidden_dim: int = 1024, output_dim: int = 768
    ) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(
            perceptron(input_dim, hidden_dim, output_dim) for _ in range(levels)
        )
        self.mapping_patch = nn.ModuleList(
            perceptron(input_dim, hidden_dim, output_dim) for _ in range(levels)
        )

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Word embeddings of image prompts.

        Args:
            states: one (B, 1 + P, D) tensor a level, class token first. Released: the last hidden
                state of CLIP ViT-L/14 without the final norm, then hidden states 4, 8, 12 and 16.
        Returns:
            (B, E, D') with E = levels.
        Raises:
            ValueError: as many states as levels are needed.
        """
        if len(states) != len(self.mapping):
            raise ValueError(
                f"{len(states)} hidden states for a mapper of {len(self.mapping)} levels"
            )
        levels = zip(states, self.mapping, self.mapping_patch, strict=True)
        return torch.stack(
            [token(x[:, 0]) + patch(x[:, 1:]).mean(1) for x, token, patch in levels], dim=1
        )


def perceptron(input_dim: int, hidden_dim: int, output_dim: int) -> nn.Sequential:
    """Three linear layers with norms and leaky ReLUs between them, as in the released mappers."""
    return nn.Sequential(
        nn.Linear(input_dim, hidden_dim),
        nn.LayerNorm(hidden_dim),
        nn.LeakyReLU(),
        nn.Linear(hidden_dim, hidden_dim),
        nn.LayerNorm(hidden_dim),
        nn.LeakyReLU(),
        nn.Linear(hidden_dim, output_dim),
    )


def find_word(input_ids_BL: Tensor, first_tokens: Sequence[int]) -> list[list[int]]:
    """Where each text's subject word starts: every position of its first token.

    Only the first token is compared, as released: use a placeholder token that no other word begins
    with.

    Args:
        input_ids_BL: token ids.
        first_tokens: the first token of the word, one a text.
    Returns:
        One list of positions a text, ascending; empty where the word does not occur.
    """
    rows = zip(input_ids_BL.tolist(), first_tokens, strict=True)
    return [
        [position for position, token in enumerate(row) if token == first] for row, first in rows
    ]


def inject_word_embeddings(
    token_embeddings_BLD: Tensor,
    embeddings_BED: Tensor,
    starts: Sequence[Sequence[int]],
    num_word_tokens: Sequence[int],
) -> Tensor:
    """Texts whose subject word is replaced by an image prompt's embeddings; the words after it move
    up or back.

    The released rules where they are not obvious: what is pushed past the end is cut. If the word
    had more tokens than there are embeddings, the end is filled with the text's own last
    embeddings; if such a word is itself cut by the end, nothing moves. A second occurrence is
    written at its position in the *original* text, with the original words after it, over whatever
    the first one left there.

    Args:
        token_embeddings_BLD: the texts' token embeddings, without positions.
        embeddings_BED: the image prompts' embeddings.
        starts: where the word starts, any number of times a text (`find_word`).
        num_word_tokens: tokens of the word, one number a text.
    Returns:
        (B, L, D); gradients flow to both inputs.
    Raises:
        ValueError: the batch sizes differ.
    """
    length, count = token_embeddings_BLD.shape[1], embeddings_BED.shape[1]
    if not len(token_embeddings_BLD) == len(embeddings_BED) == len(starts) == len(num_word_tokens):
        raise ValueError("texts, embeddings, starts and word lengths must be equally many")
    words = zip(starts, num_word_tokens, strict=True)
    sources = [_sources(length, count, positions, tokens) for positions, tokens in words]
    index_BL = torch.tensor(sources, device=token_embeddings_BLD.device)
    both = torch.cat([token_embeddings_BLD, embeddings_BED.to(token_embeddings_BLD.dtype)], dim=1)
    return both.gather(1, index_BL.unsqueeze(-1).expand(-1, -1, both.shape[-1]))


def _sources(length: int, count: int, starts: Sequence[int], word: int) -> list[int]:
    """For each position of the new text, its place in [text; embeddings]."""
    original = list(range(length))
    new = list(original)
    for start in starts:
        surplus = word - count
        if surplus <= 0:
            new[start + count :] = (
                original[start + word : length + surplus] if start + count < length else []
            )
        elif start + word <= length:
            new[start + count :] = original[start + word :] + original[length - surplus :]
        end = min(start + count, length)
        new[start:end] = range(length, length + end - start)
    return new


@dataclass(frozen=True)
class TextStates:
    """Output of a text encoder.

    Attributes:
        last_hidden_BLD: states after the final norm.
        pooled_BD: the state at the end-of-text token.
    """

    last_hidden_BLD: Tensor
    pooled_BD: Tensor


def encode_text_with_embeddings(
    text_model: CLIPTextModel,
    input_ids_BL: Tensor,
    embeddings_BED: Tensor | None = None,
    starts: Sequence[Sequence[int]] = (),
    num_word_tokens: Sequence[int] = (),
) -> TextStates:
    """CLIP's text encoder on texts whose subject word is replaced by an image prompt's embeddings.

    Runs the encoder's own parts, since its ``forward`` takes token ids only. The mask is causal and
    ignores padding, as in Stable Diffusion.

    Args:
        text_model: a transformers 5 text model.
        input_ids_BL: token ids; their largest is the end of the text.
        embeddings_BED: the image prompts' embeddings, or None: the plain text.
        starts: see `inject_word_embeddings`.
        num_word_tokens: see `inject_word_embeddings`.
    Returns:
        Hidden states and pooled states. The pooled state is read where the end stood *before* words
        moved, as released.
    Raises:
        ValueError: the batch sizes differ, or the texts are longer than the encoder's positions.
    """
    tokens_BLD = text_model.embeddings.token_embedding(input_ids_BL)
    if embeddings_BED is not None:
        tokens_BLD = inject_word_embeddings(tokens_BLD, embeddings_BED, starts, num_word_tokens)
    hidden = text_model.embeddings(inputs_embeds=tokens_BLD)
    length = hidden.shape[1]
    blocked = torch.full(
        (length, length), torch.finfo(hidden.dtype).min, dtype=hidden.dtype, device=hidden.device
    )
    hidden = text_model.encoder(
        inputs_embeds=hidden, attention_mask=blocked.triu(1)[None, None]
    ).last_hidden_state
    hidden = text_model.final_layer_norm(hidden)
    rows = torch.arange(len(hidden), device=hidden.device)
    return TextStates(hidden, hidden[rows, input_ids_BL.argmax(-1)])
