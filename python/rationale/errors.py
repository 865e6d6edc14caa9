"""The one family of errors: each message names the file, layer or value at fault and the next step."""


class RationaleError(Exception):
    """A user can mend this; the command line shows it as one line and exits with code 2."""


class ImageError(RationaleError):
    """A file or array cannot be read as a picture."""


class ModelError(RationaleError):
    """A model directory or its model.toml is missing, incomplete or wrong."""


class NetworkError(RationaleError):
    """A prototxt or caffemodel is wrong, or Caffe refused an operation."""


class DeviceError(RationaleError):
    """The asked-for processor is not there."""


class RuleError(RationaleError):
    """Relevance cannot be propagated: no rule for a layer, an unknown composite, a bad target."""


class OptionError(RationaleError):
    """An argument has a value that is unknown or does not fit the others."""


class DataError(RationaleError):
    """A data set is missing, incomplete or corrupt."""


class OutputError(RationaleError):
    """A result cannot be written, or an existing one does not fit."""
