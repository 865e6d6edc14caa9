"""Brings file sets into the cache, verified: from a local mirror, from where they are published, or from a package."""

from rationale.fetching.fetch import derived_folder, fetched, is_at_hand, is_fetched, is_whole, local_file, repair
from rationale.fetching.manifest import FileSet, Part, file_set, read_manifest

__all__ = [
    "FileSet",
    "Part",
    "derived_folder",
    "fetched",
    "file_set",
    "is_at_hand",
    "is_fetched",
    "is_whole",
    "local_file",
    "read_manifest",
    "repair",
]
