"""One decision explained, and how it is kept: data, pictures, report."""

from rationale.explanation.accounts import Account, account_of
from rationale.explanation.explanation import (
    ALL_FILES,
    FILES,
    LAST,
    UNITS_FILE,
    Channel,
    Explanation,
    explanations_of,
    hdf5_name,
    make_folder,
    save_report,
)
from rationale.explanation.units import UnitEvidence
from rationale.explanation.words import Word

__all__ = [
    "ALL_FILES",
    "FILES",
    "LAST",
    "UNITS_FILE",
    "Account",
    "Channel",
    "Explanation",
    "UnitEvidence",
    "Word",
    "account_of",
    "explanations_of",
    "hdf5_name",
    "make_folder",
    "save_report",
]
