"""Energies to text."""

import math
import random
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from ebm_ocr import (
    LETTERS,
    Alphabet,
    best_word,
    exact_decode,
    free_energy,
    greedy_decode,
    lexicon_energies,
    most_offending,
    n_best,
    transform_word,
    word_energy,
    word_probability,
)


def clear_energies(*words, windows):
    """Energies whose lowest class spells each word, one window a symbol, separators behind."""
    energies = torch.zeros(len(words), windows, 27)
    energies[:, :, 26] = -1
    for b, word in enumerate(words):
        for i, symbol in enumerate(transform_word(word)):
            energies[b, i, symbol] = -2
    return energies


def test_words_are_read_from_the_lowest_classes():
    assert greedy_decode(clear_energies("ab", "hello", windows=12)) == ["ab", "hello"]


def test_the_vote_ignores_windows_past_the_end():
    energies = clear_energies("abc", "abc", windows=6)
    assert greedy_decode(energies, torch.tensor([2, 6])) == ["a", "abc"]


@pytest.mark.parametrize("lengths", [[1], [7, 1], [-1, 1]])
def test_bad_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="window_lengths"):
        greedy_decode(torch.zeros(2, 6, 27), torch.tensor(lengths))


def test_bad_rank_is_refused():
    with pytest.raises(ValueError, match=r"\(B, L, C\)"):
        greedy_decode(torch.zeros(6, 27))


def test_nan_is_no_energy():
    with pytest.raises(ValueError, match="got NaN"):
        greedy_decode(torch.full((1, 4, 27), float("nan")))


ROOT = Path(__file__).parents[1]


TOPOLOGIES = ["required", "optional"]


def draw(*shape, seed=0, kind="normal"):
    energies = torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    if kind == "tied":
        return energies.round()
    if kind == "constant":
        return torch.full_like(energies, 0.1)
    if kind == "forbidden":
        return energies.masked_fill(energies > 0.8, math.inf)
    return energies * (1e4 if kind == "wide" else 1)


def every_word(letters, longest, separators):
    """All words of up to so many letters."""
    shortest = 0 if separators == "optional" else 1
    return [
        "".join(w)
        for n in range(shortest, longest + 1)
        for w in product(LETTERS[:letters], repeat=n)
    ]


def energies_of(sample, words, separators, beta=math.inf):
    """Each word's free energy by the engine, one at a time;
    the empty word shows separators alone."""
    gap, found = sample.shape[1] - 1, {}
    for word in words:
        target = torch.tensor(
            [[s for letter in word for s in (LETTERS.index(letter), gap)] or [gap]]
        )
        lengths = None, torch.tensor([2 * len(word)])
        options = {"beta": beta, "separators": separators, "separator": gap, "infeasible": "inf"}
        found[word] = free_energy(sample[None], target, *lengths, **options).item()
    return found


@pytest.mark.parametrize("kind", ["normal", "tied", "constant", "forbidden", "wide"])
@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("windows", range(1, 9))
def test_n_best_are_the_first_of_all_words(windows, separators, kind):
    """Every word that fits in the windows, over three letters,
    or two where there are many windows."""
    letters = 3 if windows < 5 else 2
    sample = draw(windows, letters + 1, seed=windows, kind=kind)
    longest = windows if separators == "optional" else windows // 2
    every = energies_of(sample, every_word(letters, longest, separators), separators)
    expected = sorted(value for value in every.values() if value < math.inf)[:12]
    found = n_best(sample[None], 12, separators=separators)[0]
    assert len({text for text, *_ in found}) == len(found) == len(expected)
    np.testing.assert_allclose([energy for _, energy, _ in found], expected, rtol=1e-9, atol=1e-9)
    for text, energy, _ in found:
        assert energy == pytest.approx(every[text], rel=1e-9, abs=1e-9)
    if found:
        assert best_word(sample[None], separators=separators)[0].energy == pytest.approx(
            expected[0]
        )
    else:
        with pytest.raises(ValueError, match="sample 0 has no such word"):
            best_word(sample[None], separators=separators)


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("seed", range(20))
def test_most_offending_is_the_best_of_all_others(separators, seed):
    """The right word is each of all words up to three letters in turn,
    over the alphabets of one to three letters."""
    sample = draw(7, 2 + seed % 3, seed=seed)
    letters = sample.shape[1] - 1
    longest = 7 if separators == "optional" else 3
    every = energies_of(
        sample, every_word(letters, longest if letters < 3 else 4, separators), separators
    )
    rights = [word for word in every if 1 <= len(word) <= 3]
    found = most_offending(sample.expand(len(rights), -1, -1), rights, separators=separators)
    for right, (text, energy, _) in zip(rights, found):
        assert text != right
        assert energy <= min(value for word, value in every.items() if word != right) + 1e-9
        assert text not in every or energy == pytest.approx(every[text])


@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize(
    ("sure", "doubts", "other"),
    [
        ("cc__aa__b__", {8: "a"}, "caa"),  # another letter
        ("cc__aa__b__", {8: "_"}, "ca"),  # the last one is missing
        ("cc__aa__bb_", {4: "_", 5: "_"}, "cb"),  # one in the middle is missing
        ("cc__aaa__b_", {5: "_"}, "caab"),  # one is doubled
        ("cc_aa__bbb_", {8: "_"}, "cabb"),  # the last one is doubled
        ("cc__aa__b___", {10: "a"}, "caba"),  # one more behind
    ],
)
def test_most_offending_differs_by_as_little_as_one_letter(sure, doubts, other, separators):
    """Windows that are sure, but for one or two that could as well show something else."""
    classes = "abc_"
    energies = torch.full((1, len(sure), 4), 50.0)
    for window, symbol in enumerate(sure):
        energies[0, window, classes.index(symbol)] = 0.0
    for window, symbol in doubts.items():
        energies[0, window, classes.index(symbol)] = 1.0
    right = "cab"
    assert most_offending(energies, [right], separators=separators)[0].text == other


@pytest.mark.parametrize("beta", [0.3, 1.0, 5.0, math.inf])
@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("kind", ["normal", "forbidden", "wide"])
def test_rank_is_the_engine_word_by_word(kind, separators, beta):
    energies = torch.stack([draw(8, 4, seed=seed, kind=kind) for seed in range(3)])
    words = every_word(3, 4, "required")
    random.Random(0).shuffle(words)
    words += words[:3]  # twice the same
    lengths = torch.tensor([8, 5, 0])
    found = lexicon_energies(energies, words, lengths, beta, separators)
    for b in range(3):
        for n in range(0, len(words), 7):
            expected = word_energy(
                energies[b : b + 1], [words[n]], lengths[b : b + 1], beta, separators
            )
            torch.testing.assert_close(found[b, n], expected[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_probabilities_of_all_words_sum_to_one(separators, beta):
    energies = draw(1, 6, 3)
    words = every_word(2, 6, "required")
    shares = word_probability(energies.expand(len(words), -1, -1), words, None, beta, separators)
    empty = 0.0
    if separators == "optional":
        empty = math.exp(
            beta
            * (
                free_energy(energies, beta=beta, separators="optional", separator=2)
                - energies[0, :, 2].sum()
            )
        )
    assert shares.sum().item() + empty == pytest.approx(1.0)
    assert ((shares >= 0) & (shares <= 1)).all()


def test_probability_has_the_gradient_of_finite_differences():
    energies = draw(2, 6, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda e: word_probability(e, ["ab", "c"], torch.tensor([6, 5])), energies
    )


@pytest.mark.parametrize("separators", TOPOLOGIES)
def test_windows_past_the_end_do_not_count(separators):
    energies, lengths = draw(3, 9, 5), torch.tensor([9, 6, 4])
    padded = energies.masked_fill((torch.arange(9) >= lengths[:, None])[..., None], math.nan)
    together = n_best(padded, 4, lengths, separators)
    for b, length in enumerate(lengths.tolist()):
        assert n_best(energies[b : b + 1, :length], 4, None, separators)[0] == together[b]


def test_no_windows_say_the_empty_word_or_none():
    energies = draw(1, 4, 3)
    assert n_best(energies, 3, torch.tensor([0]), "optional") == [[("", 0.0, ())]]
    assert n_best(energies, 3, torch.tensor([0]), "required") == [[]]


def test_the_best_word_of_optional_separators_is_what_the_best_windows_collapse_to():
    energies = draw(5, 12, 27)
    readings = best_word(energies, separators="optional")
    for b, (_, energy, _) in enumerate(readings):
        assert energy == pytest.approx(energies[b].min(1).values.sum().item())
    assert greedy_decode(energies, separators="optional") == [text for text, *_ in readings]
    assert greedy_decode(energies) != greedy_decode(energies, separators="optional")


@pytest.mark.parametrize("call", [greedy_decode, best_word, lexicon_energies])
def test_log_probabilities_are_taken_for_what_they_are(call):
    log_probs = draw(2, 6, 4).log_softmax(2)
    words = [["a"]] if call is lexicon_energies else []
    call(-log_probs, *words, alphabet=Alphabet("abc"))
    with pytest.warns(UserWarning, match="look like log-probabilities: pass -log_probs"):
        call(log_probs, *words, alphabet=Alphabet("abc"))


@pytest.mark.parametrize("separators", ["required", "optional"])
def test_ties_without_number_do_not_stop_the_search(separators):
    """In every second window each letter costs the same: 26 ** 50 words tie,
    summed in another order each."""
    energies = torch.full((1, 100, 27), 50.0, dtype=torch.float64)
    energies[:, 0::2, :26], energies[:, 1::2, 26] = 0, 0
    energies += 7 * torch.rand(
        1, 100, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    found = n_best(energies, 20, separators=separators)[0]
    assert len({reading.text for reading in found}) == 20
    for reading in found:
        assert reading.energy == pytest.approx(energies.amin(2).sum().item())


@pytest.mark.parametrize("separators", ["required", "optional"])
@pytest.mark.parametrize("mask", [1e8, 1e12, torch.finfo(torch.float32).max, math.inf])
def test_large_finite_energies_forbid_as_well_as_infinite_ones(mask, separators):
    energies = torch.randn(1, 30, 27, generator=torch.Generator().manual_seed(0))
    energies[:, :, 20:26] = math.inf
    expected = n_best(energies, 5, separators=separators)[0]
    energies[:, :, 20:26] = mask
    found = n_best(energies, 5, separators=separators)[0]
    assert [reading.text for reading in found] == [reading.text for reading in expected]
    assert [reading.energy for reading in found] == pytest.approx(
        [reading.energy for reading in expected]
    )


@pytest.mark.parametrize("offset", [-1e12, 1e6, 1e12])
def test_the_level_of_the_energies_changes_no_word(offset):
    energies = torch.randn(
        1, 30, 27, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    raised = energies + offset
    expected = n_best(raised - offset, 5)[0]  # rounded as the raised ones are
    assert [reading.text for reading in n_best(raised, 5)[0]] == [
        reading.text for reading in expected
    ]


def test_empty_word_is_one_where_separators_are_optional():
    energies = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.tensor([5, 3])
    silence = torch.stack([energies[0, :, 3].sum(), energies[1, :3, 3].sum()])
    torch.testing.assert_close(
        word_energy(energies, ["", ""], lengths, separators="optional"), silence
    )
    ranked = lexicon_energies(energies, ["a", "", "abcabc"], lengths, separators="optional")
    torch.testing.assert_close(ranked[:, 1], silence)
    assert ranked[:, 2].isinf().all()
    every = n_best(energies, 10_000, lengths, "optional")[0]
    probabilities = [
        word_probability(energies[:1], [text], separators="optional").item() for text, *_ in every
    ]
    assert "" in [text for text, *_ in every]
    assert sum(probabilities) == pytest.approx(1)


def test_what_does_not_fit_has_probability_zero_and_no_gradient():
    energies = torch.randn(2, 4, 3, requires_grad=True)
    found = word_probability(energies, ["a", "ab"], torch.tensor([1, 3]))
    assert found.tolist() == [0, 0]
    found.sum().backward()
    assert (energies.grad == 0).all()
    assert word_probability(torch.full((1, 4, 3), math.inf), ["a"]).tolist() == [0]


def test_ranks_of_half_precision_are_in_single():
    energies = (
        0.1 * torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0)) - 10
    ).bfloat16()
    words = [reading.text for reading in n_best(energies, 50)[0]][::-1]
    found = lexicon_energies(energies, words)
    assert found.dtype == torch.float32
    assert found.min().item() == pytest.approx(best_word(energies)[0].energy)
    assert len(found.unique()) > 1  # at 404, the numbers of half precision are 2 apart


@pytest.mark.slow
def test_search_reads_what_the_vote_reads_where_energies_are_clear(trained):
    from ebm_ocr import SimpleWordsDataset, collate_fn

    model, _ = trained
    samples = [SimpleWordsDataset(6, 20, seed=10_500)[i] for i in range(20)]
    batch = collate_fn(samples)
    with torch.no_grad():
        energies = model(batch.images)
    texts = [text for _, text in samples]
    assert [text for text, *_ in best_word(energies, batch.window_lengths)] == texts
    assert greedy_decode(energies, batch.window_lengths) == texts
    offending = most_offending(energies, texts, batch.window_lengths)
    for right, best, (other, energy, _) in zip(
        texts, best_word(energies, batch.window_lengths), offending
    ):
        assert other != right
        assert energy > best.energy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: n_best(e, 0), "n at least 1, got 0"),
        (lambda e: n_best(e, 1, separators="some"), "'required' or 'optional', got 'some'"),
        (lambda e: n_best(e, 1, torch.tensor([5, 9])), r"window_lengths in 0..5, got \[5, 9\]"),
        (lambda e: n_best(torch.zeros(1, 3, 28), 1), "2..27 classes"),
        (lambda e: n_best(e * math.nan, 1), "above -inf, got NaN"),
        (lambda e: most_offending(e, ["a"]), "expected 2 words, one a sample, got 1"),
        (lambda e: word_energy(e, ["a", "b", "c"]), "expected 2 words, one a sample, got 3"),
        (lambda e: lexicon_energies(e, []), "at least one word"),
        (lambda e: lexicon_energies(e, ["ab", "az"]), r"symbols a\.\.c, got 'z' in 'az'"),
        (lambda e: lexicon_energies(e, ["ab", ""]), "got ''"),
        (lambda e: word_energy(e, ["ab", "d"]), r"symbols a\.\.c, got 'd'"),
        (lambda e: word_probability(e, ["ab", ""]), "got ''"),
        (lambda e: most_offending(e, ["ab", "Ab"]), "'A' in 'Ab'"),
        (lambda e: lexicon_energies(e, ["ab"], beta=0), r"beta in \(0, inf\]"),
        (lambda e: word_probability(e, ["a", "b"], beta=math.inf), "finite beta"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 5, 4))


@pytest.mark.parametrize("words", ["ab", [0, 1]])
@pytest.mark.parametrize("call", [lexicon_energies, most_offending, word_energy, word_probability])
def test_one_string_is_no_list_of_words(call, words):
    with pytest.raises(
        TypeError, match="expected a list of words, each a str or a list of symbols, got"
    ):
        call(torch.zeros(2, 5, 4), words)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probability_survives_energies_far_from_zero(dtype):
    """Energies of thousands, whose differences are rounding in single precision."""
    energies = (torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0)) - 500).to(dtype)
    words = [reading.text for reading in n_best(energies, 5)[0]]
    found = [word_probability(energies, [word], beta=3.0) for word in words]
    expected = [word_probability(energies.double(), [word], beta=3.0) for word in words]
    assert 1e-5 < expected[0].item() < 1
    torch.testing.assert_close(torch.stack(found), torch.stack(expected).float())


def test_probability_of_the_only_word_is_one_and_not_more():
    energies = 1e4 * torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0))
    texts = [reading.text for reading in best_word(energies)]
    assert word_probability(energies, texts).tolist() == [1.0] * 3


@pytest.mark.parametrize("call", [most_offending, word_energy, word_probability, lexicon_energies])
def test_energies_of_another_rank_are_refused(call):
    with pytest.raises(ValueError, match=r"\(B, L, C\), none of them zero, got \(2, 5\)"):
        call(torch.zeros(2, 5), ["a", "b"])


SYMBOLS_OF_THREE = ("α", "β", "γ")


@pytest.mark.parametrize("kind", ["normal", "tied", "forbidden"])
@pytest.mark.parametrize("separators", TOPOLOGIES)
@pytest.mark.parametrize("charset", [None, "α-β", ["γ"]])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_any_alphabet_and_charset_are_their_enumeration(gap, charset, separators, kind):
    """The separator first, in the middle and last."""
    alphabet = Alphabet(SYMBOLS_OF_THREE, gap)
    sample = draw(5, 4, seed=gap, kind=kind)
    allowed = {None: "αβγ", "α-β": "αβ"}.get(charset if charset is None else str(charset), "γ")
    longest = 5 if separators == "optional" else 2
    words = [
        "".join(word)
        for n in range(separators == "required", longest + 1)
        for word in product(allowed, repeat=n)
    ]
    options = {"separators": separators, "alphabet": alphabet}
    every = {}
    for word in words:
        target, lengths = torch.tensor([alphabet.spelling(word) if word else [gap]]), len(word)
        inputs = sample[None], target, None, torch.tensor([2 * lengths]), math.inf
        every[word] = free_energy(*inputs, separators, gap, infeasible="inf").item()
    expected = sorted(energy for energy in every.values() if energy < math.inf)
    found = n_best(sample[None], 9999, charset=charset, **options)[0]
    np.testing.assert_allclose([reading.energy for reading in found], expected, rtol=1e-9)
    for text, energy, classes in found:
        assert set(text) <= set(allowed)
        assert classes == tuple(alphabet.encode(text))
        assert energy == pytest.approx(every[text])
    listed = lexicon_energies(sample[None], words, **options)[0]
    np.testing.assert_allclose(listed, [every[word] for word in words], rtol=1e-9)
    if len(expected) > 1:
        other = most_offending(sample[None], [found[0].text], charset=charset, **options)[0]
        assert other.energy == pytest.approx(expected[1])
        best = best_word(sample[None], charset=charset, **options)[0]
        assert best.energy == pytest.approx(expected[0])
    given = sample[None].expand(len(words), -1, -1)
    shares = word_probability(given, words, charset=charset, **options)
    assert shares.sum().item() == pytest.approx(1.0 if expected else 0.0)
    if charset is not None:
        outside = next(symbol for symbol in "αβγ" if symbol not in allowed)
        assert word_probability(sample[None], [outside], charset=charset, **options).item() == 0


def test_the_vote_takes_any_alphabet_and_charset():
    alphabet = Alphabet(SYMBOLS_OF_THREE, 0)
    energies = torch.full((1, 5, 4), 9.0)
    for window, symbol in enumerate((1, 1, 0, 3, 0)):
        energies[0, window, symbol] = 0
    energies[0, 3, 2] = 1.0
    assert greedy_decode(energies, alphabet=alphabet) == ["αγ"]
    assert greedy_decode(energies, alphabet=alphabet, charset="α-β") == ["αβ"]
    assert exact_decode(energies, alphabet=alphabet, charset="α-β") == ["αβ"]
    with pytest.raises(
        ValueError, match=r"expected 27 classes, the symbols a\.\.z and a separator, got 4"
    ):
        greedy_decode(energies)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read on Linux")
def test_fifty_thousand_classes_are_searched_in_little_memory():
    command = [sys.executable, "-m", "benchmarks.decoding", "50000"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    seconds, megabytes = map(float, re.search(r": ([\d.]+) s, (\d+) MB", run.stdout).groups())
    assert seconds < 5  # 0.8 alone
    assert 0 < megabytes < 500
