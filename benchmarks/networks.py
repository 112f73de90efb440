"""The networks that are measured, written once for PyTorch and Backlit, and once for JAX."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import COMPILE, COMPILE_ALL

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_JAX = importlib.util.find_spec("jax") is not None
LR, MOMENTUM = 0.01, 0.9

Call = Callable[[], object]


class Network(NamedTuple):
    """A multilayer perceptron and its task: classes by cross-entropy, or numbers by MSE."""

    sizes: tuple[int, ...]
    activation: str
    batch: int
    classifies: bool = True


IRIS = Network((2, 10, 3), "Sigmoid", 150)
MCYCLE = Network((1, 10, 1), "Sigmoid", 133, classifies=False)
CIFAR = Network((3072, 100, 10), "ReLU", 64)
MNIST = Network((784, 128, 64, 10), "ReLU", 64)
MLP_512 = Network((512, 512, 512, 512, 10), "ReLU", 128)
MLP_2048 = Network((2048, 2048, 2048, 10), "ReLU", 256)


def data(network: Network) -> tuple[Any, Any]:
    """Inputs and targets, the same for every contender."""
    rng = np.random.default_rng(0)
    sizes, batch = network.sizes, network.batch
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    if network.classifies:
        return x, rng.integers(0, sizes[-1], batch)
    return x, rng.normal(size=(batch, sizes[-1])).astype(np.float32)


def torch_model(torch: Any, network: Network) -> Any:
    """The network in PyTorch, or in Backlit."""
    nn = torch.nn
    torch.manual_seed(0)
    layers: list[Any] = []
    for n, m in itertools.pairwise(network.sizes):
        layers += [nn.Linear(n, m), getattr(nn, network.activation)()]
    return nn.Sequential(*layers[:-1])


def torch_loss(torch: Any, network: Network) -> tuple[Call, Any]:
    """A function that computes the loss of the network, in PyTorch or in Backlit; parameters."""
    model = torch_model(torch, network)
    criterion = torch.nn.CrossEntropyLoss() if network.classifies else torch.nn.MSELoss()
    x, y = (torch.tensor(a) for a in data(network))
    return lambda: criterion(model(x), y), list(model.parameters())


def sgd(torch: Any, parameters: Any) -> Any:
    """The optimizer of every step here."""
    return torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM)


def training_step(loss_of: Call, optimizer: Any, update: Call | None = None) -> Call:
    """One step as a plain loop writes it; ``update`` replaces the optimizer's own step."""
    if update is None:
        update = optimizer.step

    def step() -> object:
        optimizer.zero_grad()
        loss: Any = loss_of()
        loss.backward()
        update()
        return loss

    return step


def plain_step(torch: Any, loss_of: Call, parameters: Any) -> Call:
    """A training step in PyTorch or in Backlit, with nothing compiled by hand."""
    return training_step(loss_of, sgd(torch, parameters))


def compiled_steps(loss_of: Call, parameters: Any) -> dict[str, Call]:
    """With the loss (and so its backward pass) compiled, and with the optimizer's step as well."""
    import torch

    torch.compiler.reset()  # else sizes that change from network to network become dynamic
    optimizer = sgd(torch, parameters)
    compiled = torch.compile(loss_of)
    return {
        COMPILE: training_step(compiled, optimizer),
        COMPILE_ALL: training_step(compiled, optimizer, torch.compile(optimizer.step)),
    }


def jax_parameters(sizes: tuple[int, ...]) -> Any:
    """Weights and biases."""
    from jax import numpy as jnp

    rng = np.random.default_rng(0)
    return [
        (
            jnp.asarray(rng.uniform(-1, 1, (n, m)).astype(np.float32) / np.sqrt(n)),
            jnp.zeros(m, jnp.float32),
        )
        for n, m in itertools.pairwise(sizes)
    ]


def jax_forward(network: Network) -> Callable[[Any, Any], Any]:
    """The network as a function of parameters and inputs."""
    import jax

    activation = {"Sigmoid": jax.nn.sigmoid, "ReLU": jax.nn.relu, "Tanh": jax.numpy.tanh}
    act = activation[network.activation]

    def forward(parameters: Any, x: Any) -> Any:
        for w, b in parameters[:-1]:
            x = act(x @ w + b)
        w, b = parameters[-1]
        return x @ w + b

    return forward


def jax_training(loss_of: Callable[..., Any], parameters: Any, inputs: tuple[Any, ...]) -> Call:
    """The same step as one jitted function with donated parameters."""
    import jax

    def update(parameters: Any, buffers: Any, *inputs: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, *inputs)
        buffers = jax.tree.map(lambda m, g: MOMENTUM * m + g, buffers, gradients)
        parameters = jax.tree.map(lambda p, m: p - LR * m, parameters, buffers)
        return parameters, buffers, loss

    jitted = jax.jit(update, donate_argnums=(0, 1))
    state = [parameters, jax.tree.map(jax.numpy.zeros_like, parameters)]

    def step() -> object:
        state[0], state[1], loss = jitted(state[0], state[1], *inputs)
        return loss.block_until_ready()

    return step


def jax_step(network: Network) -> Call:
    """A training step of the network in JAX."""
    import jax
    from jax import numpy as jnp

    forward = jax_forward(network)
    x, y = (jnp.asarray(a) for a in data(network))

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        out = forward(parameters, x)
        if network.classifies:
            return -jnp.mean(jax.nn.log_softmax(out)[jnp.arange(len(y)), y])
        return jnp.mean((out - y) ** 2)

    return jax_training(loss_of, jax_parameters(network.sizes), (x, y))
