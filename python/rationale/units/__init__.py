"""What each channel has learnt: its top images, its preferred stimuli, its name, and what it did in a decision."""

from rationale.units.layers import layers_of, unit_layers
from rationale.units.scan import scan
from rationale.units.store import Store, Unit, store_path
from rationale.units.wanted import Wanted

__all__ = ["Store", "Unit", "Wanted", "layers_of", "scan", "store_path", "unit_layers"]
