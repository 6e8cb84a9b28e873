"""What is accepted: each kind of argument is checked and converted here, once,
for every public function.

Each function raises, naming what was expected and what came. Shapes and types are looked at on each
call; values by the kernels as they go, and here when there is something to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
INTEGERS = frozenset(
    {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32}
)
"""All that int64 holds."""
Separators = Literal["required", "optional"]
Infeasible = Literal["raise", "inf"]
Reduction = Literal["none", "mean", "sum"]
TOPOLOGIES, OUTCOMES, REDUCTIONS = map(get_args, (Separators, Infeasible, Reduction))


def whole_number(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """An int from any whole number: Python's, numpy's, a tensor's single one; True is none."""
    if isinstance(value, Tensor) and value.dtype in INTEGERS and value.dim() == 0:
        value = value.item()
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"expected {name} as a whole number, got {_kind(value)}: {value!r}")
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        span = f"at least {least}" if most is None else f"in {least}..{most}"
        raise ValueError(f"expected {name} {span}, got {number}")
    return number


def real_number(name: str, value: Any) -> float:
    """A float from any single real number that nobody differentiates by."""
    if isinstance(value, Tensor):
        if carries_derivative(value):
            raise TypeError(f"expected {name} as a number, got a tensor that asks for a gradient")
        if value.numel() != 1 or value.is_complex() or value.dtype == torch.bool:
            raise TypeError(
                f"expected {name} as one number, got {tuple(value.shape)} of {value.dtype}"
            )
        return float(value)
    if not isinstance(value, (Real, np.bool_)) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected {name} as a number, got {_kind(value)}: {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"expected {name} that a float holds, got one beyond 1.8e308") from error


def as_beta(beta: Any, most: float = math.inf) -> float:
    """An inverse temperature in (0, most]."""
    number = real_number("beta", beta)
    if not 0 < number <= most:
        raise ValueError(f"expected beta in (0, inf{']' if most == math.inf else ')'}, got {beta}")
    return number


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"expected {name} {' or '.join(map(repr, choices))}, got {value!r}")


def as_optional(separators: object) -> bool:
    """Whether separators are optional: the topology."""
    check_choice("separators", separators, TOPOLOGIES)
    return separators == "optional"


def as_strict(infeasible: object) -> bool:
    """Whether a target that does not fit is an error."""
    check_choice("infeasible", infeasible, OUTCOMES)
    return infeasible == "raise"


def check_reduction(reduction: object) -> None:
    """What becomes of a batch's losses."""
    check_choice("reduction", reduction, REDUCTIONS)


def check_dtype(dtype: object) -> None:
    """A floating-point type of torch, or None for the one that came."""
    if dtype is not None and dtype not in FLOATS:
        raise TypeError(f"expected a floating-point dtype, got {dtype!r}")


def as_separator(separator: Any, classes: int) -> int:
    """The separator's class; None is the last one."""
    if separator is None:
        return classes - 1
    return whole_number("a separator", separator, 0, classes - 1)


def as_words(words: Any, count: int | None = None) -> list[str | Sequence[str]]:
    """A list of words in their order, from anything that has one; a word is a str, or symbols."""
    unordered = isinstance(words, (str, Mapping, Set, Tensor)) or not isinstance(words, Iterable)
    found = [] if unordered else [*words]
    if unordered or not all(map(_is_text, found)):
        raise TypeError(
            "expected a list of words, each a str or a list of symbols, "
            f"got {_kind(words)}: {words!r:.80}"
        )
    if not found:
        raise ValueError("expected at least one word, got none")
    if count is not None and len(found) != count:
        raise ValueError(f"expected {count} words, one a sample, got {len(found)}")
    return found


def _is_text(word: object) -> bool:
    """A str, or a list or tuple of str."""
    several = isinstance(word, (list, tuple)) and all(isinstance(symbol, str) for symbol in word)
    return several or isinstance(word, str)


def as_classes(classes: Any, size: int) -> list[int]:
    """(L,) classes below a size."""
    found = as_integers("classes", classes)
    if found.dim() != 1:
        raise ValueError(f"expected (L,) integer classes, got shape {tuple(found.shape)}")
    listed: list[int] = found.tolist()
    if listed and (min(listed) < 0 or max(listed) >= size):
        raise ValueError(f"expected classes 0..{size - 1}, got {min(listed)}..{max(listed)}")
    return listed


def check_energies(energies: Any) -> None:
    """(B, L, C) floats, nothing empty."""
    check_floats("energies", energies)
    if energies.dim() != 3 or 0 in energies.shape:
        shape = tuple(energies.shape)
        raise ValueError(f"expected energies (B, L, C), none of them zero, got {shape}")


def check_floats(name: str, values: Any) -> None:
    """A dense tensor of a floating-point type that can be computed with."""
    if not isinstance(values, Tensor) or values.dtype not in FLOATS:
        raise TypeError(f"expected a float tensor of {name}, got {_kind(values)}")
    if type(values) is Tensor and values.layout is torch.strided and not values.is_nested:
        return
    if type(values).__name__ == "MaskedTensor":
        raise TypeError(f"expected a plain tensor of {name}, got a MaskedTensor: fill it with inf")
    if values.layout is not torch.strided or values.is_nested:
        kind = "nested" if values.is_nested else str(values.layout)
        raise TypeError(f"expected a dense tensor of {name}, got a {kind} one")


def check_classes(energies: Any) -> None:
    """(..., C) floats, of at least one class."""
    check_floats("energies", energies)
    if energies.dim() == 0 or energies.shape[-1] == 0:
        shape = tuple(energies.shape)
        raise ValueError(f"expected energies (..., C), at least one class, got {shape}")


def check_targets(energies: Tensor, targets: Any) -> None:
    """(B, T) integers beside the energies."""
    if not isinstance(targets, Tensor) or targets.dtype not in INTEGERS:
        raise TypeError(f"expected an integer tensor of targets, got {_kind(targets)}")
    if targets.dim() != 2 or targets.shape[0] != energies.shape[0]:
        shape, got = tuple(energies.shape), tuple(targets.shape)
        raise ValueError(f"expected targets ({shape[0]}, T) for energies {shape}, got {got}")
    if targets.is_cpu != energies.is_cpu or not (
        targets.is_cpu or targets.device == energies.device
    ):
        raise ValueError(
            f"expected targets on {energies.device} with the energies, got {targets.device}"
        )


def as_lengths(name: str, lengths: Any, energies: Tensor, longest: int) -> Tensor:
    """(B,) int64 on the device of the energies; all ``longest`` where none are given."""
    batch = energies.shape[0]
    if lengths is None:
        return torch.full((batch,), longest, device=energies.device)
    lengths = as_integers(name, lengths)
    if lengths.shape != (batch,):
        raise ValueError(f"expected {name} ({batch},), got {tuple(lengths.shape)}")
    return lengths if lengths.is_cpu and energies.is_cpu else lengths.to(energies.device)


def as_integers(name: str, values: Any) -> Tensor:
    """An int64 tensor from integers of any kind and in any container that has an order."""
    if not isinstance(values, Tensor):
        odd = isinstance(values, (str, bytes, Mapping, Set)) or values is None
        try:  # numpy goes by place where a Series would go by label; a copy, for derivatives later
            listed = isinstance(values, (list, tuple))
            found = torch.as_tensor(values if listed else np.array(values, order="C"))
        except (TypeError, ValueError, RuntimeError):
            odd, found = True, torch.empty(0)
        if odd or (isinstance(values, (list, tuple)) and bool in map(type, values)):
            raise TypeError(f"expected integer {name}, got {values!r}")
        values = found if found.numel() else found.long()  # an empty list is of floats
    if values.dtype is torch.int64:
        return values  # at no cost
    if values.dtype not in INTEGERS:
        raise TypeError(f"expected integer {name}, got {values.dtype}")
    return values.long()


def check_values(
    energies: Tensor, targets: Tensor, window_lengths: Tensor, target_lengths: Tensor
) -> None:
    """Lengths and classes in range, and no energy that counts NaN or -inf."""
    _, windows, classes = energies.shape
    width = targets.shape[1]
    for name, lengths, longest in (
        ("window", window_lengths, windows),
        ("target", target_lengths, width),
    ):
        if not ((lengths >= 0) & (lengths <= longest)).all():
            raise ValueError(f"expected {name}_lengths in 0..{longest}, got {lengths.tolist()}")
    outside = torch.arange(windows, device=energies.device) >= window_lengths[:, None]
    bad = ~(energies > -math.inf) & ~outside[..., None]
    if bad.any():
        sample, window, at = bad.nonzero()[0].tolist()
        got = "NaN" if energies[sample, window, at].isnan() else "-inf"
        place = f"sample {sample}, window {window}, class {at}"
        raise ValueError(f"expected energies above -inf, got {got} in {place}")
    inside = torch.arange(width, device=targets.device) < target_lengths[:, None]
    check_range("targets", targets.where(inside, 0), classes)


def check_range(name: str, values: Tensor, size: int | Tensor) -> None:
    """Integers in 0..size - 1."""
    if not ((values >= 0) & (values < size)).all():
        lowest, highest = int(values.min()), int(values.max())
        hint = "; target_lengths say what is padding" if name == "targets" and lowest < 0 else ""
        raise ValueError(
            f"expected {name} at least 0 and below {size}, got {lowest}..{highest}{hint}"
        )


def check_matrix(pm: Any) -> None:
    """(L, T) floats, none of them NaN or -inf."""
    check_floats("energies", pm)
    if pm.dim() != 2 or 0 in pm.shape:
        raise ValueError(f"expected a path matrix (L, T), none zero, got {tuple(pm.shape)}")
    if not (pm > -math.inf).all():
        raise ValueError("expected energies above -inf, got NaN or -inf")


def can_look_at(values: Tensor) -> bool:
    """Whether the values are there to be read: nobody traces, transforms or simulates."""
    return not (
        torch.compiler.is_compiling()
        or type(values) not in (Tensor, torch.nn.Parameter)
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
        or values.is_meta
    )


def carries_derivative(values: Tensor) -> bool:
    """Whether somebody differentiates with respect to a tensor, backward or forward."""
    if values.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(values):
        return True
    if torch.autograd.forward_ad._current_level < 0:
        return False
    return torch.autograd.forward_ad.unpack_dual(values).tangent is not None


def as_array(values: Tensor) -> np.ndarray:
    """The numbers of a tensor on the CPU, within torch.func.grad too."""
    while torch._C._functorch.is_gradtrackingtensor(values):
        values = torch._C._functorch.get_unwrapped(values)
    with torch._C._DisableFuncTorch():
        return values.numpy()


def without_padding(energies: Tensor, window_lengths: Tensor) -> Tensor:
    """(B, L, C) energies, 0 in the windows that don't count: what stood there may be NaN."""
    windows = torch.arange(energies.shape[1], device=energies.device)
    return energies.where((windows < window_lengths[:, None])[..., None], 0)


def widen(values: Tensor) -> Tensor:
    """The type that sums are taken in: float64, or float32 on a device that has no float64."""
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def narrow(values: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Results in a dtype, by default that of what came, but at least float32."""
    dtype = dtype or torch.promote_types(like.dtype, torch.float32)
    return values if values.dtype is dtype else values.to(dtype)  # at no cost


def _kind(value: object) -> str:
    """What a value is, for an error message."""
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def truth(name: str, value: Any) -> bool:
    """True or False, Python's or numpy's: 0.3 is no yes."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected {name} True or False, got {_kind(value)}: {value!r}")
    return bool(value)
