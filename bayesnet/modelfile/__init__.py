"""Model folders: the readable YAML of a network, its schema, and errors with file and line."""

from bayesnet.modelfile.reader import ModelDocument, Parameter, read_model
from bayesnet.modelfile.writer import write_model

__all__ = ["ModelDocument", "Parameter", "read_model", "write_model"]
