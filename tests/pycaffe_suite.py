"""Runs pycaffe's own tests, as its source tree has them, against the Caffe that we built.

    python tests/pycaffe_suite.py

One of the 52 is left out: test_draw draws every example network of Caffe's source tree with Graphviz, and we install
neither those examples nor Graphviz.
"""

import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    os.environ.setdefault("GLOG_minloglevel", "3")
    import caffe

    suite = Path(caffe.__file__).parent / "test"
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-c", os.devnull, f"--rootdir={suite}"]
    return int(pytest.main([*options, "--ignore", str(suite / "test_draw.py"), str(suite)]))


if __name__ == "__main__":
    sys.exit(main())
