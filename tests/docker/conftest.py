"""What the tests of docker/ share."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture
def build(tmp_path: Path) -> ModuleType:
    """The build script of a copy of docker/caffe."""
    shutil.copytree(ROOT / "docker" / "caffe", tmp_path / "caffe")
    specification = importlib.util.spec_from_file_location("caffe_build", tmp_path / "caffe" / "build.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
