"""Labels and scores."""

import pytest

from ebm_ocr.reader.scores import edit_distance, read_labels, score


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("abc", "abc", 0), ("abcd", "bcda", 2)],
)
def test_edit_distance(first, second, edits):
    assert edit_distance(first, second) == edit_distance(second, first) == edits


def test_scores_have_intervals_around_them():
    texts = ["word"] * 100
    words, errors = score(texts, ["word"] * 90 + ["ward"] * 10)
    assert words.share == pytest.approx(0.9)
    assert 0.82 < words.low < 0.87 < 0.93 < words.high < 0.97
    assert errors.share == pytest.approx(0.025)
    assert errors.low < errors.share < errors.high


def test_labels_are_lines_of_image_and_word(tmp_path):
    (tmp_path / "a.png").touch()
    file = tmp_path / "labels.tsv"
    file.write_text("a.png\tone\r\n\na.png\ttwo\n", encoding="utf-8")
    assert [(label.line, label.text) for label in read_labels(file)] == [(1, "one"), (3, "two")]
    for text, message in (
        ("a.png\n", "line 1: expected 'image TAB word'"),
        ("a.png\tx\nb.png\ty", "line 2: expected an image, found none"),
        ("", "got none in"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read_labels(file)
    file.write_bytes(b"a.png\t\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        read_labels(file)
