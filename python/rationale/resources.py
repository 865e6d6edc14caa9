"""Where the project's own files live (models, weights, manifest) and where downloads are kept."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def shared_directory(name: str) -> Path:
    """Directory `prototxt`, `weights` or `data`: of the checkout, or of the installed package."""
    in_checkout = _CHECKOUT / name
    if (_CHECKOUT / "pyproject.toml").exists() and in_checkout.is_dir():
        return in_checkout
    return _PACKAGE / "shared" / name


def cache_directory() -> Path:
    """Directory for downloads; follows XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rationale"
