"""The one room that imports Caffe: reads, checks and rewrites prototxt, runs networks forward and backward."""

from rationale.network.device import on_threads
from rationale.network.geometry import Box, Field, cut, receptive_fields
from rationale.network.graph import Graph, Node
from rationale.network.head import Meaning
from rationale.network.kinds import kind
from rationale.network.network import Network
from rationale.network.outcome import Outcome
from rationale.network.part import part_below
from rationale.network.prototxt import input_shapes
from rationale.network.pycaffe import be_verbose
from rationale.network.sequence import SequenceNetwork
from rationale.network.solver import Solver

__all__ = [
    "Box",
    "Field",
    "Graph",
    "Meaning",
    "Network",
    "Node",
    "Outcome",
    "SequenceNetwork",
    "Solver",
    "be_verbose",
    "cut",
    "input_shapes",
    "kind",
    "on_threads",
    "part_below",
    "receptive_fields",
]
