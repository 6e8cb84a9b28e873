"""How well words are read, and how fast: ``python -m benchmarks.reading``.

Words are drawn with the test faces of ``make fonts``, which no training and no choice ever saw:
letters, dictionary words, numbers and signs at 12 to 30 px. Five sets: clean a-z, clean with all
94 symbols, one and two letters, noisy a-z (rotation, shear, blur, contrast, Gaussian noise, salt
and pepper), and a-z in faces like handwriting; the first four in all other faces.

Beside the reader, where they are there: Tesseract 5 (psm 8, a whitelist for a-z, cropped to ink and
twice the size), and with ``--peers DIR`` RapidOCR (as it is: cropping changes nothing for it) and
rapidocrlite (cropped to ink, without which it reads two thirds), recognition alone, from
``pip install --target DIR/rapidocr rapidocr onnxruntime`` and the same for rapidocrlite, which
takes the same module's name. For a-z, capitals and spaces that a peer gives are forgiven. Writes
benchmarks/results/reading.md, .json and .png.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RESULTS = Path(__file__).parent / "results"
FONTS = Path(__file__).parents[1] / "fonts"
HANDWRITING = (
    "amatic-sc architects-daughter caveat caveat-brush comic-neue comic-relief dancing-script "
    "homemade-apple indie-flower kalam kaushan-script klee-one kristi leckerli-one lobster "
    "lobster-two patrick-hand reenie-beanie sacramento shadows-into-light shadows-into-light-two"
)
"""Families of the test set that look like handwriting or a brush."""
ROUNDS, TIMED = 3, 256
"""Times that speed is measured, the best counts; and on how many images."""
CROPPED = {"Tesseract 5": 4, "rapidocrlite (Indra)": 2}
"""Readers that do better on ink alone, and the pixels of paper around it."""
PEERS = {
    "RapidOCR (PP-OCRv6 small), padded": "rapidocr",
    "RapidOCR (PP-OCRv6 small), natural width": "rapidocr",
    "rapidocrlite (Indra)": "rapidocrlite",
}


class TestSet(NamedTuple):
    """Images whose words are known."""

    name: str
    images: list[np.ndarray]
    texts: list[str]
    lower: bool
    """Whether nothing but a-z is written."""


def make_sets(count: int) -> list[TestSet]:
    """The five sets, ``count`` words each: the same words for the same count."""
    from ebm_ocr.reader.degradation import CLEAN, Limits
    from ebm_ocr.reader.fonts import find_faces, split, why_refused
    from ebm_ocr.reader.words import draw_text, draw_words, load_dictionary, write

    found = [face for face in find_faces(FONTS) if why_refused(face) is None]
    faces = split(found)["test"]
    written = [face for face in faces if face.path.parent.name in HANDWRITING.split()]
    plain = [face for face in faces if face not in set(written)]
    words = load_dictionary()
    noisy = Limits(3.0, 0.2, 0.0, 0.0, 1.4, 0.4, 0.0, 25 / 255, 0.1, 0, 95, 0.5)

    def letters(rng: np.random.Generator, least: int = 3, most: int = 9) -> str:
        if least > 2 and rng.random() < 0.5:
            return words[int(rng.integers(len(words)))]
        size = int(rng.integers(least, most))
        return "".join(rng.choice([*string.ascii_lowercase], size))

    def any_symbols(rng: np.random.Generator) -> str:
        return draw_text(rng, words)

    def short(rng: np.random.Generator) -> str:
        return letters(rng, 1, 3)

    sets = []
    kinds: list[tuple[str, list, Callable[[np.random.Generator], str], Limits]] = [
        ("clean, a-z", plain, letters, CLEAN),
        ("clean, all symbols", plain, any_symbols, CLEAN),
        ("clean, one or two letters", plain, short, CLEAN),
        ("noisy, a-z", plain, letters, noisy),
        ("like handwriting, a-z", written, letters, CLEAN),
    ]
    for number, (name, some, draw, limits) in enumerate(kinds):
        samples = []
        for i in range(count):
            rng = np.random.default_rng([77, number, i])
            face = some[i % len(some)]
            samples.append(write(rng, face, draw(rng), rng.uniform(12, 30), limits))
        images: list[np.ndarray] = []
        for start in range(0, count, 64):
            batch = draw_words(samples[start : start + 64])
            images += [
                (image[0, :, :width] * 255).round().byte().numpy()
                for image, width in zip(batch.images, batch.widths)
            ]
        texts = [sample.text for sample in samples]
        sets.append(TestSet(name, images, texts, draw is not any_symbols))
    return sets


def our_reader() -> tuple[Callable[..., list[str]], float]:
    """The reader, and the megabytes of its weights."""
    from ebm_ocr.reader import Reader
    from ebm_ocr.reader.reading import WEIGHTS

    reader = Reader.load()

    def read(images: Sequence[np.ndarray], lower: bool) -> list[str]:
        words = reader.read([*images], charset="a-z" if lower else None, letters=False)
        return [word.text for word in words]

    return read, WEIGHTS.stat().st_size / 1e6


def rapid(natural: bool) -> tuple[Callable[..., list[str]], float]:
    """RapidOCR's recognition, padded to 320 px as it comes or at natural width."""
    import logging

    import rapidocr  # type: ignore[import-not-found]

    logging.disable(logging.WARNING)
    engine = rapidocr.RapidOCR()
    blank = np.full((48, 96, 3), 255, np.uint8)
    engine(blank, use_det=False, use_cls=False, use_rec=True)  # it loads its models when called
    recognise = engine.text_rec
    if natural:
        recognise.rec_image_shape = [3, 48, 1]
    model = next(Path(rapidocr.__file__).parent.glob("models/*rec*.onnx"))

    def read(images: Sequence[np.ndarray], lower: bool) -> list[str]:
        from rapidocr.ch_ppocr_rec.typings import TextRecInput  # type: ignore[import-not-found]

        coloured = [np.dstack([image] * 3) for image in images]
        found = recognise(TextRecInput(img=coloured, return_word_box=False)).txts
        return [*map(str, found)]

    return read, model.stat().st_size / 1e6


def rapid_lite() -> tuple[Callable[..., list[str]], float]:
    """rapidocrlite's recognition of one line."""
    import rapidocr

    lite = rapidocr.ModelType("lite")
    settings = {"Det.model_type": lite, "Rec.model_type": lite, "Global.text_score": 0.0}
    engine = rapidocr.RapidOCR(params=settings)
    model = Path(rapidocr.__file__).parent / "models/lite/rec.onnx"

    def read(images: Sequence[np.ndarray], lower: bool) -> list[str]:
        found = []
        for image in images:
            output = engine(np.dstack([image] * 3), use_det=False, use_cls=False, use_rec=True)
            found.append("".join(output.txts or ()))
        return found

    return read, model.stat().st_size / 1e6


def tesseract() -> tuple[Callable[..., list[str]], float]:
    """Tesseract of Debian: all images in one call."""
    from PIL import Image

    data = [*Path("/usr/share").glob("tesseract-ocr/*/tessdata/eng.traineddata")]

    def read(images: Sequence[np.ndarray], lower: bool) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for number, image in enumerate(images):
                names.append(f"{folder}/{number}.png")
                size = 2 * image.shape[1], 2 * image.shape[0]
                Image.fromarray(image).resize(size, Image.Resampling.BICUBIC).save(names[-1])
            listed = Path(folder) / "list.txt"
            listed.write_text("\n".join(names), encoding="utf-8")
            allowed = ["-c", f"tessedit_char_whitelist={string.ascii_lowercase}"] if lower else []
            output = subprocess.run(
                ["tesseract", str(listed), "stdout", "--psm", "8", "-l", "eng", *allowed],
                capture_output=True,
                encoding="utf-8",
                check=True,
            ).stdout
            pages = output.split("\f")
            return ["".join(page.split()) for page in pages[: len(images)]]

    return read, data[0].stat().st_size / 1e6 if data else 0.0


CONTENDERS: dict[str, Callable[[], tuple[Callable[..., list[str]], float]]] = {
    "ebm_ocr": our_reader,
    "Tesseract 5": tesseract,
    "RapidOCR (PP-OCRv6 small), padded": lambda: rapid(False),
    "RapidOCR (PP-OCRv6 small), natural width": lambda: rapid(True),
    "rapidocrlite (Indra)": rapid_lite,
}


def dark_on_light(image: np.ndarray) -> np.ndarray:
    """As most readers were trained; ours is given images as they are."""
    return 255 - image if image.mean() > np.median(image) else image


def cropped(image: np.ndarray, box: Sequence[int], room: int) -> np.ndarray:
    """The ink with so many pixels of paper around it."""
    left, top, right, bottom = box
    framed = np.pad(image, room, constant_values=int(np.median(image)))
    return np.ascontiguousarray(framed[top : bottom + 2 * room, left : right + 2 * room])


def judge(name: str, file: Path) -> dict[str, Any]:
    """Read all sets of a file: shares, words a second in batches, milliseconds of one image."""
    held = np.load(file, allow_pickle=False)
    read, size = CONTENDERS[name]()
    found: dict[str, Any] = {"megabytes": size, "exact": {}, "read": {}}
    for number, about in enumerate(json.loads(str(held["about"]))):
        images = [held[f"{number}_{i}"] for i in range(len(about["texts"]))]
        if name != "ebm_ocr":
            images = [*map(dark_on_light, images)]
        if name in CROPPED:  # not counted in their time
            boxes = held[f"{number}_boxes"].tolist()
            images = [cropped(image, box, CROPPED[name]) for image, box in zip(images, boxes)]
        answers = read(images, about["lower"])
        if about["lower"]:
            answers = ["".join(answer.lower().split()) for answer in answers]
        found["read"][about["name"]] = answers
        found["exact"][about["name"]] = float(
            np.mean([a == t for a, t in zip(answers, about["texts"])])
        )
        if not about["lower"]:
            pairs = zip(answers, about["texts"])
            found["case_apart"] = float(np.mean([a.lower() == t.lower() for a, t in pairs]))
        if number:
            continue
        batch, one = [], []
        timed = images[:TIMED]
        for _ in range(ROUNDS):
            start = time.perf_counter()
            read(timed, True)
            batch.append(len(timed) / (time.perf_counter() - start))
        if name == "ebm_ocr":
            import torch

            torch.set_num_threads(1)  # two would wait for each other
        for image in images[:100]:
            start = time.perf_counter()
            read([image], True)
            one.append(1e3 * (time.perf_counter() - start))
        found["words_a_second"], found["ms_alone"] = max(batch), float(np.median(one))
    return found


def main() -> None:
    """Measure all contenders, one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=600, help="words of each set")
    parser.add_argument("--peers", type=Path, help="folder with rapidocr/ and rapidocrlite/")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(judge(options.worker[0], Path(options.worker[1]))))
        return
    from ebm_ocr.reader.images import find_ink

    sets = make_sets(options.count)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sets.npz"
        about = [{"name": s.name, "texts": s.texts, "lower": s.lower} for s in sets]
        arrays = {f"{n}_{i}": image for n, s in enumerate(sets) for i, image in enumerate(s.images)}
        for n, one in enumerate(sets):
            grey = (image.astype(np.float32) / 255 for image in one.images)
            arrays[f"{n}_boxes"] = np.array([find_ink(image)[1] for image in grey])
        np.savez(file, about=json.dumps(about), **arrays)  # type: ignore[arg-type]
        for name in CONTENDERS:
            peer = PEERS.get(name)
            if peer and (options.peers is None or not (options.peers / peer).is_dir()):
                print(f"{name}: not installed", file=sys.stderr)
                continue
            if name.startswith("Tesseract") and shutil.which("tesseract") is None:
                print(f"{name}: not installed", file=sys.stderr)
                continue
            env = {**os.environ, "OMP_WAIT_POLICY": "passive"}
            if peer:
                env["PYTHONPATH"] = str((options.peers / peer).resolve())
            run = subprocess.run(
                [sys.executable, "-m", "benchmarks.reading", "--worker", name, str(file)],
                env=env,
                capture_output=True,
                encoding="utf-8",
            )
            if run.returncode:
                print(f"{name}: {run.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            results[name] = json.loads(run.stdout.strip().splitlines()[-1])
            print(name, {k: round(v, 3) for k, v in results[name]["exact"].items()}, flush=True)
    write_results(sets, results)


def write_results(sets: Sequence[TestSet], results: dict[str, Any]) -> None:
    """Table, numbers and picture."""
    lines = [
        f"Measured {date.today()} on {os.cpu_count()} cores of {platform.machine()}; "
        f"{len(sets[0].texts)} words a set (`python -m benchmarks.reading --peers DIR`).",
        "Words read exactly in %, megabytes of weights, words a second in batches, milliseconds of",
        "one image alone:",
        "",
        "| reader | " + " | ".join(s.name for s in sets) + " | MB | words/s | ms alone |",
        "|---" * (len(sets) + 4) + "|",
    ]
    for name, found in results.items():
        shares = " | ".join(f"{100 * found['exact'][s.name]:.1f}" for s in sets)
        speed = (
            f"{found['megabytes']:.1f} | {found['words_a_second']:.0f} | {found['ms_alone']:.1f}"
        )
        lines.append(f"| {name} | {shares} | {speed} |")
    apart = ", ".join(f"{name} {100 * one['case_apart']:.1f}" for name, one in results.items())
    lines += ["", f"All symbols, case apart: {apart}."]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "reading.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kept = {
        name: {k: v for k, v in found.items() if k != "read"} for name, found in results.items()
    }
    (RESULTS / "reading.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    draw(sets, results)


def draw(sets: Sequence[TestSet], results: dict[str, Any]) -> None:
    """Accuracy against speed, and words of each set with what the reader said."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (top, *rows) = plt.subplots(
        1 + len(sets), 1, figsize=(9, 7), height_ratios=[5] + [1] * len(sets)
    )
    for number, (name, found) in enumerate(results.items()):
        for kind, marker in (
            ("clean, a-z", "o"),
            ("noisy, a-z", "s"),
            ("like handwriting, a-z", "^"),
        ):
            label = f"{name}" if marker == "o" else None
            top.plot(
                found["words_a_second"],
                100 * found["exact"][kind],
                marker,
                color=f"C{number}",
                label=label,
            )
    top.set(xscale="log", xlabel="words a second, in batches", ylabel="words read exactly, %")
    top.set_title("circles clean, squares noisy, triangles like handwriting", fontsize=9)
    top.legend(fontsize=8)
    for ax, one in zip(rows, sets):
        ax.axis("off")
        ax.set_title(one.name, fontsize=8, loc="left", pad=2)
        answers = results.get("ebm_ocr", {}).get("read", {}).get(one.name, [""] * len(one.texts))
        x = 0.0
        for image, text, answer in list(zip(one.images, one.texts, answers))[:6]:
            width = image.shape[1]
            ax.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(x, x + width, 0, 32))
            wrong = answer != text
            ax.text(x, -14, answer, fontsize=7, color="C3" if wrong else "black", parse_math=False)
            x += width + 14
        ax.set(xlim=(0, 640), ylim=(-16, 33), aspect="equal")
    figure.tight_layout()
    figure.savefig(RESULTS / "reading.png", dpi=130)


if __name__ == "__main__":
    main()
