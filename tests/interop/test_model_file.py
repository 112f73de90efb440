"""Model files: everything in one file, whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backlit.interop import FileFormatError, TableModel, read_model, save_file, write_model


def model() -> TableModel:
    return TableModel(
        "classification",
        "kind",
        ["a", "b, c"],
        [{"name": "x", "kind": "number", "mean": 0.1, "scale": 3.0, "flag": False}],
        [0.0, 1.0],
        {"sizes": [1, 2], "activations": [], "dropout": 0.0},
        {"0.weight": np.array([[1.5], [2.5]], np.float32), "0.bias": np.zeros(2, np.float32)},
        {"rows": "10"},
    )


def test_comes_back_whole(tmp_path: Path) -> None:
    """Every field, and every bit of the weights."""
    write_model(tmp_path / "m", model())
    found, expected = read_model(tmp_path / "m"), model()
    weights = found.weights
    assert {k: v.tolist() for k, v in weights.items()} == {
        k: v.tolist() for k, v in expected.weights.items()
    }
    found.weights = expected.weights = {}
    assert found == expected


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    """Nothing is replaced by accident."""
    path = tmp_path / "m"
    path.write_text("precious")
    with pytest.raises(FileFormatError) as caught:
        write_model(path, model())
    assert (
        str(caught.value) == f"{path} exists already; choose another name, or replace it (--force)."
    )
    assert path.read_text() == "precious"
    write_model(path, model(), force=True)
    assert read_model(path).target == "kind"


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    """However much of the end is missing, it is one clear error."""
    write_model(tmp_path / "m", model())
    content = (tmp_path / "m").read_bytes()
    for length in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(FileFormatError, match="not a readable safetensors file"):
            read_model(tmp_path / "cut")


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """A changed byte anywhere gives an error, or else the very same model (spaces that pad)."""
    write_model(tmp_path / "m", model())
    content = (tmp_path / "m").read_bytes()
    expected = read_model(tmp_path / "m")
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x04
        (tmp_path / "odd").write_bytes(changed)
        try:
            found = read_model(tmp_path / "odd")
        except FileFormatError:
            continue
        assert found.columns == expected.columns
        assert sorted(found.weights) == sorted(expected.weights)


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    """A state dict is not a model of a table."""
    import backlit

    save_file({"w": backlit.ones(1)}, tmp_path / "w")
    with pytest.raises(FileFormatError) as caught:
        read_model(tmp_path / "w")
    assert str(caught.value) == (
        f"{tmp_path / 'w'}: a safetensors file, but not a model that `backlit train` wrote."
    )


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk fails half-way, the old file stays and no part is left."""
    from backlit.interop import model_file
    from backlit.train import CheckpointError

    path = tmp_path / "m"
    write_model(path, model())
    before = path.read_bytes()

    def fail(part: Path, content: bytes) -> None:
        part.write_bytes(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_file, "write_bytes", fail)
    with pytest.raises(CheckpointError) as caught:
        write_model(path, model(), force=True)
    assert str(caught.value) == (
        f"{path}: cannot be written (No space left on device); earlier files are as they were."
    )
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert path.read_bytes() == before
