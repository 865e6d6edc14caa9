"""The command line's frame: groups of commands, options of all, and how mistakes become one line."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from rationale.cores import follow_limits
from rationale.errors import OutputError, RationaleError
from rationale.resources import image
from rationale.version import __version__

_ORDER = (
    *("explain", "serve", "compare", "units", "batch", "evaluate", "captions", "train"),
    *("reproduce", "data", "models", "doctor"),
)


class _InOrder(typer.core.TyperGroup):
    """Lists commands as a user meets them."""

    def list_commands(self, ctx: object) -> list[str]:
        """Names of the commands."""
        return sorted(self.commands, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


app = typer.Typer(
    name="rationale",
    cls=_InOrder,
    help="Explains one decision of a Caffe image classifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train = typer.Typer(no_args_is_help=True, help="Train networks with Caffe's own solver.")
batch = typer.Typer(no_args_is_help=True, help="Work over a whole data set.")
units = typer.Typer(no_args_is_help=True, help="See what each unit has learnt.")
evaluate = typer.Typer(no_args_is_help=True, help="Measure how good classifiers and explanations are.")
captions = typer.Typer(no_args_is_help=True, help="Make the captions that generators of sentences learn from.")
data = typer.Typer(no_args_is_help=True, help="List, fetch and export data sets.")
app.add_typer(train, name="train")
app.add_typer(batch, name="batch")
app.add_typer(units, name="units")
app.add_typer(evaluate, name="evaluate")
app.add_typer(captions, name="captions")
app.add_typer(data, name="data")

MOST_THREADS = 512  # OpenMP dies of thousands
LARGEST_SEED = 2**31 - 1  # to which Caffe's seeds, an update's number added, fit

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A name under prototxt/ or a directory.")]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="Of the classifier, instead of the model's own.")]
CompositeOption = Annotated[str | None, typer.Option("--composite", help="How relevance is propagated.")]
SentenceOption = Annotated[
    bool | None,
    typer.Option("--sentence/--no-sentence", help="Say why in a sentence too; where the model can, if not given."),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Instead of the solver's random_seed.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, max=MOST_THREADS, help="Of each process; all cores if not given.")
]
StageOption = Annotated[
    list[str] | None, typer.Option("--stage", help="Of an all-in-one definition; may be repeated.", metavar="NAME")
]
GpuOption = Annotated[int | None, typer.Option("--gpu", min=0, help="Number of the GPU; the CPU otherwise.")]

_COMMON = ("--verbose", "-v", "--version")
_INTERRUPTED = 130  # what typer makes of Ctrl-C
_GOES_ON = "called again, it goes on where it stopped"
_AFTER = {"compare": "nothing was written"}


def main() -> None:
    """Runs a command; a user's mistake becomes one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is half done is tidied up, as after Ctrl-C
    follow_limits()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(_run(_with_common_options_first(sys.argv[1:])))


def _with_common_options_first(arguments: list[str]) -> list[str]:
    """What every command understands may stand anywhere before a "--", after which all are names."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    common = [each for each in arguments[:end] if each in _COMMON]
    return [*common, *(each for each in arguments[:end] if each not in _COMMON), *arguments[end:]]


def _command(arguments: list[str]) -> str:
    return next((each for each in arguments if not each.startswith("-")), "")


def _run(arguments: list[str]) -> int:
    try:
        code = int(app(arguments, standalone_mode=False) or 0)
        sys.stdout.flush()
        if code == _INTERRUPTED:
            print(f"rationale: interrupted; {_AFTER.get(_command(arguments), _GOES_ON)}", file=sys.stderr)
        return code
    except (RationaleError, typer.exceptions.TyperException) as error:
        complain(error)
        return 2
    except UnicodeEncodeError as error:
        complain(RationaleError(f"{error.object!r}: a name that is no UTF-8, which Caffe cannot take; rename the file"))
        return 2
    except MemoryError as error:
        complain(RationaleError(f"not enough memory: {error or 'none is left'}"))
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None and error.strerror else ""
        print(f"rationale: {where}{error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2


def complain(error: Exception) -> None:
    """One line on standard error."""
    text = error.format_message() if isinstance(error, typer.exceptions.TyperException) else str(error)
    if isinstance(error, OutputError) and image() is not None:
        text += "; the command doctor tells whether another user has to run the image"
    print(f"rationale: {' '.join(text.split())}", file=sys.stderr)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"rationale {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Caffe's log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    if verbose:
        from rationale.network import be_verbose

        be_verbose()
