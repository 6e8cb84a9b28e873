r"""Formulas of the theory, read from its LaTeX and evaluated: a small grammar of what it uses.

A formula makes statements, such as ``a = b \le c``: members, and the relations between them. Each
member is a function of a *world*: a dict from names to tensors, or to functions of the world and of
indices, such as ``<F_W>`` or ``<NLL>``; ``world["over"]`` says how many values a bound variable
takes. tests/test_formulas.py makes the worlds, and compares.
"""

import re
from collections.abc import Callable
from functools import reduce
from operator import mul
from typing import Any

import torch

World = dict[str, Any]
Term = Callable[[World], Any]
Statement = tuple[list[Term], list[Any]]
REWRITTEN = (
    (r"\\why\{(?:[^{}]|\{[^{}]*\})*\}", " "),  # the reason beside a line
    (r"\\good(?![a-z])", r"\\F(x,y)"),
    (r"\\bad(?![a-z])", r"\\F(x,\\ybar)"),
    (r"\\loss\{([\w-]+)\}", r" <\1> "),
    (r"\b([Fp])_\\?(W|infty|beta)(?![A-Za-z])", r" <\1_\2> "),
    (r"\\F(?![a-z_])", " <F_W> "),
    (r"y\^\{\*\}", " <y*> "),
    (r"\\ybar(?![a-z])", " <ybar> "),
    (r"y'", " <y'> "),
    (r"_\{\s*<y'>\s*(?:=1\}\^\{n|\\sim[^}]*)\}", "_{<y'>}"),  # over all classes
    (r"(\\(?:sum|m)\w*_)(\w)", r"\1{\2}"),
    (r"\\text\{[^}]*\}|\\q?quad", ";"),  # words and wide gaps part one statement from the next
    (r"\\(?:notag|left|right|[bB]igg?[lr]|[,;!\\])|\\(?:label|eqref)\{[^}]*\}|&", " "),
)
TOKEN = re.compile(r"<[\w*'-]+>|\\[A-Za-z]+|\S")  # digits one by one, as in \frac12
RELATIONS = ("=", "<", ">", r"\le", r"\ge", r"\ne", r"\xrightarrow")
ENDS = {*RELATIONS, *"+-)]},;.", r"\rVert", r"\mathrm", ""}
CLOSING = {"(": ")", "[": "]", "{": "}", r"\lVert": r"\rVert"}
BRACKETS = {r"\relu": torch.relu, r"\lVert": lambda value: value.norm(dim=-1)}
VARIABLES = (r"\beta", r"\Delta", r"\pi", r"\infty")
OPERATORS = (r"\sum", r"\min", r"\max", r"\argmin", r"\argmax", r"\expect", r"\lim")
ARGUMENTS = {"G": ["y", "z"], "Z": []}  # of a function written without them; of others it is y


def read(formula: str) -> list[Statement]:
    """What a formula states."""
    for pattern, replacement in REWRITTEN:
        formula = re.sub(pattern, replacement, formula)
    reader, found = _Reader(formula), []
    while reader.tokens[reader.at]:
        if not any(map(reader.skip, ",;.")):
            found.append(reader.statement())
    return found


class _Reader:
    """Recursive descent over the tokens of a formula."""

    def __init__(self, text: str) -> None:
        self.tokens, self.at = [*TOKEN.findall(text), ""], 0

    def take(self, *expected: str) -> str:
        for token in expected or self.tokens[self.at : self.at + 1]:
            if not self.tokens[self.at] or self.tokens[self.at] != token:
                around = " ".join(self.tokens[max(0, self.at - 6) : self.at + 6])
                raise ValueError(f"expected {token or 'more'} in the middle of {around!r}")
            self.at += 1
        return token

    def skip(self, *tokens: str) -> bool:
        found = tuple(self.tokens[self.at : self.at + len(tokens)]) == tokens
        self.at += len(tokens) * found
        return found

    def statement(self) -> Statement:
        members, relations = [self.sum()], []
        while self.tokens[self.at] in RELATIONS:
            relations.append(self.take())
            if relations[-1] == r"\xrightarrow":  # {variable \to value}
                relations[-1] = (self.take("{") and self.take(), self.take(r"\to") and self.sum())
                self.take("}")
            members.append(self.sum())
        return members, relations

    def sum(self) -> Term:
        parts = [(-1 if self.skip("-") else self.skip("+") or 1, self.term())]
        while self.tokens[self.at] in ("+", "-"):
            parts.append((1 if self.take() == "+" else -1, self.term()))
        return lambda world: sum(sign * part(world) for sign, part in parts)

    def term(self) -> Term:
        factors = [self.factor()]
        while self.tokens[self.at] not in ENDS and self.tokens[self.at] != "/":
            factors += [] if self.skip(r"\cdot") else [self.factor()]
        below = self.term() if self.skip("/") else lambda world: 1
        return lambda world: reduce(mul, [factor(world) for factor in factors]) / below(world)

    def factor(self) -> Term:
        token = self.take()
        if token == r"\by":
            return self.derivative()
        if token in OPERATORS:
            return self.operator(token)
        if token == r"\frac":
            above, below = self.factor(), self.factor()
            return lambda world: above(world) / below(world)
        if token in (r"\log", r"\sigma"):
            inner = self.term() if token == r"\log" else self.factor()
            return lambda world: inner(world).log() if token == r"\log" else inner(world).sigmoid()
        if token == r"\underbrace":  # {a row}_{1 \times N}
            inner, _ = self.factor(), self.take("_", "{", "1", r"\times", "N", "}")
            return lambda world: inner(world).reshape(1, world["N"])
        if token == r"\int":
            inner, _ = self.term(), self.take(r"\mathrm", "{", "d", "}", "<y'>")
            return lambda w: (inner(w | {"<y'>": w["points"]}) * w["cell"]).sum()
        if token == r"\one":  # of a < b or a > b
            _, (sides, (relation,)), _ = self.take("{"), self.statement(), self.take("}")
            left, right = sides if relation == "<" else sides[::-1]
            return lambda world: (left(world) < right(world)).double()
        if token in CLOSING:
            inner, _ = self.sum(), self.take(CLOSING[token])
        else:
            inner = self.factor() if token == r"\relu" else self.value(token)
        exponent = self.factor() if self.skip("^") else lambda world: 1
        base = BRACKETS.get(token, lambda value: value)
        return lambda world: base(inner(world)) ** exponent(world)

    def value(self, token: str) -> Term:
        """A number, a variable, or a function of variables."""
        if token.isdigit():
            return lambda world: torch.tensor(float(token))
        if token in ENDS or (token[0] == "\\" and token not in VARIABLES):
            raise ValueError(f"expected what the grammar knows, got {token}")
        given: list[str] = []
        if self.tokens[self.at : self.at + 3 : 2] in (["(", ","], ["(", r"\mid"]) or token == "Z":
            while self.skip("(") or self.skip(",") or self.skip(r"\mid"):
                given.append(self.take())
            self.take(")")
        names = [name for name in given if name not in "xW"] or ARGUMENTS.get(token, ["y"])

        def found(world: World) -> Any:
            known = world[token]
            return known(world, *(world[name] for name in names)) if callable(known) else known

        return found

    def operator(self, token: str) -> Term:
        """A sum, extremum, mean over answers or limit, with what stands under it."""
        name = self.take("_", "{") and self.take()
        other = self.sum() if self.skip(r"\ne") or self.skip(r"\to") else None
        self.take("}")
        body = self.term()
        if token == r"\lim" and other:
            return lambda world: body(world | {name: other(world)})

        def over(world: World) -> Any:
            worlds = [world | {name: torch.tensor(i)} for i in range(world["over"][name])]
            worlds = [w for w in worlds if other is None or w[name] != other(world)]
            values = torch.stack([body(w) for w in worlds])
            if token == r"\expect":
                return sum(w["<p_W>"](w, w[name]) * value for w, value in zip(worlds, values))
            found = values.sum(0) if token == r"\sum" else getattr(torch, token[1:])(values)
            return worlds[found][name] if token.startswith(r"\arg") else found

        return over

    def derivative(self) -> Term:
        """By W, a row, or by the variable in brackets; with empty braces of what follows."""
        by, _ = (
            (self.value(self.take()), self.take("]")) if self.skip("[") else (self.value("W"), 0)
        )
        body = self.term() if self.skip("{", "}") else self.factor()

        def gradient(world: World) -> Any:
            options = {"create_graph": True, "materialize_grads": True}
            (found,) = torch.autograd.grad(body(world), by(world), **options)
            return found.T if found.dim() else found

        return gradient
