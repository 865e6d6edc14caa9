"""One decision explained, and how it is kept: data, pictures, report."""

from rationale.explanation.explanation import (
    FILES,
    LAST,
    Account,
    Channel,
    Explanation,
    account_of,
    explanations_of,
    hdf5_name,
    make_folder,
    save_report,
)

__all__ = [
    "FILES",
    "LAST",
    "Account",
    "Channel",
    "Explanation",
    "account_of",
    "explanations_of",
    "hdf5_name",
    "make_folder",
    "save_report",
]
