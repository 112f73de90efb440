"""MNIST, FashionMNIST and CIFAR-10: from a local folder, or downloaded into a cache."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from backlit.core.create import from_array
from backlit.core.tensor import Tensor
from backlit.data.dataset import Dataset, TensorDataset
from backlit.data.download import cache_folder, fetch
from backlit.data.errors import DataError, DataNotFoundError
from backlit.data.readers import read_idx

Array = np.ndarray[Any, np.dtype[Any]]


class ImageSet(Dataset[Any]):
    """Images in memory; samples are (image, class number).

    Images are tensors (channels, height, width) of float32 in [0, 1], unless `transform` makes
    something else of them. `tensors()` gives all at once, for the fastest batches.

    Args:
        root: the folder; the cache of downloads if None.
        train: the training or the test images.
        transform, target_transform: functions of the image, and of the class number.
        download: fetch the files if they are not there.

    Raises:
        DataNotFoundError: the files are not there.
        DataError: a file is broken.
        DownloadError: they could not be fetched.
    """

    classes: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root = cache_folder() if root is None else Path(root)
        self.train = train
        self.transform = transform
        self.target_transform = target_transform
        self._images, self._labels = self._read(download)
        if len(self._images) != len(self._labels):
            raise DataError(
                f"{self.root}: {len(self._images)} images but {len(self._labels)} labels; "
                "the files do not belong together."
            )

    def _read(self, download: bool) -> tuple[Array, Array]:
        """Images (n, channels, height, width) of uint8, and labels (n,)."""
        raise NotImplementedError(f"{type(self).__name__}: an ImageSet must define _read().")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The classes' numbers."""
        return {name: number for number, name in enumerate(self.classes)}

    @property
    def targets(self) -> Tensor:
        """All class numbers."""
        return from_array(self._labels.astype(np.int64))

    def tensors(self) -> TensorDataset:
        """All images, scaled to [0, 1], and all class numbers; without the transforms."""
        scaled = self._images.astype(np.float32) / 255
        return TensorDataset(from_array(scaled), self.targets)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        image: Any = from_array(self._images[index].astype(np.float32) / 255)
        target = int(self._labels[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.target_transform(target) if self.target_transform else target


class MNIST(ImageSet):
    """Handwritten digits: 60,000 and 10,000 images of 28×28.

    Source: Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0. The files may lie in `root`, or in
    torchvision's `root/MNIST/raw`, gzipped or not.
    """

    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    # The checksums that the publishers give.
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    }

    def _read(self, download: bool) -> tuple[Array, Array]:
        part = "train" if self.train else "t10k"
        images = read_idx(self._find(f"{part}-images-idx3-ubyte.gz", download))
        labels = read_idx(self._find(f"{part}-labels-idx1-ubyte.gz", download))
        return images[:, None], labels

    def _find(self, name: str, download: bool) -> Path:
        raw = self.root / type(self).__name__ / "raw"
        for folder in (raw, self.root):
            for path in (folder / name.removesuffix(".gz"), folder / name):
                if path.is_file():
                    return path
        if not download:
            raise not_found(self, f"{name} in {raw} or {self.root}")
        urls = [mirror + name for mirror in self.mirrors]
        return fetch(urls, raw / name, self.checksums[name])


class FashionMNIST(MNIST):
    """Articles of clothing: 60,000 and 10,000 images of 28×28.

    Source: H. Xiao, K. Rasul, R. Vollgraf 2017 (Zalando); MIT licence. Layouts as for MNIST.
    """

    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }


class CIFAR10(ImageSet):
    """Small colour photographs: 50,000 and 10,000 images of 3×32×32.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. In `root`
    may lie either archive, or its unpacked folder: cifar-10-batches-bin or cifar-10-batches-py.
    """

    classes = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    urls: ClassVar[tuple[str, ...]] = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",)
    checksum: ClassVar[str] = "md5:c32a1d4ab5d03f1284b67883e8d87530"

    def _read(self, download: bool) -> tuple[Array, Array]:
        batches = [f"data_batch_{i}" for i in range(1, 6)] if self.train else ["test_batch"]
        read = self._source(download)
        parts = [read(name) for name in batches]
        images = np.concatenate([images for images, _ in parts])
        return images, np.concatenate([labels for _, labels in parts])

    def _source(self, download: bool) -> Callable[[str], tuple[Array, Array]]:
        """A function that reads a batch by its name, from whatever form is there."""
        binary, pickled = self.root / "cifar-10-batches-bin", self.root / "cifar-10-batches-py"
        if binary.is_dir():
            return lambda name: _records(_bytes(binary / f"{name}.bin"), binary / f"{name}.bin")
        if pickled.is_dir():
            return lambda name: _unpickled(_bytes(pickled / name), pickled / name)
        for archive in ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"):
            if (self.root / archive).is_file():
                return _from_archive(self.root / archive)
        if not download:
            raise not_found(self, f"cifar-10-batches-bin or cifar-10-batches-py in {self.root}")
        archive_path = self.root / "cifar-10-binary.tar.gz"
        return _from_archive(fetch(self.urls, archive_path, self.checksum))


def not_found(images: ImageSet, what: str) -> DataNotFoundError:
    """The error for files that are not there."""
    name = type(images).__name__
    return DataNotFoundError(
        f"{name}: there is no {what}; give the folder that holds it as root, or download=True."
    )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file; unpack the whole archive.")
    return path.read_bytes()


def _from_archive(path: Path) -> Callable[[str], tuple[Array, Array]]:
    is_binary = "binary" in path.name
    folder = "cifar-10-batches-bin/" if is_binary else "cifar-10-batches-py/"
    ending = ".bin" if is_binary else ""
    try:
        with tarfile.open(path) as archive:
            files = {
                member.name: stream.read()
                for member in archive
                if member.isfile() and (stream := archive.extractfile(member)) is not None
            }
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: the archive is broken ({error}); copy or download it again."
        ) from None
    decode = _records if is_binary else _unpickled

    def read(name: str) -> tuple[Array, Array]:
        member = f"{folder}{name}{ending}"
        if member not in files:
            raise DataError(f"{path}: there is no {member} in it; copy or download it again.")
        return decode(files[member], path / member)

    return read


def _records(raw: bytes, path: Path) -> tuple[Array, Array]:
    """The binary form: for each image a byte with its class, then 3×32×32 bytes."""
    if not raw or len(raw) % 3073:
        raise DataError(
            f"{path}: {len(raw)} bytes are not whole records of 3073; copy or download it again."
        )
    table = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0]


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays, lists, dicts and numbers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module.startswith("numpy"):
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _plain_bytes
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def _plain_bytes(text: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them for Python 2; other encodings might do anything."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding} are not expected")
    return text.encode("latin1")


def _unpickled(raw: bytes, path: Path) -> tuple[Array, Array]:
    """The Python form: a pickled dict of an array of images and a list of classes."""
    try:
        batch = _ArraysOnly(BytesIO(raw), encoding="bytes").load()
        images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch[b"labels"], np.uint8)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: this is not a batch of CIFAR-10 ({error}); copy or download it again."
        ) from None
    return images, labels
