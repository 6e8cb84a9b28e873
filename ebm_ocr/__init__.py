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
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

# fmt: off
# isort: off
if TYPE_CHECKING:
    from .alphabet import (
        ALPHABET_SIZE as ALPHABET_SIZE, Alphabet as Alphabet, BETWEEN as BETWEEN, LATIN as LATIN,
        LETTERS as LETTERS, SYMBOLS as SYMBOLS, indices_to_str as indices_to_str, spell as spell,
        transform_word as transform_word,
    )
    from .geometry import (
        HEIGHT as HEIGHT, STRIDE as STRIDE, WINDOW as WINDOW, count_windows as count_windows,
    )
    from .rendering import Font as Font, default_font as default_font
    from .datasets import (
        Batch as Batch, SimpleWordsDataset as SimpleWordsDataset, collate_fn as collate_fn,
        simple_collate_fn as simple_collate_fn,
    )
    from .network import SimpleNet as SimpleNet
    from .graphs import (
        Graph as Graph, alignment_graph as alignment_graph, forward_score as forward_score,
        intersect as intersect, linear_graph as linear_graph, viterbi_path as viterbi_path,
        viterbi_score as viterbi_score,
    )
    from .path_matrix import (
        BestPath as BestPath, FreeEnergy as FreeEnergy, build_ce_matrix as build_ce_matrix,
        build_path_matrix as build_path_matrix, find_free_energy as find_free_energy,
        find_path as find_path, normalise as normalise, path_cross_entropy as path_cross_entropy,
        path_energy as path_energy,
    )
    from .alignment import (
        WILDCARD as WILDCARD, Alignment as Alignment, Span as Span, free_energy as free_energy,
        posterior as posterior, spans as spans, viterbi as viterbi,
    )
    from .decoding import (
        Reading as Reading, best_word as best_word, exact_decode as exact_decode,
        greedy_decode as greedy_decode, lexicon_energies as lexicon_energies,
        most_offending as most_offending, n_best as n_best, word_energy as word_energy,
        word_probability as word_probability,
    )
    from .losses import (
        Answers as Answers, PathEnergyLoss as PathEnergyLoss, cross_entropy as cross_entropy,
        energy_loss as energy_loss, forward_loss as forward_loss, hinge_loss as hinge_loss,
        log_loss as log_loss, lvq2_loss as lvq2_loss, mce_loss as mce_loss, mee_loss as mee_loss,
        nll_loss as nll_loss, perceptron_loss as perceptron_loss,
        simple_loss as simple_loss, square_exponential_loss as square_exponential_loss,
        square_square_loss as square_square_loss,
    )
    from .history import History as History
    from .training import (
        TrainConfig as TrainConfig, prepare as prepare, train as train,
        train_ebm_model as train_ebm_model, train_from_scratch as train_from_scratch,
        train_gtn_model as train_gtn_model, train_model as train_model,
    )
    from .evaluation import (
        accuracy_by_length as accuracy_by_length, get_accuracy as get_accuracy,
        get_word_accuracy as get_word_accuracy, read_words as read_words,
        reliability as reliability,
    )
    from .plots import (
        plot_alphabet as plot_alphabet, plot_energies as plot_energies,
        plot_gradient as plot_gradient, plot_history as plot_history,
        plot_landscape as plot_landscape, plot_pm as plot_pm, plot_posterior as plot_posterior,
        plot_reading as plot_reading, plot_word as plot_word,
    )
    from .diagrams import plot_dp as plot_dp, plot_graph as plot_graph
    from .display import show as show, show_source as show_source, show_table as show_table

_HOMES = {
    "alphabet": (
        "ALPHABET_SIZE Alphabet BETWEEN LATIN LETTERS SYMBOLS indices_to_str spell "
        "transform_word "
    ),
    "geometry": "HEIGHT STRIDE WINDOW count_windows",
    "rendering": "Font default_font",
    "datasets": "Batch SimpleWordsDataset collate_fn simple_collate_fn",
    "network": "SimpleNet",
    "graphs": (
        "Graph alignment_graph forward_score intersect linear_graph viterbi_path "
        "viterbi_score "
    ),
    "path_matrix": (
        "BestPath FreeEnergy build_ce_matrix build_path_matrix find_free_energy find_path "
        "normalise path_cross_entropy path_energy "
    ),
    "alignment": "WILDCARD Alignment Span free_energy posterior spans viterbi",
    "decoding": (
        "Reading best_word exact_decode greedy_decode lexicon_energies most_offending n_best "
        "word_energy word_probability "
    ),
    "losses": (
        "Answers PathEnergyLoss cross_entropy energy_loss forward_loss hinge_loss log_loss "
        "lvq2_loss mce_loss mee_loss nll_loss perceptron_loss simple_loss "
        "square_exponential_loss square_square_loss "
    ),
    "history": "History",
    "training": (
        "TrainConfig prepare train train_ebm_model train_from_scratch train_gtn_model "
        "train_model "
    ),
    "evaluation": "accuracy_by_length get_accuracy get_word_accuracy read_words reliability",
    "plots": (
        "plot_alphabet plot_energies plot_gradient plot_history plot_landscape plot_pm "
        "plot_posterior plot_reading plot_word "
    ),
    "diagrams": "plot_dp plot_graph",
    "display": "show show_source show_table",
}
# fmt: on
# isort: on
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
_EXTRAS = {"matplotlib": "plots", "IPython": "notebook", "pygments": "notebook"}

_NEEDS = {"plots": "matplotlib", "diagrams": "matplotlib", "display": "IPython"}

_LACKING = {module for module, library in _NEEDS.items() if not find_spec(library)}

# a star import takes what the installed extras allow
__all__ = [name for name, module in _MODULE_OF.items() if module not in _LACKING]


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
