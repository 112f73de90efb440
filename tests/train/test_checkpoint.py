"""Checkpoint files: what they hold, that they are whole or absent, and what is said of bad ones."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import train
from backlit.compiler.tiers import worker
from backlit.core.era import realize
from backlit.train.checkpoint import write_atomically
from backlit.train.state import random_state, set_random_state

STATE: dict[str, Any] = {
    "w": backlit.tensor([[1.5, -2.0]]),
    "half": backlit.tensor([1.0, 3.0]).to(backlit.bfloat16),
    "flags": backlit.tensor([True, False]),
    "empty": backlit.tensor(np.zeros((0, 3))),
    "array": np.arange(6, dtype=np.uint64).reshape(2, 3).T,
    "betas": (0.9, 0.999, (1,)),
    "by number": {0: {"step": 3}, 7: None},
    "milestones": Counter({3: 2, 5: 1}),
    "odd": [float("inf"), -0.0, 0.1 + 0.2, 2**70, True, "ü\n$"],
    "$": "a key that looks like a tag",
}


def plain(value: Any) -> Any:
    """The state with tensors as bytes, to compare."""
    if isinstance(value, backlit.Tensor | np.ndarray):
        array = realize(value) if isinstance(value, backlit.Tensor) else value
        return (type(value).__name__, str(value.dtype), array.shape, array.tobytes())
    if isinstance(value, dict):
        return type(value), [(k, plain(v)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [plain(v) for v in value]
    return repr(value)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Containers, numbers and tensors keep type and bits."""
    path = train.save_state(tmp_path / "deep" / "a.safetensors", STATE)
    assert plain(train.load_state(path)) == plain(STATE)


def test_the_file_is_a_safetensors_file(tmp_path: Path) -> None:
    """Other programs can read the tensors; nothing is pickled."""
    from safetensors.numpy import load_file

    path = train.save_state(tmp_path / "a.safetensors", {"model": {"w": backlit.ones(2)}})
    assert load_file(path)["state.model.w"].tolist() == [1.0, 1.0]


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    """The message says where in the state it is; nothing is written."""
    with pytest.raises(train.CheckpointError) as error:
        train.save_state(tmp_path / "a.safetensors", {"scheduler": {"f": [print]}})
    assert str(error.value) == (
        "checkpoint: state.scheduler.f.0 is a builtin_function_or_method, which is neither a "
        "number, text, a tensor nor a container of them; keep it out of state_dict()."
    )
    assert list(tmp_path.iterdir()) == []


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[:-5]
    elif how == "data":
        data[-1] ^= 1
    elif how == "tree":
        at = data.find(b"lemons")
        data[at] ^= 2
    else:
        data = bytearray(b"PK\x03\x04 not this")
    path.write_bytes(data)


SUMS = ": damaged, its checksum does not match its content."
UNREADABLE = ": not a readable checkpoint, it is damaged or of another kind ("


@pytest.mark.parametrize(
    "how, message", [("cut", UNREADABLE), ("data", SUMS), ("tree", SUMS), ("foreign", UNREADABLE)]
)
def test_a_damaged_file_is_refused(tmp_path: Path, how: str, message: str) -> None:
    """Truncated, with one bit changed anywhere, or of another kind: one error that names it."""
    path = train.save_state(tmp_path / "a.safetensors", {"w": backlit.ones(9), "text": "lemons"})
    damage(path, how)
    with pytest.raises(train.CheckpointError) as error:
        train.load_state(path)
    assert str(error.value).startswith(f"{path}{message}")


def test_absent_and_foreign_files(tmp_path: Path) -> None:
    """No file, and a safetensors file of something else."""
    from safetensors.numpy import save_file

    with pytest.raises(train.CheckpointError) as error:
        train.load_state(tmp_path / "x.safetensors")
    assert str(error.value) == f"{tmp_path / 'x.safetensors'}: no such checkpoint; check the path."
    foreign = tmp_path / "weights.safetensors"
    save_file({"w": np.ones(2)}, foreign)
    with pytest.raises(train.CheckpointError) as error:
        train.load_state(foreign)
    assert str(error.value) == (
        f"{foreign}: a safetensors file, but not a checkpoint of this program; weights alone are "
        "loaded with model.load_state_dict."
    )


def test_the_previous_one_is_used_if_asked(tmp_path: Path) -> None:
    """A damaged newest file is an error, or with fall_back a warning and the one before."""
    saver = train.Checkpoint(tmp_path)
    saver.save(1, {"n": 1})
    path = saver.save(2, {"w": backlit.ones(9)})
    damage(path, "data")
    with pytest.raises(train.CheckpointError) as error:
        train.load_latest(tmp_path)
    assert str(error.value) == (
        f"{path}{SUMS} Checkpoint(..., fall_back=True) uses the one before."
    )
    with pytest.warns(UserWarning, match="Using the checkpoint before."):
        found = train.load_latest(tmp_path, fall_back=True)
    assert found is not None
    assert found[1] == {"n": 1}


def test_all_damaged(tmp_path: Path) -> None:
    """Then falling back ends with the error of the oldest."""
    path = train.Checkpoint(tmp_path).save(1, {"n": 1})
    damage(path, "cut")
    with pytest.raises(train.CheckpointError) as error:
        train.load_latest(tmp_path, fall_back=True)
    assert str(error.value).startswith(f"{path}{UNREADABLE}")


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whatever fails on the way to the new file, the old one is whole and nothing else is left."""
    path = train.save_state(tmp_path / "a.safetensors", {"n": 1})

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(train.CheckpointError) as error:
        train.save_state(path, {"n": 2})
    monkeypatch.undo()
    assert str(error.value) == (
        f"{path}: cannot be written (No space left on device); earlier files are as they were."
    )
    assert train.load_state(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_file_and_folder_are_synced_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content first, then the name, then the folder that holds the name: in this order."""
    worker.wait()  # which writes files of its own
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        calls.append("sync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync")
        sync(descriptor)

    def note_replace(a: Any, b: Any) -> None:
        calls.append("rename")
        assert Path(a).parent == Path(b).parent
        replace(a, b)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_atomically(tmp_path / "a", lambda part: part.write_text("x") and None)
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no way to see which descriptor is a folder")
    assert calls == ["sync", "rename", "sync folder"]


def test_unwritable_folder(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(train.CheckpointError, match="cannot be written") as error:
        train.save_state(tmp_path / "runs" / "a.safetensors", {})
    assert str(tmp_path / "runs" / "a.safetensors") in str(error.value)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """`keep` counts numbered files; best.safetensors and foreign files stay."""
    saver = train.Checkpoint(tmp_path, keep=2)
    (tmp_path / "notes.txt").write_text("mine")
    saver.save_best({"n": 0})
    for step in (5, 10, 1_000_000_000_00):
        saver.save(step, {"n": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.safetensors",
        "notes.txt",
        "step-000000010.safetensors",
        "step-100000000000.safetensors",
    ]
    assert [p.name[5:8] for p in train.checkpoints_in(tmp_path)] == ["000", "100"]


def test_left_over_parts_are_removed(tmp_path: Path) -> None:
    """A killed run leaves half a file under another name; the next one clears it away."""
    (tmp_path / ".step-000000001.safetensors.123.part").write_bytes(b"half")
    train.Checkpoint(tmp_path).prepare()
    assert list(tmp_path.iterdir()) == []


def test_best_by_the_monitored_quantity(tmp_path: Path) -> None:
    """Losses fall, accuracies rise; NaN is never best; an unknown name is an error."""
    by_loss = train.Checkpoint(tmp_path)
    losses = [0.5, float("nan"), 0.4, 0.4, 0.6]
    assert [by_loss.improves({"loss": x}, "loss") for x in losses] == [
        True,
        False,
        True,
        False,
        False,
    ]
    by_accuracy = train.Checkpoint(tmp_path, monitor="val_accuracy")
    rising = [by_accuracy.improves({"val_accuracy": x}, "loss") for x in (0.5, 0.4, 0.6)]
    assert rising == [True, False, True]
    assert not train.Checkpoint(tmp_path, monitor=None).improves({"loss": 1.0}, "loss")
    with pytest.raises(ValueError) as error:
        by_accuracy.improves({"loss": 1.0, "lr": 0.1}, "loss")
    assert str(error.value) == (
        "Checkpoint: there is no 'val_accuracy' to monitor; the epochs report loss, lr."
    )


def test_negative_options_are_refused(tmp_path: Path) -> None:
    """Counts and times are not negative; the mode is one of three."""
    with pytest.raises(ValueError) as error:
        train.Checkpoint(tmp_path, keep=-1)
    assert str(error.value) == "Checkpoint: keep must not be negative, got -1."
    with pytest.raises(ValueError) as error:
        train.Checkpoint(tmp_path, mode="lowest")
    assert str(error.value) == "mode must be 'auto', 'min' or 'max', got 'lowest'."


def test_due_by_time(tmp_path: Path) -> None:
    """`every_seconds` counts from the last save."""
    saver = train.Checkpoint(tmp_path, every_seconds=3600)
    assert not saver.is_due(1)
    saver._saved_at -= 3601
    assert saver.is_due(1)
    saver.save(1, {})
    assert not saver.is_due(2)


def test_random_state_comes_back() -> None:
    """Backlit's, Python's and NumPy's numbers go on as they would have."""

    def draw() -> list[float]:
        numbers = [random.random(), random.gauss(0, 1), float(np.random.normal())]  # noqa: NPY002
        return [*numbers, *backlit.rand(2).tolist()]

    draw()
    state = random_state()
    expected = draw()
    draw()
    set_random_state(state)
    assert draw() == expected
