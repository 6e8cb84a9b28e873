"""The command line, ``ebm-ocr``: a file a command; what is wrong with a call is one line and exit
code 2."""

from __future__ import annotations

import os

# torch's threads wait without spinning, so that other programs keep their cores
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from typing import Annotated

import typer

from .. import __version__
from .evaluate import evaluate
from .read import read
from .render import render
from .train import train

app = typer.Typer(
    name="ebm-ocr",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"ebm-ocr {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Read words from images. Nothing is downloaded, ever: the weights are in the package.

    ebm-ocr read word.png

    ebm-ocr read --help
    """


for command in (read, render, evaluate, train):
    app.command(no_args_is_help=True)(command)


def main() -> None:
    """Run the command line; an error that a user can mend is one line."""
    try:
        app()
    except ModuleNotFoundError as error:
        extra = {"matplotlib": "plots", "english_words": "train"}.get(str(error.name))
        if extra is None:
            raise
        typer.echo(f"ebm-ocr: this needs {error.name}: pip install 'ebm-ocr[{extra}]'", err=True)
        raise SystemExit(2) from None
    except (ValueError, TypeError, OSError) as error:
        typer.echo(f"ebm-ocr: {error}", err=True)
        raise SystemExit(2) from None
