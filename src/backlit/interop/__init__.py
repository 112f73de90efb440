"""Files that go in and out: safetensors, state dicts, and models of tables."""

from backlit.interop.errors import FileFormatError
from backlit.interop.model_file import TableModel, read_model, write_model
from backlit.interop.safetensors import load_file, save_file
from backlit.interop.saving import load, save

__all__ = [
    "FileFormatError",
    "TableModel",
    "load",
    "load_file",
    "read_model",
    "save",
    "save_file",
    "write_model",
]
