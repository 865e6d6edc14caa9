"""One decision explained, and how it is kept: data, pictures, report."""

from rationale.explanation.explanation import (
    FILES,
    LAST,
    UNITS_FILE,
    Account,
    Channel,
    Explanation,
    account_of,
    explanations_of,
    hdf5_name,
    make_folder,
    save_report,
)
from rationale.explanation.units import UnitEvidence

__all__ = [
    "FILES",
    "LAST",
    "UNITS_FILE",
    "Account",
    "Channel",
    "Explanation",
    "UnitEvidence",
    "account_of",
    "explanations_of",
    "hdf5_name",
    "make_folder",
    "save_report",
]
