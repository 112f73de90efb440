"""Downloads from a server on this machine, and image sets in every layout."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backlit import data
from backlit.core.era import realize
from backlit.data import download
from backlit.data.download import fetch
from backlit.data.vision import ImageSet


class Server:
    """A server on this machine that can break off, forget how to resume, and lie."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: int | None = None  # bytes of the next answer
        self.resumes = True
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        content = self.files.get(request.path.lstrip("/"))
        if content is None:
            request.send_error(404)
            return
        start = 0
        if wanted is not None and self.resumes:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                request.send_error(416)
                return
        body = content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.break_after is not None:
            body, self.break_after = body[: self.break_after], None
        request.wfile.write(body)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    running = Server()
    yield running
    running.close()


CONTENT = bytes(range(256)) * 4000
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def test_download_is_checked_and_kept(server: Server, tmp_path: Path) -> None:
    """A file is fetched once; afterwards nothing is asked of the server."""
    server.files["f"] = CONTENT
    path = tmp_path / "sub" / "f"
    seen: list[tuple[int, int | None]] = []
    got = fetch([server.url + "f"], path, CHECKSUM, progress=lambda *at: seen.append(at))
    assert got == path
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(path.parent.iterdir()) == [path]
    fetch([server.url + "f"], path, CHECKSUM)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("resumes", [True, False])
def test_broken_off_download_goes_on(server: Server, tmp_path: Path, resumes: bool) -> None:
    """What has arrived is kept and continued; a server that cannot sends everything again."""
    server.files["f"] = CONTENT
    server.resumes = resumes
    server.break_after = 300_000
    path = tmp_path / "f"
    with pytest.raises(data.DownloadError) as caught:
        fetch([server.url + "f"], path, CHECKSUM, attempts=1)
    assert str(caught.value) == (
        f"{path}: could not be downloaded. {server.url}f: broke off after 300000 of 1024000 "
        "bytes. Check the connection, or put the file there yourself."
    )
    assert not path.exists()
    assert (tmp_path / "f.part").stat().st_size == 300_000
    assert fetch([server.url + "f"], path, CHECKSUM).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_second_attempt_goes_on_by_itself(server: Server, tmp_path: Path) -> None:
    """One call survives a connection that breaks off."""
    server.files["f"] = CONTENT
    server.break_after = 500_000
    fetch([server.url + "f"], tmp_path / "f", CHECKSUM, pause_s=0.0)
    assert server.ranges == [None, "bytes=500000-"]


def test_other_files_are_refused(server: Server, tmp_path: Path) -> None:
    """A file with another checksum never appears, nor is it kept to be continued."""
    server.files["f"] = b"hello"
    path = tmp_path / "f"
    with pytest.raises(data.DownloadError) as caught:
        fetch([server.url + "f"], path, "md5:0", pause_s=0.0)
    assert str(caught.value) == (
        f"{path}: could not be downloaded. {server.url}f: gave another file "
        "(md5:5d41402abc4b2a76b9719d911017c592 instead of md5:0). Check the connection, or put "
        "the file there yourself."
    )
    assert list(tmp_path.iterdir()) == []


def test_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    """A mirror that does not have the file is passed over; if none has it, each is told."""
    server.files["b"] = CONTENT
    urls = [server.url + "a", server.url + "b"]
    assert fetch(urls, tmp_path / "f", CHECKSUM).exists()
    with pytest.raises(data.DownloadError, match=r"/a: answered 404 Not Found\. Check"):
        fetch(urls[:1], tmp_path / "g", CHECKSUM, attempts=1)
    server.close()
    with pytest.raises(data.DownloadError, match="refused"):
        fetch(urls[:1], tmp_path / "g", CHECKSUM, attempts=2, pause_s=0.0)


def test_whole_part_file_is_used(server: Server, tmp_path: Path) -> None:
    """If only the last step is missing, nothing is downloaded again."""
    server.files["f"] = CONTENT
    (tmp_path / "f.part").write_bytes(CONTENT)
    fetch([server.url + "f"], tmp_path / "f", CHECKSUM)
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    """A file in the cache that has another checksum is fetched again."""
    server.files["f"] = CONTENT
    (tmp_path / "f").write_bytes(b"damaged")
    assert fetch([server.url + "f"], tmp_path / "f", CHECKSUM).read_bytes() == CONTENT


def test_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$BACKLIT_DATA, else the user's cache folder."""
    monkeypatch.setenv("BACKLIT_DATA", str(tmp_path / "own"))
    assert download.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("BACKLIT_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "backlit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download.cache_folder() == Path.home() / ".cache" / "backlit"


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
LABELS = np.array([5, 0, 9], np.uint8)


def write_mnist(folder: Path, ending: str = "", part: str = "train") -> None:
    """Three images in MNIST's files."""
    folder.mkdir(parents=True, exist_ok=True)
    data.write_idx(folder / f"{part}-images-idx3-ubyte{ending}", IMAGES)
    data.write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", LABELS)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("layout", ["", "FashionMNIST/raw"])
def test_mnist_layouts(tmp_path: Path, layout: str, ending: str) -> None:
    """Files in the folder itself or as torchvision lays them, packed or not."""
    write_mnist(tmp_path / layout, ending)
    images = data.FashionMNIST(tmp_path)
    assert len(images) == 3
    image, target = images[2]
    assert np.array_equal(realize(image), IMAGES[2][None].astype(np.float32) / 255)
    assert (target, images.classes[target]) == (9, "Ankle boot")
    assert images.class_to_idx["Trouser"] == 1
    x, y = images.tensors().tensors
    assert realize(x).shape == (3, 1, 28, 28)
    assert realize(y).tolist() == realize(images.targets).tolist() == [5, 0, 9]


def test_transforms_apply(tmp_path: Path) -> None:
    """Functions of the image and of the target."""
    write_mnist(tmp_path, part="t10k")
    images = data.MNIST(
        tmp_path, train=False, transform=lambda _: "image", target_transform=lambda t: t + 1
    )
    assert images[0] == ("image", 6)


def test_mnist_is_downloaded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are not there come from the mirror into torchvision's layout, checked."""
    write_mnist(tmp_path / "server", ".gz")
    checksums = {}
    for path in (tmp_path / "server").iterdir():
        server.files[path.name] = path.read_bytes()
        checksums[path.name] = "md5:" + hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(data.MNIST, "mirrors", (server.url,))
    monkeypatch.setattr(data.MNIST, "checksums", checksums)
    monkeypatch.setenv("BACKLIT_DATA", str(tmp_path / "cache"))
    assert len(data.MNIST(download=True)) == 3
    assert len(list((tmp_path / "cache/MNIST/raw").iterdir())) == 2
    assert len(data.MNIST()) == 3
    assert len(server.ranges) == 2


def test_image_sets_must_read() -> None:
    """The base class cannot be used itself."""
    with pytest.raises(NotImplementedError) as caught:
        ImageSet()
    assert str(caught.value) == "ImageSet: an ImageSet must define _read()."


PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
CLASSES = [3, 1, 4, 1]


def records() -> bytes:
    """Four images in CIFAR's binary form."""
    rows = [bytes([label]) + image.tobytes() for label, image in zip(CLASSES, PIXELS, strict=True)]
    return b"".join(rows)


def pickled() -> bytes:
    """Four images in CIFAR's Python form."""
    return pickle.dumps({b"data": PIXELS.reshape(4, -1), b"labels": CLASSES}, protocol=2)


def archive(path: Path, files: dict[str, bytes]) -> None:
    """A gzipped tar archive."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("form", ["bin", "py", "binary.tar.gz", "python.tar.gz"])
def test_cifar_forms(tmp_path: Path, form: str) -> None:
    """Both forms, packed or not; five batches to train, one to test."""
    is_binary = form.startswith("bin")
    content, ending = (records(), ".bin") if is_binary else (pickled(), "")
    folder = f"cifar-10-batches-{'bin' if is_binary else 'py'}"
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    files = {f"{folder}/{name}{ending}": content for name in names}
    if form.endswith("gz"):
        archive(tmp_path / f"cifar-10-{form}", files)
    else:
        (tmp_path / folder).mkdir()
        for name, raw in files.items():
            (tmp_path / name).write_bytes(raw)
    assert len(data.CIFAR10(tmp_path)) == 20
    test = data.CIFAR10(tmp_path, train=False)
    image, target = test[2]
    assert np.array_equal(realize(image), PIXELS[2].astype(np.float32) / 255)
    assert (target, test.classes[target]) == (4, "deer")


def test_cifar_is_downloaded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The binary archive, which needs no pickle."""
    archive(tmp_path / "a", {"cifar-10-batches-bin/test_batch.bin": records()})
    server.files["a"] = (tmp_path / "a").read_bytes()
    monkeypatch.setattr(data.CIFAR10, "urls", (server.url + "a",))
    checksum = "md5:" + hashlib.md5(server.files["a"]).hexdigest()
    monkeypatch.setattr(data.CIFAR10, "checksum", checksum)
    assert len(data.CIFAR10(tmp_path / "cache", train=False, download=True)) == 4


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("pwned",)


def cifar_batch(folder: Path, name: str, content: bytes) -> Callable[[], Any]:
    """Reads a CIFAR-10 test batch with this content."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return lambda: data.CIFAR10(folder, train=False)


def test_broken_image_sets_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, cut and foreign files; a pickle that would run code is refused."""

    def text(act: Callable[[], Any]) -> str:
        with pytest.raises(data.DataError) as caught:
            act()
        return str(caught.value)

    raw = tmp_path / "MNIST" / "raw"
    assert text(lambda: data.MNIST(tmp_path)) == (
        f"MNIST: there is no train-images-idx3-ubyte.gz in {raw} or {tmp_path}; give the folder "
        "that holds it as root, or download=True."
    )
    assert text(lambda: data.CIFAR10(tmp_path)) == (
        f"CIFAR10: there is no cifar-10-batches-bin or cifar-10-batches-py in {tmp_path}; give "
        "the folder that holds it as root, or download=True."
    )
    write_mnist(tmp_path)
    data.write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS[:2])
    assert text(lambda: data.MNIST(tmp_path)) == (
        f"{tmp_path}: 3 images but 2 labels; the files do not belong together."
    )
    binary = tmp_path / "binary"
    binary.mkdir()
    name = "cifar-10-batches-bin/test_batch.bin"
    assert text(cifar_batch(binary, name, b"123")) == (
        f"{binary / name}: 3 bytes are not whole records of 3073; copy or download it again."
    )
    assert text(lambda: data.CIFAR10(binary)) == (
        f"{binary / 'cifar-10-batches-bin/data_batch_1.bin'}: no such file; unpack the whole "
        "archive."
    )
    python = tmp_path / "python"
    python.mkdir()
    name = "cifar-10-batches-py/test_batch"
    assert text(cifar_batch(python, name, pickle.dumps(Evil()))) == (
        f"{python / name}: this is not a batch of CIFAR-10 (builtins.print is not an array); "
        "copy or download it again."
    )
    assert capsys.readouterr().out == ""
    odd = b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00utf8tR."
    assert text(cifar_batch(python, name, odd)) == (
        f"{python / name}: this is not a batch of CIFAR-10 (bytes in utf8 are not expected); "
        "copy or download it again."
    )
    packed = tmp_path / "packed"
    packed.mkdir()
    path = packed / "cifar-10-binary.tar.gz"
    path.write_bytes(b"hello")
    assert text(lambda: data.CIFAR10(packed)).startswith(f"{path}: the archive is broken (")
    archive(path, {"readme": b""})
    assert text(lambda: data.CIFAR10(packed, train=False)) == (
        f"{path}: there is no cifar-10-batches-bin/test_batch.bin in it; copy or download it again."
    )
