"""The reader that comes with the package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_ocr import kernels
from ebm_ocr.reader import Reader
from ebm_ocr.reader.checkpoint import Checkpoint, read_checkpoint
from ebm_ocr.reader.degradation import CLEAN
from ebm_ocr.reader.fonts import default_face
from ebm_ocr.reader.reading import WEIGHTS, from_weights
from ebm_ocr.reader.words import draw_words, write

WORDS = ["hello", "World", "42", "Reader", "of", "apple", "UPPER", "2026-11-27", "a", "mississippi"]


@pytest.fixture(scope="module")
def reader():
    return Reader.load()


def draw(*words, size=20):
    """Clean images of words, and the boxes of their letters."""
    rng = np.random.default_rng(0)
    batch = draw_words([write(rng, default_face(), word, size, CLEAN) for word in words])
    images = [
        (image[0, :, :width] * 255).byte().numpy()
        for image, width in zip(batch.images, batch.widths)
    ]
    return images, batch.boxes


def texts(words):
    return [word.text for word in words]


def test_clean_words_are_read(reader):
    found = texts(reader.read(draw(*WORDS)[0]))
    assert sum(a == b for a, b in zip(found, WORDS)) >= len(WORDS) - 1


def test_an_image_alone_is_read_as_in_any_batch(reader):
    images, _ = draw(*WORDS * 8)
    together = reader.read(images)
    for image, word in list(zip(images, together))[: len(WORDS)]:
        alone = reader.read(image)[0]
        assert alone.text == word.text
        assert alone.confidence == pytest.approx(word.confidence, abs=1e-4)


def test_kinds_of_images_are_mixed_in_a_batch(reader, tmp_path):
    image = draw("hello")[0][0]
    Image.fromarray(image).save(tmp_path / "hello.png")
    large = np.kron(image, np.ones((4, 4), np.uint8))
    page = np.pad(image, 200, constant_values=image[0, 0])
    kinds = [image, 255 - image, tmp_path / "hello.png", torch.from_numpy(image), large, page]
    kinds += [Image.fromarray(image), np.dstack([image] * 3)]
    assert texts(reader.read(kinds)) == ["hello"] * len(kinds)
    assert reader.read([]) == []


def test_a_blank_image_is_empty_with_a_confidence(reader):
    word = reader.read(np.full((40, 90), 255, np.uint8))[0]
    assert word.text == ""
    assert word.letters == ()
    assert word.confidence > 0.5


@pytest.mark.parametrize(
    ("charset", "allowed"), [("0-9", "0123456789"), ("a-f", "abcdef"), (["x", "y"], "xy")]
)
def test_nothing_but_the_charset_is_read(reader, charset, allowed):
    for word in reader.read(draw(*WORDS)[0], charset=charset, n_best=3):
        for text in (word.text, *(other.text for other in word.alternatives)):
            assert set(text) <= set(allowed)


def test_the_best_of_a_lexicon_is_read_and_shares_sum_to_one(reader):
    lexicon = ["hello", "hallo", "yellow"]
    word = reader.read(draw("hello")[0], lexicon=lexicon, n_best=3)[0]
    assert word.text == "hello"
    shares = [word.confidence, *(other.confidence for other in word.alternatives)]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    nothing = reader.read(draw("hello")[0], lexicon=["x" * 200])[0]
    assert nothing.confidence == 0


def test_alternatives_are_other_texts_by_energy(reader):
    word = reader.read(draw("hello")[0], n_best=4)[0]
    every = [word.text, *texts(word.alternatives)]
    assert len(set(every)) == 4
    assert every[0] == reader.read(draw("hello")[0])[0].text
    assert 0 < sum(o.confidence for o in word.alternatives) + word.confidence <= 1 + 1e-6
    assert word.confidence == pytest.approx(np.exp(-reader.beta * word.energy), rel=0.5)


def test_letters_have_their_boxes_in_the_image(reader):
    image, (truth,) = draw("hamper", size=24)
    for times in (1, 3):
        large = np.kron(image[0], np.ones((times, times), np.uint8))
        word = reader.read(large)[0]
        assert word.text == "hamper"
        found = np.array([letter.box for letter in word.letters]) / times
        assert np.abs(found - truth).mean() <= 1.5
        assert all(0 < letter.confidence <= 1 for letter in word.letters)
        assert "".join(letter.symbol for letter in word.letters) == "hamper"


def test_what_the_reader_does_not_know_is_refused(reader):
    image = draw("a")[0]
    with pytest.raises(ValueError, match="'é'"):
        reader.read(image, charset="é")
    with pytest.raises(ValueError, match="'ü'"):
        reader.read(image, lexicon=["grün"])
    with pytest.raises(TypeError, match="list of words"):
        reader.read(image, lexicon="word")
    with pytest.raises(ValueError, match="at least one word"):
        reader.read(image, lexicon=[])
    with pytest.raises(ValueError, match="n_best at least 1"):
        reader.read(image, n_best=0)
    with pytest.raises(TypeError, match="paths, PIL images"):
        reader.read(3)


def test_weights_are_small_and_say_what_they_are():
    assert WEIGHTS.stat().st_size <= 1.5e6
    about = read_checkpoint(WEIGHTS).about
    assert {"alphabet", "geometry", "channels", "depth", "beta", "recipe", "commit"} <= {*about}
    json.dumps(about)


def test_other_weights_are_refused(tmp_path):
    tensors, about = read_checkpoint(WEIGHTS)
    with pytest.raises(ValueError, match="of another kind"):
        from_weights(Checkpoint(tensors, {"step": 3}), "some")
    with pytest.raises(ValueError, match="expected weights for"):
        from_weights(Checkpoint(tensors, about | {"geometry": {"height": 48}}), "some")
    with pytest.raises(ValueError, match="got others in some"):
        from_weights(Checkpoint(tensors, about | {"depth": 9}), "some")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        Reader.load(tmp_path / "none.safetensors")


FRESH = """
import sys, numpy as np
from ebm_ocr.reader import Reader
image = np.full((32, 60), 255, np.uint8); image[8:24, 20:23] = 0
print(Reader.load().read(image)[0].text)
print("numba" in sys.modules)
"""


def test_the_first_image_waits_for_no_compiler():
    run = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout.splitlines()[1] == "False"


def test_plain_torch_and_the_kernels_read_the_same(reader, monkeypatch):
    images, _ = draw(*WORDS)
    compiled = reader.read(images)
    monkeypatch.setattr(kernels, "_asked", 0)
    monkeypatch.setattr(kernels, "_on_cpu", lambda: pytest.fail("compiled kernels were used"))
    kernels._on_cpu.cache_info = lambda: type("Info", (), {"currsize": 0})
    for plain, word in zip(reader.read(images), compiled):
        assert plain.text == word.text
        assert plain.confidence == pytest.approx(word.confidence, rel=1e-9)
        assert plain.letters == word.letters


def test_nothing_is_downloaded():
    code = f"import socket\nsocket.socket.connect = None\n{FRESH}"
    env = {**os.environ, "HOME": "/nowhere"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False)
    assert run.returncode == 0, run.stderr.decode()
