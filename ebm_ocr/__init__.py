"""Reads a word from an image with an energy-based model.

The data flows in one direction:

    text - alphabet -> symbols ----------------+
      + rendering -> image - network -> energies + alignment -> free energy, path - losses -> scalar
                                          +----- decoding -> text

An energy says how badly a window of the image fits a class; lower is better. The names below stand
in the order of the data; each is loaded with its module when it is first used, so that
``import ebm_ocr`` costs little.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alignment import (
        WILDCARD as WILDCARD,
    )
    from .alignment import (
        Alignment as Alignment,
    )
    from .alignment import (
        Span as Span,
    )
    from .alignment import (
        free_energy as free_energy,
    )
    from .alignment import (
        posterior as posterior,
    )
    from .alignment import (
        spans as spans,
    )
    from .alignment import (
        viterbi as viterbi,
    )
    from .alphabet import (
        ALPHABET_SIZE as ALPHABET_SIZE,
    )
    from .alphabet import (
        BETWEEN as BETWEEN,
    )
    from .alphabet import (
        LATIN as LATIN,
    )
    from .alphabet import (
        LETTERS as LETTERS,
    )
    from .alphabet import (
        SYMBOLS as SYMBOLS,
    )
    from .alphabet import (
        Alphabet as Alphabet,
    )
    from .alphabet import (
        indices_to_str as indices_to_str,
    )
    from .alphabet import (
        spell as spell,
    )
    from .alphabet import (
        transform_word as transform_word,
    )
    from .datasets import (
        Batch as Batch,
    )
    from .datasets import (
        SimpleWordsDataset as SimpleWordsDataset,
    )
    from .datasets import (
        collate_fn as collate_fn,
    )
    from .datasets import (
        simple_collate_fn as simple_collate_fn,
    )
    from .decoding import (
        Reading as Reading,
    )
    from .decoding import (
        best_word as best_word,
    )
    from .decoding import (
        exact_decode as exact_decode,
    )
    from .decoding import (
        greedy_decode as greedy_decode,
    )
    from .decoding import (
        lexicon_energies as lexicon_energies,
    )
    from .decoding import (
        most_offending as most_offending,
    )
    from .decoding import (
        n_best as n_best,
    )
    from .decoding import (
        word_energy as word_energy,
    )
    from .decoding import (
        word_probability as word_probability,
    )
    from .diagrams import (
        plot_dp as plot_dp,
    )
    from .diagrams import (
        plot_graph as plot_graph,
    )
    from .display import (
        show as show,
    )
    from .display import (
        show_source as show_source,
    )
    from .display import (
        show_table as show_table,
    )
    from .evaluation import (
        accuracy_by_length as accuracy_by_length,
    )
    from .evaluation import (
        get_accuracy as get_accuracy,
    )
    from .evaluation import (
        get_word_accuracy as get_word_accuracy,
    )
    from .evaluation import (
        read_words as read_words,
    )
    from .evaluation import (
        reliability as reliability,
    )
    from .geometry import (
        HEIGHT as HEIGHT,
    )
    from .geometry import (
        STRIDE as STRIDE,
    )
    from .geometry import (
        WINDOW as WINDOW,
    )
    from .geometry import (
        count_windows as count_windows,
    )
    from .graphs import (
        Graph as Graph,
    )
    from .graphs import (
        alignment_graph as alignment_graph,
    )
    from .graphs import (
        forward_score as forward_score,
    )
    from .graphs import (
        intersect as intersect,
    )
    from .graphs import (
        linear_graph as linear_graph,
    )
    from .graphs import (
        viterbi_path as viterbi_path,
    )
    from .graphs import (
        viterbi_score as viterbi_score,
    )
    from .losses import (
        Answers as Answers,
    )
    from .losses import (
        PathEnergyLoss as PathEnergyLoss,
    )
    from .losses import (
        cross_entropy as cross_entropy,
    )
    from .losses import (
        energy_loss as energy_loss,
    )
    from .losses import (
        forward_loss as forward_loss,
    )
    from .losses import (
        hinge_loss as hinge_loss,
    )
    from .losses import (
        log_loss as log_loss,
    )
    from .losses import (
        lvq2_loss as lvq2_loss,
    )
    from .losses import (
        mce_loss as mce_loss,
    )
    from .losses import (
        mee_loss as mee_loss,
    )
    from .losses import (
        nll_loss as nll_loss,
    )
    from .losses import (
        normalise as normalise,
    )
    from .losses import (
        perceptron_loss as perceptron_loss,
    )
    from .losses import (
        simple_loss as simple_loss,
    )
    from .losses import (
        square_exponential_loss as square_exponential_loss,
    )
    from .losses import (
        square_square_loss as square_square_loss,
    )
    from .network import (
        SimpleNet as SimpleNet,
    )
    from .path_matrix import (
        BestPath as BestPath,
    )
    from .path_matrix import (
        FreeEnergy as FreeEnergy,
    )
    from .path_matrix import (
        build_ce_matrix as build_ce_matrix,
    )
    from .path_matrix import (
        build_path_matrix as build_path_matrix,
    )
    from .path_matrix import (
        find_free_energy as find_free_energy,
    )
    from .path_matrix import (
        find_path as find_path,
    )
    from .path_matrix import (
        path_cross_entropy as path_cross_entropy,
    )
    from .path_matrix import (
        path_energy as path_energy,
    )
    from .plots import (
        plot_alphabet as plot_alphabet,
    )
    from .plots import (
        plot_energies as plot_energies,
    )
    from .plots import (
        plot_gradient as plot_gradient,
    )
    from .plots import (
        plot_history as plot_history,
    )
    from .plots import (
        plot_landscape as plot_landscape,
    )
    from .plots import (
        plot_pm as plot_pm,
    )
    from .plots import (
        plot_posterior as plot_posterior,
    )
    from .plots import (
        plot_reading as plot_reading,
    )
    from .plots import (
        plot_word as plot_word,
    )
    from .rendering import (
        Font as Font,
    )
    from .rendering import (
        default_font as default_font,
    )
    from .training import (
        History as History,
    )
    from .training import (
        TrainConfig as TrainConfig,
    )
    from .training import (
        prepare as prepare,
    )
    from .training import (
        train as train,
    )
    from .training import (
        train_ebm_model as train_ebm_model,
    )
    from .training import (
        train_from_scratch as train_from_scratch,
    )
    from .training import (
        train_gtn_model as train_gtn_model,
    )
    from .training import (
        train_model as train_model,
    )

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
    "geometry": ("HEIGHT", "STRIDE", "WINDOW", "count_windows"),
    "rendering": ("Font", "default_font"),
    "datasets": ("Batch", "SimpleWordsDataset", "collate_fn", "simple_collate_fn"),
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
    "path_matrix": (
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
_EXTRAS = {"matplotlib": "plots", "IPython": "notebook", "pygments": "notebook"}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("ebm-ocr")
        except PackageNotFoundError:  # a copy of the sources
            return "0+unknown"
    if name == "rank":
        raise ImportError("ebm_ocr.rank is now ebm_ocr.lexicon_energies")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        if library not in _EXTRAS:
            raise
        extra = f"pip install 'ebm-ocr[{_EXTRAS[library]}]'"
        raise ImportError(f"{name} needs {library}, an extra: {extra}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
