"""Make the README's picture: ``python docs/picture.py`` trains a reader and
draws how it reads a word."""

from pathlib import Path

from ebm_ocr import (
    SimpleWordsDataset,
    greedy_decode,
    plot_reading,
    train_from_scratch,
    transform_word,
    viterbi,
)

WORD = "hello"

if __name__ == "__main__":
    reader, _ = train_from_scratch(seed=0)
    image = SimpleWordsDataset(1).draw_text(WORD)
    energies = reader(image[None, None]).detach()
    axes = plot_reading(
        image, energies[0], viterbi(energies, transform_word(WORD)[None]).path[0], WORD
    )
    axes[0].set_title(f"read as '{greedy_decode(energies)[0]}'", pad=18)
    axes[0].figure.savefig(Path(__file__).with_name("hello.png"), dpi=110)
