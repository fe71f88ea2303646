"""The word tokenizer, and the text encoder that is built for it."""

from __future__ import annotations

import pytest
import torch

from vbbench.errors import InputError
from vbbench.networks.network import ClipTokenizer, TextConfig, WordTokenizer, build_text_encoder

WORDS = ("a", "cat", "dog", "guide", "on", "road", "the")
A, CAT, DOG, GUIDE, ON, ROAD, THE, START, END = range(9)


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer(WORDS, max_length=7)


def test_start_words_and_ends_up_to_the_full_length(tokenizer: WordTokenizer) -> None:
    ids = tokenizer(["a cat on the road", "dog", ""])
    assert ids.dtype == torch.int64
    assert ids.tolist() == [
        [START, A, CAT, ON, THE, ROAD, END],
        [START, DOG, *[END] * 5],
        [START, *[END] * 6],
    ]
    assert tokenizer.vocab_size == len(WORDS) + 2
    assert tokenizer([]).shape == (0, 7)


def test_case_and_punctuation_do_not_matter(tokenizer: WordTokenizer) -> None:
    assert torch.equal(tokenizer(["A cat, on the ROAD!"]), tokenizer(["a cat on the road"]))


def test_all_unknown_words_are_named_once_with_what_is_known(tokenizer: WordTokenizer) -> None:
    with pytest.raises(InputError) as caught:
        tokenizer(["a dog", "a zebra on a Zebra skateboard"])
    message = str(caught.value)
    assert message.count("'zebra'") == 1
    assert "'skateboard'" in message
    assert "'a zebra on a Zebra skateboard'" in message
    assert "a, cat, dog, guide" in message
    assert "\n" not in message


def test_of_very_many_unknown_words_the_first_are_named(tokenizer: WordTokenizer) -> None:
    with pytest.raises(InputError, match=r"'w7' and 4 more words"):
        tokenizer([" ".join(f"w{number}" for number in range(12))])


def test_a_text_of_more_words_than_fit_is_refused_not_cut(tokenizer: WordTokenizer) -> None:
    assert tokenizer(["a cat a dog a"]).tolist() == [[START, A, CAT, A, DOG, A, END]]
    with pytest.raises(InputError, match="8 words; the miniature text encoder reads at most 5"):
        tokenizer(["a cat a dog a cat a dog"])


@pytest.mark.parametrize(
    ("text", "word", "place"),
    [
        ("a cat on the road", "cat", (2, 1)),
        ("a cat on the road", "Road", (5, 1)),
        ("a guide dog on road", "guide dog", (2, 2)),
        ("the cat, a cat", "cat", (2, 1)),
        ("a guide, a guide dog", "guide dog", (4, 2)),
    ],
)
def test_words_are_found_where_their_tokens_stand(
    tokenizer: WordTokenizer, text: str, word: str, place: tuple[int, int]
) -> None:
    assert tokenizer.locate(text, word) == place
    at, count = place
    ids = tokenizer([text])[0, at : at + count].tolist()
    assert [WORDS[i] for i in ids] == word.lower().split()


@pytest.mark.parametrize(
    ("text", "word"),
    [("a cat", "dog"), ("a cat", "ca"), ("the dog guide", "guide dog"), ("a cat", ""), ("", "cat")],
)
def test_a_word_that_does_not_stand_in_the_text_is_told(
    tokenizer: WordTokenizer, text: str, word: str
) -> None:
    with pytest.raises(InputError, match="does not stand in the text"):
        tokenizer.locate(text, word)


def test_the_encoder_is_causal_and_reads_words_not_what_follows_them() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = build_text_encoder(
            TextConfig(vocab_size=9, width=8, feed_forward=16, layers=2, heads=2, max_length=7), END
        ).eval()
    tokenizer = WordTokenizer(WORDS, 7)
    with torch.no_grad():
        one, other = encoder(
            input_ids=tokenizer(["a cat on the road", "a cat on a dog"])
        ).last_hidden_state
    assert one.shape == (7, 8)
    torch.testing.assert_close(one[:4], other[:4])
    assert (one[4:] - other[4:]).abs().amax(-1).min() > 1e-4


@pytest.fixture(scope="module")
def pairs() -> ClipTokenizer:
    return ClipTokenizer()


def test_byte_pairs_are_clips_padded_as_stable_diffusion_pads(pairs: ClipTokenizer) -> None:
    """The ids of "a photo of a dog" are those of openai/clip-vit-large-patch14."""
    (row,) = pairs(["a photo of a dog"]).tolist()
    assert row == [49406, 320, 1125, 539, 320, 1929, *[49407] * 71]


def test_byte_pairs_are_open_clips_up_to_the_padding(pairs: ClipTokenizer) -> None:
    import open_clip

    texts = ["Ein Bär, zwei Bären!", "an elephant's trunk", "", "sks dog running on the beach 🌊"]
    theirs = open_clip.get_tokenizer("ViT-L-14")(texts)
    ours = pairs(texts)
    ends = theirs.argmax(1)
    for mine, other, end in zip(ours, theirs, ends, strict=True):
        assert mine[: end + 1].tolist() == other[: end + 1].tolist()
        assert set(mine[end:].tolist()) == {49407}


@pytest.mark.parametrize(
    ("text", "word", "place"),
    [
        ("a dog runs", "dog", (2, 1)),
        ("A Dog runs", "dog", (2, 1)),
        ("the snow leopard sleeps", "snow leopard", (2, 2)),
    ],
)
def test_words_are_found_among_byte_pairs(
    pairs: ClipTokenizer, text: str, word: str, place: tuple[int, int]
) -> None:
    assert pairs.locate(text, word) == place


def test_byte_pairs_refuse_what_does_not_fit_or_stand_there(pairs: ClipTokenizer) -> None:
    with pytest.raises(InputError, match="has 80 tokens, and the text encoder reads 75"):
        pairs(["dog " * 80])
    with pytest.raises(InputError, match="'cat' does not stand"):
        pairs.locate("a dog and a caterpillar", "cat")
