"""The PyTorch names that the decks print work under the same names (rows A01 to A15)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import backlit
import backlit.nn.functional as F
from backlit import nn, optim

FLOWER = backlit.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])  # one image, one channel, 2 × 2


def test_A01_same_module_layout() -> None:
    """``import torch.nn as nn``, ``torch.nn.functional as F``, ``torch.optim as optim``."""
    scope: dict[str, Any] = {}
    exec(
        "import backlit as torch\n"
        "import backlit.nn as nn\n"
        "import backlit.nn.functional as F\n"
        "import backlit.optim as optim\n",
        scope,
    )
    assert scope["nn"] is scope["torch"].nn
    assert scope["F"] is scope["torch"].nn.functional
    assert scope["optim"] is scope["torch"].optim
    for module in ("nn.init", "utils.data", "optim.lr_scheduler", "autograd"):
        importlib.import_module(f"backlit.{module}")


PRINTED_NET = """
class TwoLayerNet(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super({0}).__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return x
"""


def two_layer_net(arguments: str = "") -> Any:
    """The network as printed; ``arguments`` are those of ``super``."""
    scope: dict[str, Any] = {"nn": nn, "F": F}
    exec(PRINTED_NET.format(arguments), scope)
    return scope["TwoLayerNet"](100, 50, 10)


@pytest.mark.parametrize("arguments", ["", "TwoLayerNet, self"])
def test_A02_two_layer_net(arguments: str) -> None:
    """TwoLayerNet(100, 50, 10) runs, with either ``super`` call; it has 5 560 parameters."""
    net = two_layer_net(arguments)
    assert net(backlit.randn(7, 100)).shape == (7, 10)
    assert sum(p.numel() for p in net.parameters()) == 5560


def test_A03_linear_and_relu() -> None:
    """``nn.Linear`` is x Wᵀ + b, ``F.relu`` max(0, x)."""
    layer = nn.Linear(3, 2)
    x = backlit.tensor([[1.0, -2.0, 0.5]])
    expected = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(F.relu(layer(x)).detach().numpy(), expected.clip(0), rtol=1e-6)


def test_A04_cross_entropy_takes_class_indices() -> None:
    """``nn.CrossEntropyLoss()`` takes scores and class indices: the mean of -log softmax."""
    scores = backlit.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    loss = nn.CrossEntropyLoss()(scores, backlit.tensor([0, 2]))
    z = np.exp(scores.numpy())
    p = z / z.sum(1, keepdims=True)
    assert loss.item() == pytest.approx(-(np.log(p[0, 0]) + np.log(p[1, 2])) / 2, rel=1e-6)


def test_A05_printed_training_loop() -> None:
    """The printed loop with SGD (lr = 0.01) lowers the loss."""
    backlit.manual_seed(0)
    model = two_layer_net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    inputs, labels = backlit.randn(32, 100), backlit.randint(0, 10, (32,))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_A06_tensors_that_require_grad() -> None:
    """``tensor(-2.0, requires_grad=True)``, ``.backward()``, ``.grad``."""
    x = backlit.tensor(-2.0, requires_grad=True)
    (x * x).backward()
    assert x.grad.item() == -4.0


def test_A07_autograd_function() -> None:
    """``ctx.save_for_backward`` and ``ctx.saved_tensors`` carry values to backward."""

    class Square(backlit.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = backlit.tensor(3.0, requires_grad=True)
    Square.apply(x).backward()
    assert x.grad.item() == 6.0


def test_A08_rand_takes_every_keyword() -> None:
    """``rand`` draws from [0, 1) and accepts PyTorch's keywords; ``out`` receives the numbers."""
    generator = backlit.Generator()
    generator.manual_seed(0)
    x = backlit.rand(
        200,
        3,
        generator=generator,
        dtype=backlit.float64,
        layout=backlit.strided,
        device="cpu",
        requires_grad=True,
        pin_memory=False,
    )
    assert x.shape == (200, 3)
    assert x.requires_grad
    values = x.detach().numpy()
    assert values.min() >= 0
    assert values.max() < 1
    out = backlit.empty(4)
    assert backlit.rand(4, out=out) is out
    assert backlit.rand((2, 3), pin_memory=True).shape == (2, 3)


def test_A09_loops_against_matmul() -> None:
    """``randn``, ``zeros_like``, ``.size(0)``, ``C[i, j] += …``: the triple loop is matmul."""
    a, b = backlit.randn(4, 4), backlit.randn(4, 4)
    c = backlit.zeros_like(a)
    for i in range(a.size(0)):
        for j in range(b.size(1)):
            for k in range(a.size(1)):
                c[i, j] += a[i, k] * b[k, j]
    np.testing.assert_allclose(c.numpy(), backlit.matmul(a, b).numpy(), rtol=1e-5, atol=1e-6)


def test_A10_init_and_empty() -> None:
    """``nn.init.normal_(torch.empty(3, 5))``; the printed ``torch.tensor.empty`` gets a hint."""
    backlit.manual_seed(0)
    w = backlit.empty(3, 5)
    assert w.shape == (3, 5)
    assert nn.init.normal_(w) is w
    assert 0.5 < w.std().item() < 1.5
    with pytest.raises(AttributeError) as caught:
        backlit.tensor.empty(3, 5)
    assert str(caught.value) == (
        "'tensor' is a function and has no attribute 'empty'; did you mean backlit.empty?"
    )
    with pytest.raises(AttributeError) as caught:
        _ = backlit.tensor.nothing
    assert str(caught.value) == "'tensor' is a function and has no attribute 'nothing'"


def test_A11_dropout_and_modes() -> None:
    """``nn.Dropout`` drops in ``model.train()`` and keeps the scale; ``model.eval()`` passes on."""
    backlit.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.25))
    x = backlit.ones(10_000)
    model.train()
    y = model(x)
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(y[y != 0].numpy(), 1 / 0.75, rtol=1e-6)
    model.eval()
    assert model(x).tolist() == x.tolist()


@pytest.mark.parametrize(
    "layer, shape, dims",
    [
        (nn.BatchNorm1d(5), (8, 5), (0,)),
        (nn.BatchNorm2d(3), (4, 3, 5, 5), (0, 2, 3)),
        (nn.BatchNorm3d(3), (4, 3, 2, 2, 2), (0, 2, 3, 4)),
        (nn.InstanceNorm1d(3), (4, 3, 6), (2,)),
        (nn.InstanceNorm2d(3), (4, 3, 5, 5), (2, 3)),
        (nn.InstanceNorm3d(3), (4, 3, 2, 2, 2), (2, 3, 4)),
        (nn.LayerNorm(6), (4, 6), (1,)),
        (nn.GroupNorm(1, 4), (5, 4, 3), (1, 2)),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else "",
)
def test_A12_normalization_layers(layer: nn.Module, shape: Any, dims: tuple[int, ...]) -> None:
    """The layers of the page: mean 0 and variance 1 over the dimensions each normalizes."""
    backlit.manual_seed(0)
    y = layer(backlit.randn(*shape) * 3 + 5).detach()
    np.testing.assert_allclose(y.mean(dims).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(dims, correction=0).numpy(), 1, rtol=1e-3)


def test_A12_other_normalizations() -> None:
    """RMSNorm divides by the root mean square; LocalResponseNorm by its neighbours' squares."""
    x = backlit.tensor([[3.0, 4.0]])
    rms = (12.5) ** 0.5
    np.testing.assert_allclose(nn.RMSNorm(2)(x).detach().numpy(), [[3 / rms, 4 / rms]], rtol=1e-6)
    y = nn.LocalResponseNorm(1, alpha=2.0, beta=1.0, k=1.0)(FLOWER)
    np.testing.assert_allclose(y.numpy(), FLOWER.numpy() / (1 + 2 * FLOWER.numpy() ** 2), rtol=1e-6)


OPERATORS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "mul": (lambda x: backlit.mul(x, 2.0), [[[[2, 4], [6, 8]]]]),
    "permute": (lambda x: backlit.permute(x, (0, 1, 3, 2)), [[[[1, 3], [2, 4]]]]),
    "reflection_pad2d": (
        nn.ReflectionPad2d(1),
        [[[[4, 3, 4, 3], [2, 1, 2, 1], [4, 3, 4, 3], [2, 1, 2, 1]]]],
    ),
    "replication_pad2d": (
        nn.ReplicationPad2d((1, 0, 0, 0)),
        [[[[1, 1, 2], [3, 3, 4]]]],
    ),
    "select": (lambda x: backlit.select(x, 3, 1), [[[2, 4]]]),
    "sigmoid": (lambda x: backlit.sigmoid(x * 0), [[[[0.5, 0.5], [0.5, 0.5]]]]),
    "slice": (lambda x: x[:, :, 1:2], [[[[3, 4]]]]),
    "softmax": (lambda x: backlit.softmax(x * 0, 3), [[[[0.5, 0.5], [0.5, 0.5]]]]),
    "stack": (lambda x: backlit.stack([x, x]).sum(0), [[[[2, 4], [6, 8]]]]),
    "sub": (lambda x: backlit.sub(x, 1), [[[[0, 1], [2, 3]]]]),
    "tanh": (lambda x: backlit.tanh(x * 0), [[[[0, 0], [0, 0]]]]),
    "threshold": (lambda x: F.threshold(x, 2.5, -1.0), [[[[-1, -1], [3, 4]]]]),
    "upsample_nearest2d": (
        nn.UpsamplingNearest2d(scale_factor=(1, 2)),
        [[[[1, 1, 2, 2], [3, 3, 4, 4]]]],
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_A13_operators_of_the_kernel_list(name: str) -> None:
    """The operators of the shader list (quantized ones apart) exist and compute."""
    compute, expected = OPERATORS[name]
    assert compute(FLOWER).tolist() == expected


@pytest.mark.parametrize("name", OPERATORS)
def test_A15_source_of_every_operator(name: str) -> None:
    """The code that computes a result can be read, by ``source`` of the package or the tensor."""
    compute, _ = OPERATORS[name]
    x = FLOWER.clone().requires_grad_()  # nothing is computed before it is looked at
    text = compute(x).source()
    assert text.startswith("import numpy as np")
    assert "def program(inputs, scalars):" in text
    assert "test_pytorch_names.py:" in text
    assert "np.tanh(" in backlit.source(x.tanh())


@pytest.mark.parametrize("name", ["mul", "permute", "sigmoid", "softmax", "stack", "sub", "tanh"])
def test_A15_kernel_source_of_an_op(name: str) -> None:
    """Each op shows its NumPy source, and the kernel that is generated for the machine."""
    pytest.importorskip("llvmlite")
    op = backlit.insight.op(getattr(backlit, name))
    arguments = {"permute": (FLOWER, (0, 1, 3, 2)), "stack": ([FLOWER, FLOWER],)}
    default = (FLOWER, FLOWER) if name in ("mul", "sub") else (FLOWER, 3)
    given = arguments.get(name, default if name in ("mul", "sub", "softmax") else (FLOWER,))
    text = op.source(*given)
    assert "def program(inputs, scalars):" in text
    if name != "permute":  # a permutation is only another way to read
        assert "define" in text
        assert "ret" in op.program(*given).asm()
    if name == "tanh":
        assert "# NumPy template: np.tanh(x)" in text
