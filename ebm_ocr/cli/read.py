"""``ebm-ocr read``."""

from __future__ import annotations

import glob
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from tqdm import tqdm

if TYPE_CHECKING:
    from ..reader import Reader, Word
    from ..reader.images import Strip

SUFFIXES = frozenset(
    ".bmp .gif .jpeg .jpg .pbm .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""Files of a folder that are read."""
FEW = 16
"""Images that one core reads sooner than several."""
AT_ONCE = 512
"""Images in memory at a time."""
COLUMNS = "level page_num block_num par_num line_num word_num left top width height conf text"
"""tesseract's twelve."""


class Format(str, Enum):
    """How words are written."""

    txt = "txt"
    tsv = "tsv"
    json = "json"
    jsonl = "jsonl"


class Found(NamedTuple):
    """What became of a file: its word, or what is wrong with it."""

    name: str
    word: Word | None = None
    error: str = ""


Weights = Annotated[Path | None, typer.Option(help="Weights of your own, from ebm-ocr train.")]
Charset = Annotated[
    str | None,
    typer.Option(
        help="What may come, as in tr: 'a-z0-9'. The nearest of these is read: under a-z a "
        "capital reads as the small letter that looks most like it, and I may become l."
    ),
]
Lexicon = Annotated[
    Path | None, typer.Option(help="A file of words, one a line: the best of them is read.")
]


def read(
    images: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns such as '*.png', or - for stdin.")
    ],
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="txt: a line an image, its text, behind its name if there are several; tsv: "
            "tesseract's twelve columns, a row a word, conf 0 to 100; json: a list; jsonl: an "
            "object a line, with letters, boxes and alternatives.",
        ),
    ] = Format.txt,
    charset: Charset = None,
    lower: Annotated[
        bool,
        typer.Option(
            "--lower", help="Read with all letters, then write them small: folds capitals."
        ),
    ] = False,
    lexicon: Lexicon = None,
    n_best: Annotated[int, typer.Option(min=1, help="Texts an image, the best first.")] = 1,
    min_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Mark what is less sure; the text stays."),
    ] = 0.0,
    cores: Annotated[int | None, typer.Option(min=1, help="CPU cores to use.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="A folder for pictures: image, boxes, energies, path (needs matplotlib)."
        ),
    ] = None,
    timings: Annotated[
        bool, typer.Option("--timings", help="Say on stderr what took how long.")
    ] = False,
    weights: Weights = None,
) -> None:
    """Read the word in each image. Nothing is downloaded, ever.

    An image is a word with or without margins, in any size, colour and polarity. A line of several
    words is read as one. What is no image is reported, and the others are read: exit code 1 if
    some failed, 2 if all did or the call itself is wrong.

    ebm-ocr read word.png

    ebm-ocr read scans/ --format jsonl > words.jsonl

    ebm-ocr read '*.png' --charset 0-9 --min-confidence 0.9

    cat word.png | ebm-ocr read - --n-best 3
    """
    start = time.perf_counter()
    files = [*find_files(images)]
    words = None if lexicon is None else read_lexicon(lexicon)
    import torch

    from ..reader import Reader

    if cores is None and len(files) < FEW:
        cores = 1  # threads would wait for each other longer than they work
    if cores is not None:
        torch.set_num_threads(cores)
    reader = Reader.load(weights)
    reader.alphabet.subset(charset)  # what is wrong with the call is said before files are opened
    reader.alphabet.encode_all(words or [])
    decode = partial(
        reader.read_strips,
        charset=charset,
        lexicon=words,
        n_best=n_best,
        letters=format is not Format.txt or plot is not None,
    )
    gallery = None if plot is None else Gallery(reader, plot)
    loaded = time.perf_counter()
    failed = done = 0
    writer = Writer(format, len(files) > 1)
    with tqdm(files, unit="image", disable=len(files) < 50 or None, file=sys.stderr) as progress:
        for begin in range(0, len(files), AT_ONCE):
            some = files[begin : begin + AT_ONCE]
            for found in read_files(decode, some, gallery, progress):
                failed += bool(found.error)
                done += 1
                if found.error:
                    typer.echo(f"ebm-ocr: {found.name}: {found.error}", err=True)
                elif lower and found.word:
                    found = found._replace(word=lowered(found.word))
                writer.write(found, min_confidence)
    writer.close()
    if timings:
        ended = time.perf_counter()
        typer.echo(
            f"loaded in {loaded - start:.2f} s, {done} images read in {ended - loaded:.2f} s, "
            f"{done / (ended - loaded):.0f} a second",
            err=True,
        )
    if failed:
        if len(files) > 1:
            typer.echo(f"ebm-ocr: {failed} of {len(files)} images could not be read", err=True)
        raise typer.Exit(2 if failed == len(files) else 1)


def find_files(names: list[str]) -> Iterator[str]:
    """The files that are named: themselves, those in folders, those that patterns match.

    Raises:
        ValueError: a folder or pattern without an image.
    """
    for name in names:
        path = Path(name)
        if name == "-":
            yield name
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f"expected images in the folder {name}, found none")
            yield from map(str, inside)
        elif not path.exists() and any(sign in name for sign in "*?["):
            matching = sorted(glob.glob(name, recursive=True))
            if not matching:
                raise ValueError(f"expected files that match {name}, found none")
            yield from matching
        else:
            yield name


def read_lexicon(path: Path) -> list[str]:
    """Words, one a line; empty lines do not count.

    Raises:
        OSError, ValueError: no file, no text, no words.
    """
    try:
        words = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a lexicon in UTF-8, got {path}: {error}") from error
    words = [*dict.fromkeys(word.strip() for word in words if word.strip())]
    if not words:
        raise ValueError(f"expected words in the lexicon, one a line, got none in {path}")
    return words


def read_files(
    decode: Callable[[list[Strip]], list[Word]],
    files: list[str],
    gallery: Gallery | None,
    progress: tqdm,
) -> Iterator[Found]:
    """Words of some files, in their order; of those that are no images, what is wrong."""
    from ..reader.images import to_strip

    strips, errors = {}, {}
    for place, name in enumerate(files):
        progress.update()
        try:
            strips[place] = to_strip(sys.stdin.buffer.read() if name == "-" else name)
        except OSError as error:
            errors[place] = error.strerror or str(error)
        except ValueError as error:
            errors[place] = str(error)
    words = dict(zip(strips, decode([*strips.values()])))
    for place, name in enumerate(files):
        if place in errors:
            yield Found(name, error=errors[place])
            continue
        if gallery is not None:
            gallery.hang(name, strips[place], words[place])
        yield Found(name, words[place])


class Gallery:
    """A folder with what the reader saw of each image, under the image's name; images of the same
    name in different folders are numbered."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        from ..reader import picture  # or no matplotlib: said before files are opened

        self.picture, self.reader, self.folder = picture, reader, folder
        self.names: Counter[str] = Counter()

    def hang(self, name: str, strip: Strip, word: Word) -> None:
        """One more."""
        stem = "stdin" if name == "-" else Path(name).stem
        self.names[stem] += 1
        number = f"-{self.names[stem]}" if self.names[stem] > 1 else ""
        self.folder.mkdir(parents=True, exist_ok=True)
        figure = self.picture.draw_reading(self.reader, strip, word)
        figure.savefig(self.folder / f"{stem}{number}.png", dpi=150)
        self.picture.plt.close(figure)


def lowered(word: Word) -> Word:
    """A word in small letters."""
    letters = tuple(letter._replace(symbol=letter.symbol.lower()) for letter in word.letters)
    others = tuple(other._replace(text=other.text.lower()) for other in word.alternatives)
    return word._replace(text=word.text.lower(), letters=letters, alternatives=others)


class Writer:
    """Writes words to stdout in one of the formats."""

    def __init__(self, format: Format, several: bool) -> None:
        self.format, self.several, self.pages = format, several, 0
        if format is Format.tsv:
            print(COLUMNS.replace(" ", "\t"))

    def write(self, found: Found, least: float) -> None:
        """One image."""
        self.pages += 1
        if self.format is Format.txt:
            self._write_text(found, least)
        elif self.format is Format.tsv:
            self._write_row(found)
        else:
            line = json.dumps(as_object(found, least), ensure_ascii=False)
            if self.format is Format.json:
                print("[" if self.pages == 1 else ",", end="\n" if self.pages > 1 else "")
            print(line, end="\n" if self.format is Format.jsonl else "")

    def close(self) -> None:
        """The end of a list."""
        if self.format is Format.json:
            print("]" if self.pages else "[]")

    def _write_text(self, found: Found, least: float) -> None:
        if found.word is None:
            if self.several:
                print(f"{found.name}\t")
            return
        texts = [found.word.text, *(other.text for other in found.word.alternatives)]
        shown = "\t".join(texts)
        if found.word.confidence < least:
            shown += "\t(unsure)"
        print(f"{found.name}\t{shown}" if self.several else shown)

    def _write_row(self, found: Found) -> None:
        if found.word is None:
            return
        box = around(found.word)
        place = [5, self.pages, 1, 1, 1, 1, box[0], box[1], box[2] - box[0], box[3] - box[1]]
        row = [*place, f"{100 * found.word.confidence:.2f}", found.word.text]
        print(*row, sep="\t")  # no symbol is a tab


def around(word: Word) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a word in whole pixels."""
    if not word.letters:
        return 0, 0, 0, 0
    lefts, tops, rights, bottoms = zip(*(letter.box for letter in word.letters))
    return (int(min(lefts)), int(min(tops)), -int(-max(rights) // 1), -int(-max(bottoms) // 1))


def as_object(found: Found, least: float) -> dict[str, Any]:
    """A file as JSON."""
    if found.word is None:
        return {"file": found.name, "error": found.error}
    word = found.word
    return {
        "file": found.name,
        "text": word.text,
        "confidence": word.confidence,
        "unsure": word.confidence < least,
        "energy": word.energy,
        "letters": [letter._asdict() for letter in word.letters],
        "alternatives": [other._asdict() for other in word.alternatives],
    }
