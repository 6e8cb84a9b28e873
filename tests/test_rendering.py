"""Fonts, and the ink of words."""

from pathlib import Path

import matplotlib
import matplotlib.font_manager
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ebm_ocr import (
    HEIGHT,
    SimpleWordsDataset,
    collate_fn,
    default_font,
    rendering,
)

MORE_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def ink_columns(image):
    return image.sum(0).nonzero()[:, 0]


def test_default_image_has_18_pixels_a_letter_and_ink_is_1():
    image = SimpleWordsDataset(1).draw_text("hello")
    assert image.shape == (HEIGHT, 90)
    assert image.dtype == torch.float32
    assert image.min() == 0
    assert 0.9 < image.max() <= 1
    assert image.mean() < 0.3


@pytest.mark.parametrize("name", ["STIXGeneral.ttf", "cmr10.ttf", "DejaVuSans-Bold.ttf"])
def test_any_font_by_path(name):
    path = MORE_FONTS / name
    image = SimpleWordsDataset(1, font=path).draw_text("wombat")
    assert not torch.equal(image, SimpleWordsDataset(1).draw_text("wombat"))
    assert len(collate_fn([(image, "wombat")]).images) == 1


def test_wide_font_widens_the_image_instead_of_cutting_it():
    wide = SimpleWordsDataset(1, font=MORE_FONTS / "DejaVuSans-Bold.ttf", font_size=24)
    image = wide.draw_text("wwwwww")
    assert image.shape[1] > 18 * 6
    assert ink_columns(image).max() < image.shape[1]


def test_missing_font(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.ttf"):
        SimpleWordsDataset(1, font=tmp_path / "gone.ttf")


def test_broken_font(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    with pytest.raises(ValueError, match=r"broken\.ttf"):
        SimpleWordsDataset(1, font=tmp_path / "broken.ttf")


def test_too_narrow_for_the_ink():
    with pytest.raises(ValueError, match="'hello', got 40"):
        SimpleWordsDataset(1).draw_text("hello", 40)


def test_too_high_font():
    with pytest.raises(ValueError, match="32 px high"):
        SimpleWordsDataset(1, font_size=60).draw_text("gh")


def test_text_without_ink_is_refused():
    font = SimpleWordsDataset(1, 1).font
    with pytest.raises(ValueError, match="expected a font that draws ' ', this one leaves no ink"):
        font.ink(" ")


@pytest.mark.parametrize("name", ["DejaVuSans-Oblique.ttf", "STIXGeneralItalic.ttf", "cmr10.ttf"])
def test_ink_is_what_pillow_draws(name):
    """Also of letters that reach to the left of where they begin, such as the j of an italic."""
    path = Path(matplotlib.get_data_path()) / "fonts/ttf" / name
    for size in (12, 20):
        dataset = SimpleWordsDataset(1, 1, font=path, font_size=size)
        font, margin = dataset.font, 40
        for text in ("j", "fjord", "glyphs", "wavy"):
            left = font.getbbox(text, features=font.features)[0]
            canvas = Image.new("L", (300, 32))
            place = margin - min(0, int(left)), (32 - sum(font.getmetrics())) // 2
            draw = ImageDraw.Draw(canvas)
            draw.text(place, text, fill=255, font=font, features=font.features)
            ink = font.ink(text)
            right = margin + ink.shape[1]
            drawn = torch.from_numpy(np.array(canvas)).float() / 255
            torch.testing.assert_close(drawn[:, margin:right], ink)
            assert not drawn[:, right:].any()


def test_default_font_comes_with_matplotlib():
    assert (
        matplotlib.font_manager.FontProperties(fname=default_font()).get_name()
        == "DejaVu Sans Mono"
    )


def test_the_font_of_the_package_is_matplotlibs_and_stands_in_for_it(tmp_path, monkeypatch):
    assert default_font().parent.name == "fonts"
    assert default_font().parent.parent.name == "ebm_ocr"
    assert default_font().with_name("LICENSE_DEJAVU").is_file()
    monkeypatch.setattr(rendering, "__file__", str(tmp_path / "rendering.py"))
    assert default_font() == MORE_FONTS / "DejaVuSansMono.ttf"
    monkeypatch.undo()
    assert default_font().read_bytes() == (MORE_FONTS / "DejaVuSansMono.ttf").read_bytes()
