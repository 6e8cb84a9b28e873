"""Faces: found, refused by name, kept apart."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from ebm_ocr import default_font
from ebm_ocr.reader import fonts
from ebm_ocr.reader.fonts import (
    Face,
    draw_ink,
    find_faces,
    letter_shapes,
    set_of,
    split,
    why_refused,
)

SHIPPED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
MONO = Face(default_font())


def test_every_font_of_a_folder_is_found():
    faces = find_faces(SHIPPED)
    assert len(faces) == len([*SHIPPED.glob("*.ttf")]) > 20
    assert faces == sorted(faces)


def test_a_folder_without_fonts_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a folder .* found none at .*gone"):
        find_faces(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"expected fonts .* found none"):
        find_faces(tmp_path)


def test_a_file_that_is_no_font_is_refused(tmp_path):
    (tmp_path / "letter.ttf").write_bytes(b"not a font")
    (face,) = find_faces(tmp_path)
    assert "could not read" in why_refused(face)
    with pytest.raises(ValueError, match=r"could not read .*letter\.ttf"):
        fonts.load(face, 20)


def test_a_font_that_lacks_symbols_is_refused_by_name():
    assert why_refused(MONO) is None
    assert "é" not in fonts.PRINTABLE
    assert why_refused(MONO, "aé\U00010330").endswith("lacks \U00010330")


def test_lower_case_drawn_as_capitals_is_refused(monkeypatch):
    drawn = fonts.load(MONO, 32)

    class Capitals:
        def __getattr__(self, name):
            method = getattr(drawn, name)
            return lambda text, *rest: method(text.upper(), *rest)

    monkeypatch.setattr(fonts, "load", lambda *_: Capitals())
    assert why_refused(MONO) == "DejaVuSansMono.ttf draws lower case as capitals"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("fonts/roboto/roboto-latin-400-normal.woff", "test"),
        ("elsewhere/Roboto-Slab.ttf", "test"),
        ("elsewhere/FiraCode.otf", "test"),
        ("fonts/open-sans/a.woff", "test"),
    ],
)
def test_test_families_are_known_in_any_packaging(path, expected, monkeypatch):
    monkeypatch.setattr(fonts, "names", lambda face: ("Nobody", "Regular"))
    assert set_of(Face(Path(path))) == expected


def test_the_sets_are_fixed_and_development_is_a_share(monkeypatch):
    monkeypatch.setattr(fonts, "names", lambda face: (face.path.stem, "Regular"))
    sets = [set_of(Face(Path(f"family{n}.ttf"))) for n in range(600)]
    assert sets == [set_of(Face(Path(f"other/family{n}.ttf"))) for n in range(600)]
    assert 25 < sets.count("development") < 85
    assert "test" not in sets


def test_a_twin_of_a_test_face_is_a_test_face(tmp_path):
    twin = tmp_path / "Unheard Of.ttf"
    twin.write_bytes(default_font().read_bytes())
    assert letter_shapes([MONO, Face(twin)]).shape[0] == 2
    alike = letter_shapes([MONO]) @ letter_shapes([Face(twin)]).T
    assert alike.item() == pytest.approx(1, abs=1e-4)
    others = [face for face in find_faces(SHIPPED) if why_refused(face) is None]
    sets = split(others)
    test = letter_shapes(sets["test"])
    for name in ("train", "development"):
        if sets[name]:
            assert (letter_shapes(sets[name]) @ test.T).max() <= fonts.TWIN


def test_no_training_face_is_a_twin_of_a_test_face():
    folder = Path(__file__).parents[2] / "fonts"
    if not folder.is_dir():
        pytest.skip("make fonts fetches them")
    sets = split(face for face in find_faces(folder) if why_refused(face) is None)
    assert min(map(len, sets.values())) > 50
    test = letter_shapes(sets["test"])
    for name in ("train", "development"):
        assert (letter_shapes(sets[name]) @ test.T).max() <= fonts.TWIN


def test_boxes_hold_the_ink_of_each_symbol():
    ink = draw_ink(MONO, 32, "gi.", spacing=4)
    assert ink.mask.max() == 255
    outside = ink.mask.copy()
    for left, top, right, bottom in ink.boxes:
        part = ink.mask[top:bottom, left:right]
        assert part.any(0)[[0, -1]].all()
        assert part.any(1)[[0, -1]].all()
        outside[top:bottom, left:right] = 0
    assert not outside.any()
    assert (np.diff(ink.boxes[:, 0]) > 0).all()


def test_a_text_without_ink_is_refused():
    with pytest.raises(ValueError, match="expected symbols with ink, got 'a b'"):
        draw_ink(MONO, 20, "a b")
    with pytest.raises(ValueError, match="expected symbols with ink"):
        draw_ink(MONO, 20, "")
