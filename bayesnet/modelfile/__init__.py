"""Model folders: the readable YAML of a network, its schema, and errors with file and line."""

from bayesnet.modelfile.reader import ModelDocument, Parameter, read_model

__all__ = ["ModelDocument", "Parameter", "read_model"]
