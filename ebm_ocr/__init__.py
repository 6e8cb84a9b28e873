"""Reads a word from an image with an energy-based model.

The data flows in one direction:

    text - alphabet -> symbols ---------------+
      +- words -> image - network -> energies +- alignment -> free energy, path - losses -> scalar
                                        +------ decoding -> text

An energy says how badly a window of the image fits a class; lower is better. The names below stand
in the order of the data; each is loaded with its module when it is first used, so that
``import ebm_ocr`` costs little.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "alphabet": (
        "ALPHABET_SIZE",
        "Alphabet",
        "BETWEEN",
        "LATIN",
        "LETTERS",
        "SYMBOLS",
        "indices_to_str",
        "spell",
        "transform_word",
    ),
    "windows": ("HEIGHT", "STRIDE", "WINDOW", "count_windows"),
    "words": ("Batch", "SimpleWordsDataset", "collate_fn", "default_font", "simple_collate_fn"),
    "network": ("SimpleNet",),
    "graphs": (
        "Graph",
        "alignment_graph",
        "forward_score",
        "intersect",
        "linear_graph",
        "viterbi_path",
        "viterbi_score",
    ),
    "paths": (
        "BestPath",
        "FreeEnergy",
        "build_ce_matrix",
        "build_path_matrix",
        "find_free_energy",
        "find_path",
        "path_cross_entropy",
        "path_energy",
    ),
    "alignment": ("WILDCARD", "Alignment", "Span", "free_energy", "posterior", "spans", "viterbi"),
    "decoding": (
        "Reading",
        "best_word",
        "exact_decode",
        "greedy_decode",
        "lexicon_energies",
        "most_offending",
        "n_best",
        "word_energy",
        "word_probability",
    ),
    "losses": (
        "Answers",
        "PathEnergyLoss",
        "cross_entropy",
        "energy_loss",
        "forward_loss",
        "hinge_loss",
        "log_loss",
        "lvq2_loss",
        "mce_loss",
        "mee_loss",
        "nll_loss",
        "normalise",
        "perceptron_loss",
        "simple_loss",
        "square_exponential_loss",
        "square_square_loss",
    ),
    "training": (
        "History",
        "TrainConfig",
        "prepare",
        "train",
        "train_ebm_model",
        "train_from_scratch",
        "train_gtn_model",
        "train_model",
    ),
    "evaluation": (
        "accuracy_by_length",
        "get_accuracy",
        "get_word_accuracy",
        "read_words",
        "reliability",
    ),
    "plots": (
        "plot_alphabet",
        "plot_energies",
        "plot_gradient",
        "plot_history",
        "plot_landscape",
        "plot_pm",
        "plot_posterior",
        "plot_reading",
        "plot_word",
    ),
    "diagrams": ("plot_dp", "plot_graph"),
    "display": ("show", "show_source", "show_table"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name == "rank":
        raise ImportError("ebm_ocr.rank is now ebm_ocr.lexicon_energies")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
