"""A process of its own for one model: `python -m rationale.visualizer.worker FD` answers jobs until its line is cut.

Caffe's mode belongs to a thread and pycaffe holds the GIL while it computes, so that a server cannot run it beside
itself; and what a damaged picture does to a decoder, or a network to Caffe, ends here.
"""

import base64
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.batch.worker import Duty
from rationale.errors import OptionError, RationaleError
from rationale.explanation import Explanation
from rationale.model import Model
from rationale.network import on_threads
from rationale.resources import as_json
from rationale.units.decision import store_if_there
from rationale.units.layers import check_unit
from rationale.units.sheet import unit_view
from rationale.visualizer.frame import pixels_of
from rationale.visualizer.jobs import GOOD, REFUSED, Describe, Job, Look, Sheet
from rationale.visualizer.look import Looker


def main(arguments: Sequence[str]) -> None:
    """Answers jobs from the connection of that file descriptor, one after the other."""
    line = Connection(int(arguments[0]))
    duty: Duty
    most_pixels: int
    duty, most_pixels = line.recv()
    try:
        model = duty.load()
        looker = Looker(model, most_pixels)
        with on_threads(duty.threads):
            _warm_up(model)
            line.send_bytes(GOOD)
            _serve(line, looker, most_pixels)
    except RationaleError as error:
        line.send_bytes(REFUSED + str(error).encode())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the server is gone


def _warm_up(model: Model) -> None:
    """Loads the network and computes, once, what rules make of its weights."""
    height, width = model.input_size
    grey = np.zeros((height, width) if model.description.input.channels == 1 else (height, width, 3), np.uint8)
    model.explain_views([grey], ["nothing"])


def _serve(line: Connection, looker: Looker, most_pixels: int) -> None:
    while True:
        job: Job = line.recv()
        try:
            reply = GOOD + _answer(looker, job, most_pixels)
        except RationaleError as error:
            reply = REFUSED + str(error).encode()
        except MemoryError:
            reply = REFUSED + b"there is not enough memory for this picture"
        except Exception as error:
            traceback.print_exc()
            reply = REFUSED + f"the worker failed: {type(error).__name__}: {error}".encode()
        line.send_bytes(reply)


def _answer(looker: Looker, job: Job, most_pixels: int) -> bytes:
    if isinstance(job, Describe):
        return as_json(looker.describe()).encode()
    if isinstance(job, Look):
        return looker.answer(job.frame, job.question)
    if isinstance(job, Sheet):
        return as_json(_sheet(looker.model, job)).encode()
    view = looker.model.view(pixels_of(job.frame, most_pixels))
    looker.forget()
    (explanation,) = looker.model.explain_views(
        [view], [job.name], target=job.target, against=job.against, composite=job.composite
    )
    return as_json({**explanation.as_dict(), **_maps_of(explanation, job.maps)}).encode()


def _sheet(model: Model, job: Sheet) -> dict[str, Any] | None:
    node = check_unit(model.network, job.layer, job.channel)
    store = store_if_there(model)
    if store is None or node.name not in store.layers:
        return None
    return unit_view(store, store.unit(node.name, job.channel))


def _maps_of(explanation: Explanation, wanted: Sequence[str]) -> Mapping[str, object]:
    """The maps that are named, float32 in base64, row by row: "heatmap", "image" (uint8), or a layer's name."""
    if not wanted:
        return {}
    maps = {}
    for name in wanted:
        array: NDArray[Any]
        if name == "heatmap":
            array = explanation.heatmap
        elif name == "image":
            array = explanation.image
        elif name in explanation.relevance:
            array = explanation.relevance[name]
        else:
            known = ", ".join(["heatmap", "image", *explanation.relevance])
            raise OptionError(f"there is no map {name!r}; there are {known}")
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        maps[name] = {
            "shape": list(plain.shape),
            "dtype": plain.dtype.name,
            "base64": base64.b64encode(plain.tobytes()).decode("ascii"),
        }
    return {"maps": maps}


if __name__ == "__main__":
    main(sys.argv[1:])
