"""Kinds of faults that public reports showed: datasets, fonts, the network, loops, evaluation."""

import copy
import functools
import io
import os
import pickle
import re
import string
import sys
from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import tqdm
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from fontTools.ttLib.tables.TupleVariation import TupleVariation
from PIL import Image
from torch import nn
from torch.optim import LBFGS, SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, Subset, SubsetRandomSampler

from ebm_ocr import (
    History,
    SimpleNet,
    SimpleWordsDataset,
    TrainConfig,
    accuracy_by_length,
    collate_fn,
    count_windows,
    cross_entropy,
    default_font,
    energy_loss,
    forward_loss,
    get_accuracy,
    get_word_accuracy,
    hinge_loss,
    nll_loss,
    path_cross_entropy,
    prepare,
    reliability,
    simple_collate_fn,
    train,
    train_ebm_model,
    train_from_scratch,
    train_gtn_model,
    train_model,
    training,
)

MORE_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SMALL = TrainConfig(words=48, epochs=6, batch_size=16)
LOOPS = {
    "letters": (train_model, cross_entropy),
    "best path": (train_ebm_model, path_cross_entropy),
    "all paths": (train_gtn_model, forward_loss),
    "words": (train, lambda answers: hinge_loss(answers.good, answers.bad)),
}
MODELS = ("scripted", "traced", "frozen", "exported", "symbolic", "function", "no weights")
scripts = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)


def run_loop(name, model, passes=1, optimizer=None, criterion=None, **options):
    """A few batches of what the loop is made for."""
    loop, usual = LOOPS[name]
    words = SimpleWordsDataset(1 if name == "letters" else 2, 8, seed=0)
    loader = DataLoader(words, 4, collate_fn=simple_collate_fn if name == "letters" else collate_fn)
    optimizer = optimizer or SGD(model.parameters(), 1e-4)
    return loop(model, passes, loader, criterion or usual, optimizer, **options)


class Frozen(nn.Module):
    """A network with a batch norm whose statistics are to stay."""

    def __init__(self):
        super().__init__()
        self.bn, self.net = nn.BatchNorm2d(1), SimpleNet()
        self.bn.eval()

    def forward(self, images):
        return self.net(self.bn(images).clamp(0, 1))


def make_font(path, letters=string.ascii_lowercase, box=True, axis=False):
    """A font of bars, the later the letter the wider; what is missing is a box or nothing."""
    names = [".notdef", *letters]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): letter for letter in letters})
    glyphs = {}
    for place, name in enumerate(names):
        pen = TTGlyphPen(None)
        if box or place:
            right = 100 + 14 * place
            pen.moveTo((50, 0))
            for corner in ((50, 700), (right, 700), (right, 0)):
                pen.lineTo(corner)
            pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Bars", "styleName": "Regular"})
    if axis:
        styles = {"Light": 100, "Bold": 900}  # Pillow crashes where the default has no name
        builder.setupFvar(
            [("wght", 100, 100, 900, "Weight")],
            [{"location": {"wght": w}, "stylename": name} for name, w in styles.items()],
        )
        wider = [(0, 0), (0, 0), (90, 0), (90, 0), *[(0, 0)] * 4]
        builder.setupGvar(
            {letter: [TupleVariation({"wght": (0, 1, 1)}, wider)] for letter in letters}
        )
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


# Datasets


class DrawsAnew(Dataset):
    """Draws in __getitem__, as an augmentation does."""

    def __init__(self):
        self.words = SimpleWordsDataset(5, seed=0)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.words.draw_text("hello", 120, jitter=True, noise=True)


@pytest.mark.fault("random numbers in loader workers", "pytorch #5059, MONAI #1068")
@pytest.mark.parametrize(
    ("start", "passes"), [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.slow)]
)
def test_each_loader_worker_and_pass_draws_images_of_its_own(start, passes):
    loader = DataLoader(DrawsAnew(), 1, num_workers=2, multiprocessing_context=start)
    images = [image.numpy().tobytes() for _ in range(passes) for image in loader]
    assert len(set(images)) == len(images) == 8 * passes


@pytest.mark.fault("an index that is a tensor", "pytorch #888")
def test_anything_that_is_a_whole_number_is_an_index():
    words = SimpleWordsDataset(2, 1000, seed=0)
    for index in (
        100,
        np.int8(100),
        np.int64(100),
        torch.tensor(100),
        torch.tensor(100, dtype=torch.uint8),
    ):
        assert words[index][1] == words[100][1]
    assert words[np.int8(-1)][1] == words[999][1]
    assert Subset(words, torch.tensor([7, 3]))[1][1] == words[3][1]
    sampler = SubsetRandomSampler(torch.tensor([5, 6]))
    [batch] = DataLoader(words, 2, sampler=sampler, collate_fn=list)
    assert {text for _, text in batch} == {words[5][1], words[6][1]}


@pytest.mark.fault("an index that is a tensor", "pytorch #888")
@pytest.mark.parametrize("index", [1.0, [0, 1], slice(0, 2), True, "0", torch.tensor([0, 1])])
def test_anything_else_is_no_index_and_the_error_says_what_serves(index):
    with pytest.raises(TypeError, match=r"torch\.utils\.data\.Subset.* as a whole number, got"):
        SimpleWordsDataset(1, 2)[index]


@pytest.mark.fault("numpy's whole numbers", "onnxruntime #8489")
def test_numpys_numbers_are_taken_and_kept_as_pythons():
    config = TrainConfig(
        words=np.int64(8),
        epochs=np.int32(1),
        learning_rate=np.float64(0.001),
        jitter=np.bool_(True),
        font_size=(np.int8(17), np.int64(23)),
    )
    assert config == TrainConfig(words=8, epochs=1, learning_rate=0.001)
    assert {type(value) for value in asdict(config).values()} == {int, float, bool, tuple}
    assert {type(size) for size in config.font_size} == {int}
    model, history = train_from_scratch(np.int64(3), config)
    again, _ = train_from_scratch(torch.tensor(3), config)
    assert len(history.loss) == 1
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
    sizes = {
        "len": np.int16(2),
        "min_length": np.int8(1),
        "seed": np.int64(1),
        "font_size": np.int8(18),
    }
    assert SimpleWordsDataset(np.int64(2), **sizes).draw_text("ab", np.int16(60)).shape == (32, 60)


@pytest.mark.fault("what is no whole number, or no yes or no", "faults-2, unclear errors")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SimpleWordsDataset("3"), "max_length as a whole number, got str: '3'"),
        (lambda: SimpleWordsDataset(True), "max_length as a whole number, got bool"),
        (lambda: SimpleWordsDataset(2, 2.5), "len as a whole number, got float: 2.5"),
        (lambda: SimpleWordsDataset(2, min_length=1.0), "min_length as a whole number"),
        (lambda: SimpleWordsDataset(2, seed=1.5), "seed as a whole number"),
        (lambda: SimpleWordsDataset(2, doubled="all"), "doubled as a number, got str"),
        (lambda: SimpleWordsDataset(2, font_size="20"), "font_size as a whole number, got str"),
        (lambda: SimpleWordsDataset(2, face=0.5), "face as a whole number"),
        (lambda: SimpleWordsDataset(2, noise=0.3), "noise True or False, got float: 0.3"),
        (lambda: SimpleWordsDataset(2, jitter=2), "jitter True or False, got int: 2"),
        (lambda: SimpleWordsDataset(2).draw_text("cat", 60.0), "length as a whole number"),
        (lambda: SimpleWordsDataset(2).draw_text("cat", noise=0.3), "noise True or False"),
        (lambda: TrainConfig(words=2.5), "words as a whole number"),
        (lambda: TrainConfig(batch_size=True), "batch_size as a whole number, got bool"),
        (lambda: TrainConfig(learning_rate="0.1"), "learning_rate as a number, got str"),
        (lambda: TrainConfig(noise=0), "noise True or False"),
        (lambda: prepare(1.0, SMALL), "seed as a whole number"),
        (lambda: SimpleNet(2.5), "channels as a whole number"),
        (lambda: run_loop("letters", SimpleNet(), 1.0), "epochs as a whole number"),
        (lambda: count_windows(18.5), "width as a whole number"),
        (lambda: count_windows(torch.tensor([18.5])), "widths in whole pixels"),
        (lambda: accuracy_by_length(SimpleNet(), 4), "lengths as a list of whole numbers, got 4"),
        (lambda: accuracy_by_length(SimpleNet(), [2.5]), "each length as a whole number"),
    ],
)
def test_what_is_no_whole_number_or_flag_is_a_type_error_that_names_it(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.fault("numbers out of range", "faults-2; engine-faults, elsewhere")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SimpleWordsDataset(2, seed=-1), "seed at least 0, got -1"),
        (lambda: SimpleWordsDataset(2, doubled=float("nan")), r"doubled in \[0, 1\], got nan"),
        (lambda: SimpleWordsDataset(2, font_size=10**30), "could not read face 0 of .* at 1000"),
        (lambda: SimpleWordsDataset(2, face=5), "could not read face 5"),
        (lambda: TrainConfig(batch_size=0), "batch_size at least 1, got 0"),
        (lambda: SimpleNet(0), "channels at least 1"),
        (lambda: run_loop("words", SimpleNet(), -1), "epochs at least 0, got -1"),
        (lambda: accuracy_by_length(SimpleNet(), [1]), "each length at least 2, got 1"),
        (lambda: get_accuracy(SimpleNet(), []), "at least one image, got none"),
        (lambda: get_word_accuracy(SimpleNet(), []), "at least one word, got none"),
    ],
)
def test_numbers_out_of_range_are_value_errors_that_name_them(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.fault("fewer than no windows", "engine-faults, unclear or missing")
def test_an_image_narrower_than_a_window_has_none():
    assert [count_windows(width) for width in (5, np.int8(17), 18, np.uint8(20))] == [0, 0, 1, 2]
    for dtype in (torch.int64, torch.uint8, torch.int8):
        assert count_windows(torch.tensor([5, 17, 18, 20], dtype=dtype)).tolist() == [0, 0, 1, 2]


def image(height=32, width=60, dtype=torch.float32):
    return torch.zeros(height, width, dtype=dtype)


@pytest.mark.fault("samples that don't fit together", "faults-2, unclear errors")
@pytest.mark.parametrize("collate", [collate_fn, simple_collate_fn])
@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([(image().numpy(), "a")], TypeError, "float tensor of images, got ndarray"),
        ([(Image.new("L", (60, 32)), "a")], TypeError, "float tensor of images, got Image"),
        ([("a", image())], TypeError, "float tensor of images, got str"),
        ([(image(dtype=torch.uint8), "a")], TypeError, "float tensor of images, got torch.uint8"),
        ([(image(), "a"), (image(dtype=torch.float64), "b")], TypeError, "of one type"),
        ([(image(), "a"), (image(31), "b")], ValueError, r"images \(32, W\), got \(31, 60\)"),
        ([(image()[None], "a")], ValueError, r"images \(32, W\), got \(1, 32, 60\)"),
        ([image()], TypeError, r"samples \(image, text\), got Tensor"),
        ([(image(), "a", 1)], TypeError, r"samples \(image, text\), got tuple"),
        (iter([]), ValueError, "at least one"),
    ],
)
def test_samples_that_cannot_be_batched_say_why(collate, samples, error, message):
    with pytest.raises(error, match=message):
        collate(samples)


@pytest.mark.fault("an iterator read twice", "sibling of the last")
def test_samples_may_come_from_an_iterator():
    words = SimpleWordsDataset(2, 3, seed=0)
    assert (
        collate_fn(iter(words)).window_lengths.tolist()
        == collate_fn(list(words)).window_lengths.tolist()
    )


# Fonts


@pytest.mark.fault("font objects shared and cached", "Pillow #5825")
@pytest.mark.parametrize("how", ["axes", "name"])
def test_a_variation_changes_this_dataset_alone_and_old_words_too(tmp_path, how):
    path = make_font(tmp_path / "bars.ttf", axis=True)
    ours, other = (SimpleWordsDataset(1, font=path, seed=0) for _ in range(2))
    light = ours.draw_text("abc")
    if how == "axes":
        ours.font.set_variation_by_axes([900])
    else:
        ours.font.set_variation_by_name("Bold")
    bold = ours.draw_text("abc")
    assert bold.sum() > light.sum()
    assert torch.equal(other.draw_text("abc"), light)
    for copied in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert torch.equal(copied.draw_text("abc"), bold)


@pytest.mark.fault("font objects shared and cached", "Pillow #5825")
def test_a_font_replaced_on_disk_is_seen_by_new_datasets_only(tmp_path):
    path = make_font(tmp_path / "font.ttf")
    old = SimpleWordsDataset(1, font=path)
    bars = old.draw_text("cat", 90)
    path.write_bytes(default_font().read_bytes())
    assert torch.equal(
        SimpleWordsDataset(1, font=path).draw_text("cat", 90),
        SimpleWordsDataset(1).draw_text("cat", 90),
    )
    assert torch.equal(old.draw_text("cat", 90), bars)
    old.font.ink.cache_clear()
    assert torch.equal(old.draw_text("cat", 90), bars)


@pytest.mark.fault("a relative path in a pickle", "Pillow #5825")
def test_a_pickled_dataset_draws_the_same_elsewhere_and_without_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make_font(tmp_path / "bars.ttf")
    words = SimpleWordsDataset(2, 2, font="bars.ttf", seed=0)
    assert words.font.path == str(path)
    monkeypatch.chdir("/")
    path.unlink()
    assert torch.equal(pickle.loads(pickle.dumps(words))[0][0], words[0][0])


@pytest.mark.fault("only the first face of a collection", "faults-2, annoyances")
def test_each_face_of_a_collection_can_be_chosen(tmp_path):
    paths = make_font(tmp_path / "bars.ttf"), default_font()
    collection = TTCollection()
    collection.fonts = [TTFont(path) for path in paths]
    collection.save(tmp_path / "both.ttc")
    for face, path in enumerate(paths):
        chosen = SimpleWordsDataset(1, font=tmp_path / "both.ttc", face=face)
        expected = SimpleWordsDataset(1, font=path).draw_text("cat")
        for words in (chosen, pickle.loads(pickle.dumps(chosen))):
            assert torch.equal(words.draw_text("cat"), expected)


@pytest.mark.fault("a font that lacks letters", "egui #8511")
@pytest.mark.parametrize("box", [True, False])
@pytest.mark.parametrize(("letters", "lacks"), [("abcdefghijklmnopqrstuvwx", "yz"), ("ABC", "abc")])
def test_a_font_that_lacks_letters_is_refused_by_their_names(tmp_path, letters, lacks, box):
    with pytest.raises(ValueError, match=rf"letters a\.\.z, .*font\.ttf' lacks '{lacks}"):
        SimpleWordsDataset(1, font=make_font(tmp_path / "font.ttf", letters, box))


@pytest.mark.fault("letters drawn as one", "engine-faults: DejaVu Sans and 'fi'")
@pytest.mark.parametrize("name", ["DejaVuSans.ttf", "STIXGeneral.ttf"])
@pytest.mark.parametrize("pair", ["fi", "fl", "ff"])
def test_letters_are_not_merged_into_one_shape(name, pair):
    words = SimpleWordsDataset(1, font=MORE_FONTS / name, font_size=24)
    first = words.draw_text(pair[0], 60)
    both = words.draw_text(pair, 60)
    seen = first.sum(0).nonzero().max()  # the last column may hold some of the second letter
    assert torch.equal(both[:, :seen], first[:, :seen])


# The network


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return SimpleNet().eval()


def other_form(net, form):
    """A network as what remains of it after a conversion."""
    batch = torch.rand(2, 1, 32, 54)
    if form == "scripted":
        return torch.jit.script(net)
    if form == "traced":
        return torch.jit.trace(net, (batch,))
    if form == "frozen":
        return torch.jit.freeze(torch.jit.script(net))
    if form == "exported":
        any_size = {0: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
        return torch.export.export(net, (batch,), dynamic_shapes=(any_size,)).module()
    if form == "symbolic":
        return torch.fx.symbolic_trace(net)
    if form == "no weights":
        return Blind()
    return lambda images: net(images)


class Blind(nn.Module):
    """Sees separators everywhere."""

    def forward(self, images):
        energies = torch.zeros(len(images), 60, 27)
        energies[..., 26] = -1
        return energies


@scripts
@pytest.mark.fault("a look at values in forward", "pytorch #143222, vision #9321")
@pytest.mark.parametrize("form", ["scripted", "traced", "frozen", "exported", "symbolic"])
def test_the_network_can_be_converted(net, form):
    images = torch.rand(3, 1, 32, 70)
    torch.testing.assert_close(other_form(net, form)(images), net(images))


@pytest.mark.fault("a look at values in forward", "pytorch #143222, vision #9321")
@pytest.mark.parametrize("how", ["compile", "vmap", "meta", "fake", "functional"])
def test_the_network_can_be_transformed_and_simulated(net, how):
    images = torch.rand(3, 1, 32, 54)
    if how == "compile":
        found = torch.compile(net, fullgraph=True, backend="aot_eager")(images)
    elif how == "vmap":
        found = torch.func.vmap(net)(images[:, None])[:, 0]
    elif how == "functional":
        found = torch.func.functional_call(net, dict(net.named_parameters()), (images,))
    else:
        fake = torch._subclasses.fake_tensor.FakeTensorMode()
        with torch.device("meta") if how == "meta" else fake:
            assert SimpleNet()(torch.rand(3, 1, 32, 54)).shape == (3, 19, 27)
        return
    torch.testing.assert_close(found, net(images))


@pytest.mark.fault("a look at values in forward", "pytorch #143222, vision #9321")
def test_values_are_still_looked_at_where_there_are_some(net):
    for model in (net, other_form(net, "symbolic")):
        with pytest.raises(ValueError, match=r"values in \[0, 1\], got 255"):
            model(torch.full((1, 1, 32, 54), 255.0))
        with pytest.raises(TypeError, match="float tensor of images, got ndarray"):
            model(np.zeros((1, 1, 32, 54), np.float32))


# How a network is run


@scripts
@pytest.mark.fault("jit-traced and frozen models, plain callables", "pytorch #151726, NeMo #4430")
@pytest.mark.parametrize("form", MODELS)
def test_any_network_or_function_is_evaluated(net, form):
    words = SimpleWordsDataset(3, 4, seed=0)
    model = other_form(net, form)
    expected = 0.0 if form == "no weights" else get_word_accuracy(net, words)
    assert list(map(lambda m: get_word_accuracy(m, words), [model])) == [expected]  # noqa: C417
    if form != "exported":  # torch's own guard there asks for more than one window
        assert 0 <= get_accuracy(model, SimpleWordsDataset(1, 4, seed=0)) <= 1


@pytest.mark.fault("modes not put back", "avalanche PR 772, Lightning #18930")
@pytest.mark.parametrize("use", ["evaluate", "evaluate letters", *LOOPS])
def test_a_frozen_module_stays_frozen(use):
    model = Frozen()
    model.net.layers[1].eval()
    before = [module.training for module in model.modules()]
    mean = model.bn.running_mean.clone()
    if use == "evaluate":
        get_word_accuracy(model, SimpleWordsDataset(2, 4))
    elif use == "evaluate letters":
        get_accuracy(model, SimpleWordsDataset(1, 4))
    else:
        run_loop(use, model)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(model.bn.running_mean, mean)


@pytest.mark.fault("modes not put back", "avalanche PR 772, Lightning #18930")
def test_a_network_in_evaluation_mode_trains_in_training_mode_and_is_put_back():
    model = Frozen().eval()
    mean = model.bn.running_mean.clone()
    run_loop("letters", model)
    assert not any(module.training for module in model.modules())
    assert not torch.equal(model.bn.running_mean, mean)
    assert not train_from_scratch(0, TrainConfig(words=4, epochs=1))[0].training


@pytest.mark.fault("dtype of the model", "pytorch #2138")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("use", ["evaluate", *LOOPS])
def test_the_type_of_the_network_is_followed(use, dtype):
    model = SimpleNet().to(dtype)
    if use == "evaluate":
        assert get_word_accuracy(model, SimpleWordsDataset(2, 4)) == 0
        assert get_accuracy(model, SimpleWordsDataset(1, 4)) <= 1
    else:
        assert run_loop(use, model).loss[0] < 1000
    assert {weights.dtype for weights in model.parameters()} == {dtype}


@pytest.mark.fault("dtype of the model", "pytorch #2138")
def test_the_default_type_may_be_another(monkeypatch):
    torch.set_default_dtype(torch.float64)
    try:
        model, history = train_from_scratch(0, TrainConfig(words=8, epochs=1))
        get_word_accuracy(model, SimpleWordsDataset(2, 4))
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(history.loss) == 1


@pytest.mark.fault("no float64 on the device", "pytorch #122602")
def test_loops_ask_for_no_float64_where_there_is_none(monkeypatch):
    def refuse(self):
        raise TypeError("no float64 here")

    monkeypatch.setattr(torch.Tensor, "double", refuse)
    assert len(run_loop("letters", SimpleNet()).loss) == 1
    assert 0 <= reliability(torch.rand(4), torch.rand(4) > 0.5).error <= 1


@pytest.mark.fault("NaN read as a letter", "torchmetrics #483")
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_no_letter_is_read_where_there_is_no_lowest_energy(value):
    def broken(images):
        return torch.full((len(images), 1, 27), value)

    with pytest.raises(ValueError, match="lowest class, got NaN or nothing but inf"):
        get_accuracy(broken, SimpleWordsDataset(1, 4))


@pytest.mark.fault("NaN read as a letter", "torchmetrics #483")
@pytest.mark.parametrize("use", LOOPS)
def test_nan_in_a_training_says_where(use):
    model = SimpleNet()
    nn.init.constant_(model.layers[-1].bias, torch.nan)
    with pytest.raises(ValueError, match=r"pass 1, step 1: expected .* NaN"):
        run_loop(use, model)


@pytest.mark.fault("NaN read as a letter", "torchmetrics #483")
def test_a_loss_or_weights_that_become_nan_say_where():
    calls = []

    def nan_at_the_third_batch(energies, targets):
        calls.append(1)
        return cross_entropy(energies, targets) * (torch.nan if len(calls) == 3 else 1)

    def steep_at_the_last_batch(answers):
        calls.append(1)
        return (answers.good * 0).sqrt() if len(calls) == 2 else answers.good

    with pytest.raises(ValueError, match="pass 2, step 1: expected a loss, got NaN"):
        run_loop("letters", SimpleNet(), 2, criterion=nan_at_the_third_batch)
    calls.clear()
    with pytest.raises(ValueError, match="pass 1: weights became NaN"):
        run_loop("words", SimpleNet(), criterion=steep_at_the_last_batch)


@pytest.mark.fault("NaN read as a letter", "torchmetrics #483")
@pytest.mark.parametrize("read", ["a", ["a"], [0, 1, 2, 3]])
def test_a_decoder_must_give_a_word_for_each_image(net, read):
    with pytest.raises((TypeError, ValueError), match="words"):
        get_word_accuracy(net, SimpleWordsDataset(2, 4), lambda energies, lengths: read)


@pytest.mark.fault("plots and rates of numpy", "faults-2, unclear errors")
@pytest.mark.parametrize(
    ("confidence", "correct"),
    [
        (np.array([0.5]), torch.tensor([True])),
        (torch.tensor([0.5]), np.array([True])),
        (torch.tensor([1]), torch.tensor([True])),
    ],
)
def test_reliability_says_what_it_expects(confidence, correct):
    with pytest.raises(TypeError, match="tensor of"):
        reliability(confidence, correct)
    assert reliability(torch.tensor([1.0], requires_grad=True), torch.tensor([True])).error == 0


# Loops


def states(setup, history):
    """All that a training needs to go on, through a file and back."""
    file = io.BytesIO()
    parts = {name: getattr(setup, name).state_dict() for name in ("model", "optimizer", "schedule")}
    order = setup.loader.generator.get_state()
    torch.save(
        {**parts, "order": order, "history": history._asdict(), "config": asdict(SMALL)}, file
    )
    file.seek(0)
    return torch.load(file, weights_only=True)


def fit(setup, passes, history=None):
    """One of the loops, with the rates it gave."""
    rates = []
    setup.optimizer.register_step_post_hook(
        lambda *_: rates.append(setup.optimizer.param_groups[0]["lr"])
    )
    history = train_ebm_model(
        setup.model,
        passes,
        setup.loader,
        path_cross_entropy,
        setup.optimizer,
        schedule=setup.schedule,
        history=history,
    )
    return rates, history


@pytest.mark.fault("schedule kept in an optimizer hook", "Lightning #15462, yolov5 PR 5864")
def test_a_training_that_is_resumed_is_as_if_unbroken():
    whole = prepare(0, SMALL)
    rates, history = fit(whole, 6)
    broken = prepare(0, SMALL)
    first_rates, half = fit(broken, 3)
    saved = states(broken, half)
    config = TrainConfig(**saved["config"])
    resumed = prepare(0, config)
    for name in ("model", "optimizer", "schedule"):
        getattr(resumed, name).load_state_dict(saved[name])
    resumed.loader.generator.set_state(saved["order"])
    more_rates, both = fit(resumed, 3, History(**saved["history"]))
    assert first_rates + more_rates == rates
    assert len(set(rates)) > 10
    assert all(
        torch.equal(a, b) for a, b in zip(resumed.model.parameters(), whole.model.parameters())
    )
    assert config == SMALL
    assert both.loss == history.loss
    assert both.seconds == sorted(both.seconds)


@pytest.mark.fault("schedule kept in an optimizer hook", "Lightning #15462, yolov5 PR 5864")
@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("how", [copy.deepcopy, lambda setup: pickle.loads(pickle.dumps(setup))])
def test_a_copied_training_goes_on_by_its_own_schedule(how, done):
    config = TrainConfig(words=16, epochs=2, batch_size=8)
    setup = prepare(0, config)
    fit(setup, done)
    copied = how(setup)
    assert fit(copied, 2 - done)[0] == fit(setup, 2 - done)[0]
    assert all(
        torch.equal(a, b) for a, b in zip(copied.model.parameters(), setup.model.parameters())
    )


@pytest.mark.fault("more passes than the schedule has", "engine-faults, elsewhere")
def test_more_passes_than_the_schedule_has_are_refused_before_the_first():
    setup = prepare(0, SMALL)
    before = [weights.clone() for weights in setup.model.parameters()]
    with pytest.raises(ValueError, match=r"at most the 30 steps .* left, got 35, 5 a pass"):
        fit(setup, 7)
    assert all(torch.equal(a, b) for a, b in zip(before, setup.model.parameters()))


@pytest.mark.fault("an interrupted training loses its history", "engine-faults, elsewhere")
def test_an_interrupted_training_keeps_its_passes_and_puts_back_the_modes():
    def interrupt(energies, targets):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return cross_entropy(energies, targets)

    calls, history, model = [], History([], [], [], [], []), Frozen().eval()
    with pytest.raises(KeyboardInterrupt):
        run_loop("letters", model, 5, criterion=interrupt, history=history)
    assert [len(values) for values in history] == [2] * 5
    assert not model.training
    assert run_loop("letters", model, history=history) is history
    assert len(history.loss) == 3


@pytest.mark.fault("an optimizer that cannot serve", "faults-2: LBFGS, all weights frozen")
@pytest.mark.parametrize("use", LOOPS)
@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("closure", TypeError, r"step\(\) of the optimizer .* LBFGS needs \['closure'\]"),
        (
            "metrics",
            TypeError,
            r"step\(\) of the schedule .* ReduceLROnPlateau needs \['metrics'\]",
        ),
        ("none", TypeError, "a torch optimizer, got function"),
        ("frozen", ValueError, "a network whose weights are all frozen"),
        ("another", ValueError, "holds weights of the network, .* got another's"),
        ("another schedule", ValueError, "schedule of this optimizer, got another's"),
        ("no gradient", ValueError, "depends on the weights"),
        ("history", TypeError, "a History, got dict"),
    ],
)
def test_what_would_train_nothing_is_refused(use, fault, error, message):
    model, options = SimpleNet(), {}
    optimizer = SGD(model.parameters(), 0.1)
    if fault == "closure":
        optimizer = LBFGS(model.parameters())
    elif fault == "metrics":
        options = {"schedule": ReduceLROnPlateau(optimizer)}
    elif fault == "none":
        optimizer = cross_entropy
    elif fault == "frozen":
        model.requires_grad_(False)
    elif fault == "another":
        optimizer = SGD(copy.deepcopy(model).parameters(), 0.1)
    elif fault == "another schedule":
        options = {"schedule": prepare(0, SMALL).schedule}
    elif fault == "history":
        options = {"history": History([], [], [], [], [])._asdict()}
    with pytest.raises(error, match=message), torch.set_grad_enabled(fault != "no gradient"):
        run_loop(use, model, optimizer=optimizer, **options)


@pytest.mark.fault("batches that are none", "sibling: a loader without its collate function")
def test_batches_of_the_wrong_kind_are_refused():
    model = SimpleNet()
    optimizer = SGD(model.parameters(), 0.1)
    with pytest.raises(TypeError, match="a Batch, as collate_fn makes it, got list"):
        train_ebm_model(
            model, 1, DataLoader(SimpleWordsDataset(2, 2)), path_cross_entropy, optimizer
        )
    letters = DataLoader(SimpleWordsDataset(1, 2), collate_fn=simple_collate_fn)
    with pytest.raises(TypeError, match="a Batch, as collate_fn makes it, got tuple"):
        train_ebm_model(model, 1, letters, path_cross_entropy, optimizer)


@pytest.mark.fault("no console", "tqdm #1523")
@pytest.mark.parametrize("stream", ["none", "closed"])
def test_training_without_a_console(monkeypatch, stream):
    closed = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stream == "none" else closed)
    assert len(run_loop("letters", SimpleNet()).loss) == 1


@pytest.mark.fault("bars that ignore TQDM_DISABLE in notebooks", "found by ourselves")
def test_tqdm_disable_silences_notebooks_too(monkeypatch):
    bars = []

    def notebook_bar(*args, disable=False, **options):  # as tqdm.notebook: never asks
        bars.append(disable)
        return tqdm.std.tqdm(*args, disable=True, **options)

    monkeypatch.setattr(training, "tqdm", notebook_bar)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    run_loop("letters", SimpleNet())
    monkeypatch.setenv("TQDM_DISABLE", "1")
    run_loop("letters", SimpleNet())
    assert bars == [False, True]


@pytest.mark.fault("a loss that cannot serve", "faults-2, unclear errors")
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (hinge_loss, "missing 1 required positional argument: 'bad'"),
        (functools.partial(nll_loss, beta=2.0), "argument: 'log_partition'"),
        (energy_loss, "got one that returns Answers"),
        (lambda answers: 0.0, "got one that returns float"),
        (lambda: None, "takes 0 positional arguments"),
        ("hinge", "'str' object is not callable"),
    ],
)
def test_a_loss_of_anything_but_answers_is_refused_by_one_that_serves(loss, message):
    shown = "lambda answers: hinge_loss(answers.good, answers.bad)"
    with pytest.raises(TypeError, match=f"{re.escape(shown)}.*{re.escape(message)}"):
        run_loop("words", SimpleNet(), criterion=loss)


@pytest.mark.fault("a schedule that is left out", "sibling of Lightning #15462")
def test_a_schedule_that_is_left_out_is_said():
    model, loader, optimizer, schedule = prepare(0, TrainConfig(words=32, epochs=1))
    with pytest.warns(UserWarning, match="one-cycle schedule begins: pass schedule="):
        train_ebm_model(model, 1, loader, path_cross_entropy, optimizer)
    train_ebm_model(model, 1, loader, path_cross_entropy, optimizer, schedule=schedule)
