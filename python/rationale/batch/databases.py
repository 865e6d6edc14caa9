"""Writes a split as HDF5 files that Caffe's own HDF5Data layer reads, for those who train with Caffe's own tools.

In the directory: `<split>-0000.h5`, … with `data` (N, C, H, W) float32, preprocessed as the model wants it, and `label`
(N,) float32; `<split>.txt`, which lists them and is the layer's `source`; `SHA256SUMS`, written last. What is there and
has its digest is not written again.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from rationale.datasets import Split
from rationale.errors import OutputError
from rationale.fetching.digest import file_digest
from rationale.model import Model
from rationale.resources import held, write_whole

SHARD = 256 * 2**20  # bytes of a file, about


def write_database(
    model: Model, split: Split, folder: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Writes the split and returns the path of the list that HDF5Data wants.

    Args:
        model: says how pictures are preprocessed.
        split: what is written.
        folder: made if need be.
        report: called with the pictures done and their number.

    Raises:
        OutputError: the folder cannot be written, holds another split's or model's data or files of another kind under
            our names, another process writes there, or Caffe cannot read there.
    """
    if any(letter.isspace() for letter in str(folder.resolve())):
        raise OutputError(f"{folder.resolve()}: Caffe cannot read databases from a path with a space in it")
    size = max(1, SHARD // (math.prod(_shape(model)) * 4))
    made_from = hashlib.sha256(repr((model.description.input, _shape(model), split.fingerprint())).encode()).hexdigest()
    shards = {
        folder / f"{split.name}-{number:04}.h5": range(start, min(start + size, len(split)))
        for number, start in enumerate(range(0, len(split), size))
    }
    source = folder / f"{split.name}.txt"
    try:
        with held(folder / ".lock") as ours:  # the digests, too, are of all splits
            if not ours:
                raise OutputError(f"{folder}: another process is writing a database there")
            digests = _read_digests(folder)
            for path, rows in shards.items():
                if not _is_kept(path, digests.get(path.name), made_from):
                    _write_shard(model, split, rows, path, made_from)
                    digests[path.name] = file_digest(path)
                    _write_digests(folder, digests)
                report(rows[-1] + 1, len(split))
        source.write_bytes(b"".join(os.fsencode(path.resolve()) + b"\n" for path in shards))  # as Caffe reads it
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return source


def _is_kept(path: Path, digest: str | None, made_from: str) -> bool:
    """Whether the file is there, whole and made of this.

    Raises:
        OutputError: it is something else, which must not be written over.
    """
    if not path.exists():
        return False
    is_whole = digest == file_digest(path)
    if is_whole or digest is None:  # one without a digest is another's, or ours if a kill came before its digest
        try:
            with h5py.File(path) as file:
                found = file.attrs.get("made_from")
        except OSError as error:
            raise OutputError(f"{path}: was not written by this command; choose another folder") from error
        if found != made_from:
            raise OutputError(f"{path}: is made of other pictures, or for another model; choose another folder")
    return is_whole


def _write_shard(model: Model, split: Split, rows: range, path: Path, made_from: str) -> None:
    partial = path.with_suffix(".part")
    wanted = len(rows) * (math.prod(_shape(model)) + 1) * 4
    if (free := shutil.disk_usage(path.parent).free) < 1.05 * wanted:  # HDF5 tells of a full disk too late, and badly
        raise OutputError(f"{path}: wants {wanted / 2**20:.0f} MB, but only {free / 2**20:.0f} MB are free there")
    try:
        with h5py.File(partial, "w", track_order=True) as file:
            data = file.create_dataset("data", (len(rows), *_shape(model)), np.float32)
            for place, row in enumerate(rows):
                data[place] = model.preprocess([model.view(split.images[row])])[0]
            file.attrs["made_from"] = made_from
            file["label"] = split.labels[rows.start : rows.stop].astype(np.float32)
        os.replace(partial, path)
    except RuntimeError as error:  # as h5py calls a file that could not be closed
        raise OutputError(f"{path}: cannot be written ({error})") from error
    finally:
        partial.unlink(missing_ok=True)


def _shape(model: Model) -> tuple[int, int, int]:
    """Channels, height and width of a preprocessed picture."""
    return (model.description.input.channels, *model.input_size)


def _read_digests(folder: Path) -> dict[str, str]:
    path = folder / "SHA256SUMS"
    if not path.exists():
        return {}
    pairs = (line.partition("  ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {name: digest for digest, _, name in pairs}


def _write_digests(folder: Path, digests: dict[str, str]) -> None:
    """As sha256sum writes them, in one step."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    write_whole(folder / "SHA256SUMS", "".join(lines))
