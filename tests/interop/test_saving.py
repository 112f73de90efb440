"""Files of state dicts and plain values: safetensors inside, never a pickle."""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.errors import ArgumentError
from backlit.interop import FileFormatError, load_file, save_file
from backlit.interop.saving import packed


def test_state_dict_comes_back(tmp_path: Path) -> None:
    """Every tensor with its dtype and its bits, under its own name, also for other programs."""
    from safetensors.numpy import load_file as their_load_file

    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    backlit.save(model.state_dict(), tmp_path / "m.pt")
    found = backlit.load(tmp_path / "m.pt")
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    other.load_state_dict(found)
    theirs = their_load_file(tmp_path / "m.pt")
    assert sorted(theirs) == sorted(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert other.state_dict()[name].numpy().tobytes() == tensor.numpy().tobytes()
        assert theirs[name].tobytes() == tensor.numpy().tobytes()


@pytest.mark.parametrize(
    "dtype",
    ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int64", "uint8", "bool"],
)
def test_every_dtype(tmp_path: Path, dtype: str) -> None:
    """Alone, in a state dict, and inside other values."""
    tensor = backlit.tensor([0.0, 1.0]).to(getattr(backlit, dtype))
    for value in (tensor, {"a": tensor}, {"a": [1, tensor]}):
        backlit.save(value, tmp_path / "t")
        found = backlit.load(tmp_path / "t")
        found = (
            found if value is tensor else found["a"][1] if type(value["a"]) is list else found["a"]
        )
        assert (found.dtype, found.tolist()) == (tensor.dtype, tensor.tolist())


def test_plain_values_come_back() -> None:
    """Numbers, texts, None, tuples, nested dicts with any plain keys."""
    value = {"step": 3, "lr": 0.1, 5: (True, None, "x"), "deep": [{"": backlit.zeros(0)}]}
    file = io.BytesIO()
    backlit.save(value, file)
    file.seek(0)
    found = backlit.load(file, map_location="cpu", weights_only=True)
    assert found["deep"][0][""].shape == (0,)
    del found["deep"], value["deep"]
    assert found == value


def test_optimizer_state_comes_back(tmp_path: Path) -> None:
    """What tutorials save: {"model": …, "optimizer": …, "epoch": …}."""
    model = nn.Linear(2, 1)
    optimizer = backlit.optim.Adam(model.parameters())
    model(backlit.ones(4, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2}
    backlit.save(state, tmp_path / "c.pt")
    found = backlit.load(tmp_path / "c.pt")
    fresh = backlit.optim.Adam(model.parameters())
    fresh.load_state_dict(found["optimizer"])
    assert fresh.state_dict()["state"][0]["exp_avg"].tolist() == (
        optimizer.state_dict()["state"][0]["exp_avg"].tolist()
    )


def test_metadata_is_stored(tmp_path: Path) -> None:
    """Texts beside the tensors are where other programs look for them."""
    from safetensors import safe_open

    save_file({"w": backlit.ones(2)}, tmp_path / "w.safetensors", {"made": "here"})
    with safe_open(tmp_path / "w.safetensors", framework="np") as file:
        assert file.metadata() == {"made": "here"}
    assert load_file(tmp_path / "w.safetensors")["w"].tolist() == [1.0, 1.0]


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.path,))  # type: ignore[return-value]


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    """The message says why, and what to do; nothing in the file runs."""
    (tmp_path / "p.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    (tmp_path / "z.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    for name in ("p.pt", "z.pt"):
        with pytest.raises(FileFormatError) as caught:
            backlit.load(tmp_path / name, weights_only=False)
        assert str(caught.value) == (
            f"{tmp_path / name}: this is a pickle, as torch.save writes it; reading one can run "
            "any code that is in it, so Backlit does not. Where it was made, store the weights "
            "with safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
        )
    assert not (tmp_path / "boom").exists()


def test_a_header_that_begins_like_a_pickle_is_read() -> None:
    """Headers of 128 and 640 bytes begin with 0x80, as pickles do."""
    seen = set()
    for length in range(1, 700):
        content = packed({"n" * length: backlit.ones(1)})
        if content[0] == 0x80:
            seen.add(content[1])
            assert list(backlit.load(io.BytesIO(content))) == ["n" * length]
            with pytest.raises(FileFormatError, match="not a readable safetensors file"):
                backlit.load(io.BytesIO(content[:-1]))
    assert seen == {0, 2} or seen == {0, 1, 2}


def test_modules_and_objects_are_refused(tmp_path: Path) -> None:
    """Only data can be saved, and nothing is written otherwise."""
    cases = {
        nn.Linear(1, 1): (
            "save: a Linear is code as well as weights, and files must not hold code; save "
            "model.state_dict(), and load it into a model made by the same code."
        ),
        object(): (
            "save: the value is a object, which is neither a number, text, a tensor nor a "
            "container of them; nothing else can be stored without a pickle."
        ),
    }
    for value, message in cases.items():
        with pytest.raises(ArgumentError) as caught:
            backlit.save(value, tmp_path / "x")
        assert str(caught.value) == message
    with pytest.raises(ArgumentError, match=r"^save: a\.1 is a object, which"):
        backlit.save({"a": [1, object()]}, tmp_path / "x")
    with pytest.raises(ArgumentError) as caught:
        save_file({"a": np.zeros(2)}, tmp_path / "x")  # type: ignore[dict-item]
    assert str(caught.value) == (
        "save_file: 'a' is a ndarray, not a tensor; backlit.save also takes numbers, texts and "
        "containers."
    )
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, and a description that does not fit."""
    with pytest.raises(FileFormatError) as caught:
        backlit.load(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: no such file; check the path."
    with pytest.raises(FileFormatError) as caught:
        load_file(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read (Is a directory)."
    content = packed([backlit.ones(1)])
    (tmp_path / "odd").write_bytes(content.replace(b'\\"key\\": \\".0\\"', b'\\"key\\": \\".7\\"'))
    with pytest.raises(FileFormatError) as caught:
        backlit.load(tmp_path / "odd")
    assert str(caught.value) == (
        f"{tmp_path / 'odd'}: its description does not fit its tensors (KeyError('.7')); it is "
        "damaged."
    )


def test_order_of_a_mapping_does_not_matter(tmp_path: Path) -> None:
    """Any mapping of names to tensors is a state dict."""
    backlit.save(OrderedDict(b=backlit.ones(1), a=backlit.zeros(1)), tmp_path / "o")
    assert {name: t.item() for name, t in backlit.load(tmp_path / "o").items()} == {"a": 0, "b": 1}
    header = (tmp_path / "o").read_bytes()[8:]
    assert "__metadata__" not in json.loads(header[: header.rindex(b"}") + 1])
