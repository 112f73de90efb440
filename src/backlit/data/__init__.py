"""Data: data sets, samplers and loaders with PyTorch's names; readers, tables and toy sets."""

from backlit.data import toys
from backlit.data.bundled import Table, digits, iris, mcycle
from backlit.data.collate import default_collate, default_convert
from backlit.data.csv_reader import read_csv, stream_csv
from backlit.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from backlit.data.errors import DataError, DataNotFoundError, DownloadError, WorkerError
from backlit.data.frame import Column, Frame
from backlit.data.loader import DataLoader
from backlit.data.preprocess import Standardize, polynomial_features, polynomial_names
from backlit.data.readers import (
    ImageFolder,
    read_idx,
    read_image,
    read_npz,
    read_parquet,
    read_table,
    write_idx,
)
from backlit.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from backlit.data.vision import CIFAR10, MNIST, FashionMNIST
from backlit.data.workers import get_worker_info

__all__ = [
    "BatchSampler",
    "CIFAR10",
    "ChainDataset",
    "Column",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "DataNotFoundError",
    "Dataset",
    "DownloadError",
    "FashionMNIST",
    "Frame",
    "ImageFolder",
    "IterableDataset",
    "MNIST",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Standardize",
    "Subset",
    "SubsetRandomSampler",
    "Table",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerError",
    "default_collate",
    "default_convert",
    "digits",
    "get_worker_info",
    "iris",
    "mcycle",
    "polynomial_features",
    "polynomial_names",
    "random_split",
    "read_csv",
    "read_idx",
    "read_image",
    "read_npz",
    "read_parquet",
    "read_table",
    "stream_csv",
    "toys",
    "write_idx",
]
