"""Layers: what they compute, how they show themselves, and what they refuse."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import backlit
from backlit import nn
from backlit.nn import functional as F

INPUT = backlit.tensor(np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4))


# -- affine layers ---------------------------------------------------------------------------


def test_linear_is_x_w_transposed_plus_b() -> None:
    """For any number of leading dimensions, with and without bias."""
    layer = nn.Linear(4, 2)
    assert layer.bias is not None
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for x in (INPUT, INPUT[0], INPUT[0, 0]):
        assert np.allclose(layer(x).detach().numpy(), x.numpy() @ w.T + b, atol=1e-5)
    bare = nn.Linear(4, 2, bias=False)
    assert bare.bias is None
    expected = INPUT[0].numpy() @ bare.weight.detach().numpy().T
    assert np.allclose(bare(INPUT[0]).detach().numpy(), expected, atol=1e-5)


def test_linear_in_another_dtype() -> None:
    """The parameters have the dtype asked for."""
    layer = nn.Linear(2, 2, dtype=backlit.float64)
    assert layer(backlit.zeros(1, 2, dtype=backlit.float64)).dtype is backlit.float64


def test_bilinear_is_a_form_per_output() -> None:
    """y_k = x₁ᵀ W_k x₂ + b_k."""
    layer = nn.Bilinear(3, 2, 4)
    a, b = backlit.randn(5, 3), backlit.randn(5, 2)
    assert layer.bias is not None
    expected = np.einsum("ni,kij,nj->nk", a.numpy(), layer.weight.detach().numpy(), b.numpy())
    assert np.allclose(
        layer(a, b).detach().numpy(), expected + layer.bias.detach().numpy(), atol=1e-5
    )
    with pytest.raises(ValueError) as error:
        nn.Bilinear(0, 1, 1)
    assert str(error.value) == "in1_features must be > 0, but got (in1_features=0)"


def test_maxout_is_the_largest_piece_and_gradients_follow_it() -> None:
    """T09: max over k affine maps; exactly k times the parameters of Linear."""
    layer = nn.Maxout(3, 2, k=2)
    x = backlit.randn(5, 3)
    z = layer.pieces(x).detach().numpy().reshape(5, 2, 2)
    out = layer(x)
    assert np.allclose(out.detach().numpy(), z.max(-1))
    out.sum().backward()
    g = layer.pieces.weight.grad
    assert g is not None
    expected = np.zeros((4, 3))
    for row in range(5):
        for unit in range(2):
            expected[2 * unit + z[row, unit].argmax()] += x.numpy()[row]
    assert np.allclose(g.numpy(), expected, atol=1e-5)
    with pytest.raises(ValueError) as error:
        nn.Maxout(1, 1, k=0)
    assert str(error.value) == "Maxout: k must be at least 1 piece per unit, got 0."


def test_residual_adds_its_input() -> None:
    """O25: y = x + f(x), with a shortcut where sizes differ."""
    block = nn.Linear(4, 4)
    x = INPUT[0]
    assert np.allclose(nn.Residual(block)(x).detach().numpy(), (x + block(x)).detach().numpy())
    wide, shortcut = nn.Linear(4, 5), nn.Linear(4, 5, bias=False)
    expected = (shortcut(x) + wide(x)).detach().numpy()
    assert np.allclose(nn.Residual(wide, shortcut)(x).detach().numpy(), expected)


def test_lazy_linear_becomes_linear() -> None:
    """Its parameters are drawn when the first input has told their shape."""
    layer = nn.LazyLinear(3)
    assert repr(layer) == "LazyLinear(in_features=0, out_features=3, bias=True)"
    model = nn.Sequential(layer)
    assert tuple(model(backlit.zeros(2, 5)).shape) == (2, 3)
    assert repr(layer) == "Linear(in_features=5, out_features=3, bias=True)"
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert float(layer.weight.detach().abs().max()) > 0
    double = nn.LazyLinear(3, bias=False).double()
    assert double(backlit.zeros(1, 2, dtype=backlit.float64)).dtype is backlit.float64
    copied = copy.deepcopy(nn.LazyLinear(3))
    assert tuple(copied(backlit.zeros(2, 5)).shape) == (2, 3)


def test_lazy_modules_say_what_is_missing() -> None:
    """A lazy module without, or with an incomplete, initialize_parameters."""

    class Lazy(nn.lazy.LazyModuleMixin):
        pass

    with pytest.raises(NotImplementedError) as error:
        Lazy()(1)
    assert str(error.value) == "initialize_parameters is not implemented for Lazy"

    class Incomplete(nn.lazy.LazyModuleMixin):
        def initialize_parameters(self, input: Any) -> None:
            self.p = nn.UninitializedParameter()

    with pytest.raises(RuntimeError) as unfinished:
        Incomplete()(1)
    assert str(unfinished.value) == (
        "module Incomplete has not been fully initialized: materialize every parameter in "
        "initialize_parameters()."
    )


# -- dropout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.Dropout, nn.ScaledDropout])
def test_dropout_masks_differ_and_the_mean_is_that_of_evaluation(kind: Any) -> None:
    """O19, O21: a share p of the elements is 0; both variants agree in expectation."""
    backlit.manual_seed(0)
    layer = kind(0.25)
    x = backlit.ones(100_000)
    first, second = layer(x), layer(x)
    assert first.tolist() != second.tolist()
    assert abs((first == 0).float().mean().item() - 0.25) < 0.01
    assert layer.eval()(x).mean().item() == pytest.approx(first.mean().item(), abs=0.01)
    assert layer(x).tolist() == layer(x).tolist()


def test_where_the_factor_of_dropout_is() -> None:
    """O21: inverted dropout scales in training, the original at test time."""
    backlit.manual_seed(0)
    x = backlit.ones(1000)
    assert set(nn.Dropout(0.5)(x).tolist()) == {0.0, 2.0}
    assert set(nn.ScaledDropout(0.5)(x).tolist()) == {0.0, 1.0}
    assert set(nn.Dropout(0.5).eval()(x).tolist()) == {1.0}
    assert set(nn.ScaledDropout(0.5).eval()(x).tolist()) == {0.5}


def test_feature_dropout_drops_whole_channels() -> None:
    """Dropout1d keeps or drops each row of (N, C, L)."""
    backlit.manual_seed(0)
    y = nn.Dropout1d(0.5)(backlit.ones(4, 50, 7)).numpy()
    assert ((y == y[..., :1]).all(-1)).all()
    assert 50 < (y[..., 0] == 0).sum() < 150


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    """For standard normal inputs, as SELU networks have."""
    backlit.manual_seed(0)
    y = nn.AlphaDropout(0.2)(backlit.randn(200_000)).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_dropout_refuses_what_is_no_probability(p: float) -> None:
    """PyTorch's message."""
    with pytest.raises(ValueError) as error:
        nn.Dropout(p)
    assert str(error.value) == f"dropout probability has to be between 0 and 1, but got {p}"


# -- normalisation ---------------------------------------------------------------------------


def test_batch_norm_uses_the_batch_then_the_running_estimates() -> None:
    """Training normalises by the batch and updates the estimates with its momentum."""
    layer = nn.BatchNorm1d(3)
    x = backlit.randn(50, 3) * 4 + 7
    y = layer(x).detach().numpy()
    assert np.allclose(y.mean(0), 0, atol=1e-5)
    assert np.allclose(y.std(0), 1, atol=1e-3)
    n = x.numpy()
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    assert np.allclose(layer.running_mean.numpy(), 0.1 * n.mean(0), atol=1e-5)
    assert np.allclose(layer.running_var.numpy(), 0.9 + 0.1 * n.var(0, ddof=1), atol=1e-4)
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    expected = (n - layer.running_mean.numpy()) / np.sqrt(layer.running_var.numpy() + 1e-5)
    assert np.allclose(layer(x).detach().numpy(), expected, atol=1e-4)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_parameters()
    assert layer.running_var.tolist() == [1.0, 1.0, 1.0]


def test_batch_norm_without_momentum_averages_all_batches() -> None:
    """After two batches the estimate is the mean of their means."""
    layer = nn.BatchNorm1d(1, momentum=None)
    layer(backlit.tensor([[0.0], [2.0]]))
    layer(backlit.tensor([[4.0], [6.0]]))
    assert layer.running_mean is not None
    assert layer.running_mean.item() == pytest.approx(3.0)


@pytest.mark.parametrize(
    "layer, shape, message",
    [
        (nn.BatchNorm1d(3), (3,), "expected 2D or 3D input (got 1D input)"),
        (nn.BatchNorm2d(3), (2, 3), "expected 4D input (got 2D input)"),
        (nn.BatchNorm3d(3), (2, 3), "expected 5D input (got 2D input)"),
        (nn.InstanceNorm2d(3), (2, 3), "expected 3D or 4D input (got 2D input)"),
        (
            nn.InstanceNorm1d(3, affine=True),
            (2, 4, 5),
            "expected input's size at dim=1 to match num_features (3), but got: 4.",
        ),
    ],
)
def test_normalisations_refuse_other_shapes(layer: Any, shape: Any, message: str) -> None:
    """The number of dimensions says where the channels are."""
    with pytest.raises(ValueError) as error:
        layer(backlit.zeros(*shape))
    assert str(error.value) == message


def test_instance_norm_with_unused_features_warns() -> None:
    """Without parameters the number of channels is not needed."""
    with pytest.warns(UserWarning, match="input's size at dim=1 does not match num_features"):
        nn.InstanceNorm1d(3)(backlit.randn(2, 4, 5))


def test_layer_group_and_rms_norm() -> None:
    """The three formulas."""
    x = INPUT.numpy().astype(np.float64)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    layer = nn.LayerNorm(4)
    assert np.allclose(layer(INPUT).detach().numpy(), (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
    g = x.reshape(2, 1, 12)
    expected = (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
    group = nn.GroupNorm(1, 3)
    assert np.allclose(group(INPUT).detach().numpy(), expected.reshape(x.shape), atol=1e-4)
    rms = nn.RMSNorm([4], eps=1e-6)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    assert np.allclose(rms(INPUT).detach().numpy(), expected, atol=1e-4)
    for made in (layer, group, rms):
        with backlit.no_grad():
            made.weight.mul_(3)
        made.reset_parameters()
        assert made.weight.detach().numpy().min() == 1.0
    with pytest.raises(ValueError) as error:
        nn.GroupNorm(2, 3)
    assert str(error.value) == "num_channels (3) must be divisible by num_groups (2)"


def test_lazy_normalisations() -> None:
    """They learn the number of channels and become what they are named after."""
    layer = nn.LazyBatchNorm1d()
    layer(backlit.randn(4, 3))
    assert type(layer) is nn.BatchNorm1d
    assert repr(layer) == repr(nn.BatchNorm1d(3))
    assert layer.weight is not None
    assert layer.weight.tolist() == [1.0, 1.0, 1.0]
    instance = nn.LazyInstanceNorm1d(affine=True, track_running_stats=True)
    instance(backlit.randn(4, 3, 5))
    assert repr(instance) == repr(nn.InstanceNorm1d(3, affine=True, track_running_stats=True))


# -- embeddings ------------------------------------------------------------------------------


def test_embedding_rows_and_their_gradients() -> None:
    """A row's gradient is the sum over its occurrences; the padding row has none."""
    layer = nn.Embedding(4, 2, padding_idx=0)
    assert layer.weight[0].tolist() == [0.0, 0.0]
    layer(backlit.tensor([[1, 0, 1]])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_embedding_from_pretrained_is_frozen_unless_asked() -> None:
    """The table itself is used."""
    table = backlit.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert not nn.Embedding.from_pretrained(table).weight.requires_grad
    layer = nn.Embedding.from_pretrained(table, freeze=False)
    assert layer.weight.requires_grad
    assert layer(backlit.tensor([1])).tolist() == [[3.0, 4.0]]
    assert not nn.EmbeddingBag.from_pretrained(table).weight.requires_grad


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: nn.Embedding(3, 2, padding_idx=3),
            "padding_idx must be within num_embeddings, but 3 is outside of 3 rows",
        ),
        (
            lambda: nn.Embedding(3, 2, _weight=backlit.zeros(2, 2)),
            "Shape of weight does not match num_embeddings and embedding_dim",
        ),
        (
            lambda: nn.Embedding.from_pretrained(backlit.zeros(2)),
            "Embeddings parameter is expected to be 2-dimensional",
        ),
    ],
)
def test_what_embeddings_refuse(call: Any, message: str) -> None:
    """Rows outside of the table, and tables of other shapes."""
    with pytest.raises(AssertionError) as error:
        call()
    assert str(error.value) == message


# -- activations, padding, shapes ------------------------------------------------------------


def test_in_place_activations_change_their_input() -> None:
    """With inplace=True the input tensor holds the result."""
    x = backlit.tensor([-1.0, 2.0])
    y = nn.ReLU(inplace=True)(x)
    assert x.tolist() == [0.0, 2.0]
    assert y.tolist() == [0.0, 2.0]


def test_gaussian_activation() -> None:
    """T03: exp(-z²/2) with derivative -z exp(-z²/2)."""
    z = backlit.tensor([-1.5, 0.0, 2.0], requires_grad=True)
    y = nn.Gaussian()(z)
    expected = np.exp(-(z.detach().numpy() ** 2) / 2)
    assert np.allclose(y.detach().numpy(), expected)
    y.sum().backward()
    assert z.grad is not None
    assert np.allclose(z.grad.numpy(), -z.detach().numpy() * expected)


def test_prelu_learns_its_slope() -> None:
    """T07: the slope receives the sum of x over negative inputs."""
    layer = nn.PReLU()
    layer(backlit.tensor([-2.0, 3.0])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [-2.0]
    layer.reset_parameters()
    assert layer.weight.tolist() == [0.25]


def test_hardtanh_limits() -> None:
    """The old names warn; an empty interval is refused."""
    with pytest.warns(FutureWarning, match="`min_value` is deprecated and renamed to `min_val`"):
        layer = nn.Hardtanh(min_value=-2.0)
    assert layer(backlit.tensor(-5.0)).item() == -2.0
    with pytest.raises(AssertionError) as error:
        nn.Hardtanh(1.0, 1.0)
    assert str(error.value) == "max_val (1.0) must be greater than min_val (1.0)"


def test_softmax2d_wants_images() -> None:
    """Channels are the third dimension from the right."""
    y = nn.Softmax2d()(backlit.randn(2, 3, 4, 5)).numpy()
    assert np.allclose(y.sum(1), 1)
    with pytest.raises(ValueError) as error:
        nn.Softmax2d()(backlit.zeros(2, 3))
    assert str(error.value) == "Softmax2d: expected input to be 3D or 4D, got 2D instead"


@pytest.mark.parametrize(
    "kind, mode", [("Reflection", "reflect"), ("Replication", "edge"), ("Circular", "wrap")]
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_padding_is_that_of_numpy(kind: str, mode: str, n: int) -> None:
    """Sides are given from the last dimension to the first."""
    x = np.arange(2 * 3**n, dtype=np.float32).reshape(1, 2, *(3,) * n)
    sides = [1, 2, 2, 0, 1, 1][: 2 * n]
    y = getattr(nn, f"{kind}Pad{n}d")(sides)(backlit.tensor(x)).numpy()
    widths = [(0, 0), (0, 0), *reversed(list(zip(sides[::2], sides[1::2], strict=True)))]
    assert (y == np.pad(x, widths, mode=mode)).all()  # type: ignore[call-overload]


def test_circular_padding_checks_dimensions() -> None:
    """PyTorch's message."""
    with pytest.raises(ValueError) as error:
        nn.CircularPad2d(1)(backlit.zeros(3, 3))
    assert str(error.value) == "expected 3D or 4D input (got 2D input)"


def test_flatten_and_unflatten_are_inverse() -> None:
    """Shapes there and back."""
    flat = nn.Flatten()(INPUT)
    assert tuple(flat.shape) == (2, 12)
    assert nn.Unflatten(1, (3, 4))(flat).tolist() == INPUT.tolist()
    with pytest.raises(TypeError) as error:
        nn.Unflatten(1, "34")
    assert str(error.value) == "unflattened_size must be a tuple of ints, but found type str"
    with pytest.raises(TypeError) as element:
        nn.Unflatten(1, (3, 4.0))
    assert str(element.value) == (
        "unflattened_size must be tuple of ints, but found element of type float at pos 1"
    )


def test_pixel_shuffle_and_unshuffle_are_inverse() -> None:
    """Channels to pixels and back; channel shuffle permutes."""
    x = backlit.randn(1, 8, 2, 3)
    y = nn.PixelShuffle(2)(x)
    assert tuple(y.shape) == (1, 2, 4, 6)
    assert nn.PixelUnshuffle(2)(y).tolist() == x.tolist()
    channels = nn.ChannelShuffle(2)(backlit.arange(4).reshape(1, 4, 1))
    assert channels.flatten().tolist() == [0, 2, 1, 3]


# -- losses ----------------------------------------------------------------------------------


def test_losses_reduce_as_asked() -> None:
    """mean, sum and none; the old flags still work, with PyTorch's warning."""
    x, y = backlit.tensor([1.0, 2.0]), backlit.tensor([0.0, 0.0])
    assert nn.MSELoss()(x, y).item() == 2.5
    assert nn.MSELoss(reduction="sum")(x, y).item() == 5.0
    assert nn.MSELoss(reduction="none")(x, y).tolist() == [1.0, 4.0]
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert nn.MSELoss(size_average=False)(x, y).item() == 5.0
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        assert nn.MSELoss(reduce=False)(x, y).tolist() == [1.0, 4.0]


def test_weights_of_losses_are_buffers() -> None:
    """They are saved and converted with the module."""
    loss = nn.CrossEntropyLoss(weight=backlit.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert loss.double().weight.dtype is backlit.float64  # type: ignore[union-attr]


def test_linear_cross_entropy_is_linear_then_cross_entropy() -> None:
    """Also with several scores per example."""
    layer = nn.LinearCrossEntropyLoss(4, 3, out_features=(2,), bias=True)
    x, y = backlit.randn(5, 4), backlit.tensor([[0, 1], [2, 1], [0, 0], [1, 1], [2, 2]])
    expected = F.cross_entropy(layer.linear(x).reshape(5, 3, 2), y)
    assert layer(x, y).item() == pytest.approx(expected.item())
    with pytest.raises(RuntimeError) as error:
        nn.LinearCrossEntropyLoss(4, 3, weight=backlit.ones(2))
    assert str(error.value) == "expected weight shape to be (3,), got (2,)"
    with pytest.raises(RuntimeError) as smoothing:
        nn.LinearCrossEntropyLoss(4, 3, label_smoothing=2.0)
    assert str(smoothing.value) == "expected label_smoothing to be in range [0, 1], got 2.0"


def test_triplet_loss_with_a_distance_of_your_own() -> None:
    """Equals TripletMarginLoss with the default distance, in every reduction and with swap."""
    a, p, n = backlit.randn(4, 3), backlit.randn(4, 3), backlit.randn(4, 3)
    for swap in (False, True):
        for reduction in ("none", "sum", "mean"):
            own = nn.TripletMarginWithDistanceLoss(swap=swap, reduction=reduction)(a, p, n)
            theirs = nn.TripletMarginLoss(swap=swap, reduction=reduction)(a, p, n)
            assert np.allclose(own.numpy(), theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: nn.HuberLoss(delta="1"),
            TypeError,
            "delta must be a float or int, got: <class 'str'>",
        ),
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "only p == 1 and p == 2 supported"),
        (
            lambda: nn.MultiMarginLoss(weight=backlit.ones(2, 2)),
            ValueError,
            "MultiMarginLoss: expected weight to be None or 1D tensor, got 2D instead",
        ),
        (
            lambda: nn.TripletMarginLoss(margin=0),
            ValueError,
            "TripletMarginLoss: expected margin to be greater than 0, got 0 instead",
        ),
    ],
)
def test_what_losses_refuse(call: Any, kind: type[Exception], message: str) -> None:
    """Arguments for which the formula is not defined."""
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message


def test_cross_entropy_of_equal_scores_is_log_of_the_number_of_classes() -> None:
    """L05: the loss before training."""
    loss = nn.CrossEntropyLoss()(backlit.zeros(2, 10), backlit.tensor([3, 7]))
    assert loss.item() == pytest.approx(math.log(10))
