"""What losses, normalisation and the maps of layers refuse, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import backlit
import backlit.nn.functional as F
from backlit import ones
from backlit.core.tensor import Tensor
from backlit.errors import ArgumentError, DtypeError, ShapeError


def ints(*size: int) -> Tensor:
    return backlit.zeros(*size, dtype=backlit.int64)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: F.linear([1.0], ones(2, 3)),
        TypeError,
        ("linear(): argument 'input' must be Tensor, not list."),
    ),
    (
        lambda: F.linear(ones(2, 3), ones(2, 2, 2)),
        ShapeError,
        (
            "linear: weight must be (out, in) or (in,) and input have a dimension, but "
            "weight is (2, 2, 2) and input (2, 3)."
        ),
    ),
    (
        lambda: F.linear(ones(2, 3), ones(5, 4)),
        ShapeError,
        (
            "linear: input (2, 3) has 3 features in its last dimension, but weight (5, 4) "
            "takes 4: mat1 and mat2 shapes cannot be multiplied."
        ),
    ),
    (
        lambda: F.linear(ones(2, 3), ones(5, 3), ones(4)),
        ShapeError,
        ("linear: bias (4,) must have one element for each of the 5 outputs of weight (5, 3)."),
    ),
    (
        lambda: F.bilinear(ones(2, 3), ones(3, 3), ones(1, 3, 3)),
        ShapeError,
        ("bilinear: input batch dimensions do not match: input1 (2, 3), input2 (3, 3)."),
    ),
    (
        lambda: F.bilinear(ones(2, 3), ones(2, 3), ones(1, 3, 4)),
        ShapeError,
        ("bilinear: weight must be (out, 3, 3) for these inputs, but it is (1, 3, 4)."),
    ),
    (
        lambda: F.embedding(ones(2), ones(3, 2)),
        DtypeError,
        (
            "embedding: Expected tensor for argument #1 'indices' to have one of the "
            "following scalar types: Long, Int; but got float32 instead."
        ),
    ),
    (
        lambda: F.embedding(ints(2), ones(3)),
        ShapeError,
        ("embedding: 'weight' must be 2-D, but its shape is (3,)."),
    ),
    (
        lambda: F.embedding(ints(2), ones(3, 2), padding_idx=3),
        ArgumentError,
        ("embedding: Padding_idx must be within num_embeddings, got 3 for 3 rows."),
    ),
    (
        lambda: backlit.softmax([1.0], 0),
        TypeError,
        ("softmax(): argument 'input' must be Tensor, not list."),
    ),
    (
        lambda: backlit.softmax(ints(2), 0),
        DtypeError,
        (
            'softmax: "softmax" is not implemented for int64 tensors; pass dtype=, for '
            "example float32, or convert the input with .float()."
        ),
    ),
    (
        lambda: F.gumbel_softmax(ints(2)),
        DtypeError,
        ("gumbel_softmax: logits must be floating, got int64."),
    ),
    (
        lambda: F.entropy(ints(2)),
        DtypeError,
        ("entropy: probabilities must be floating, got int64."),
    ),
    (
        lambda: F.topk_error(ones(2, 3), ints(3)),
        ArgumentError,
        ("topk_error: expected scores (N, C) and class indices (N,), got (2, 3) and (3,)."),
    ),
    (
        lambda: F.topk_error(ones(2, 3), ints(2), k=4),
        ArgumentError,
        ("topk_error: k must be between 1 and 3 classes, got 4."),
    ),
    (
        lambda: F.layer_norm(ones(2, 3), ()),
        ShapeError,
        ("layer_norm: Expected normalized_shape to be at least 1-dimensional, got ()."),
    ),
    (
        lambda: F.layer_norm(ones(2, 3), (3,), ones(2)),
        ShapeError,
        (
            "layer_norm: Expected weight to be of same shape as normalized_shape, but got "
            "weight (2,) and normalized_shape (3,)."
        ),
    ),
    (
        lambda: F.layer_norm(ones(2, 3), (2,)),
        ShapeError,
        (
            "layer_norm: Given normalized_shape=[2], expected input with shape [*, 2], but "
            "got input of size [2, 3]."
        ),
    ),
    (
        lambda: F.group_norm(ones(2), 1),
        ShapeError,
        ("group_norm: Expected at least 2 dimensions for input tensor but received 1."),
    ),
    (
        lambda: F.group_norm(ones(2, 3), 2),
        ArgumentError,
        (
            "group_norm: Expected number of channels in input to be divisible by "
            "num_groups, but got input of shape [2, 3] and num_groups=2."
        ),
    ),
    (
        lambda: F.group_norm(ones(2, 4), 2, ones(3)),
        ShapeError,
        (
            "group_norm: Expected weight to be a vector of size equal to the number of "
            "channels in input, but got weight of shape [3] and input of shape [2, 4]."
        ),
    ),
    (
        lambda: F.embedding_bag(backlit.arange(2), ones(3, 2), per_sample_weights=ones(3)),
        ShapeError,
        (
            "embedding_bag: If per_sample_weights ((3,)) is not None, then it must have the same "
            "shape as the input ((2,))."
        ),
    ),
    (
        lambda: F.embedding_bag(backlit.arange(2).reshape(1, 1, 2), ones(3, 2)),
        ShapeError,
        ("embedding_bag: input has to be 1D or 2D Tensor, but got 3D."),
    ),
    (
        lambda: F.embedding_bag(backlit.arange(2).reshape(1, 2), ones(3, 2), backlit.arange(2)),
        ArgumentError,
        (
            "embedding_bag: if input is 2D, then offsets has to be None, as input is treated as a "
            "mini-batch of fixed length sequences."
        ),
    ),
    (
        lambda: F.embedding_bag(backlit.arange(2), ones(3, 2)),
        ArgumentError,
        ("embedding_bag: offsets has to be a 1D Tensor if input is 1D."),
    ),
    (
        lambda: F.embedding_bag(backlit.arange(2), ones(3, 2), backlit.arange(2), mode="min"),
        ArgumentError,
        ("embedding_bag: mode has to be one of sum, mean or max, got 'min'."),
    ),
    (
        lambda: F.embedding_bag(
            backlit.arange(2), ones(3, 2), backlit.arange(2), mode="max", scale_grad_by_freq=True
        ),
        ArgumentError,
        ("embedding_bag: max mode does not support scaling the gradient by the frequency."),
    ),
    (
        lambda: F.embedding_bag(
            backlit.arange(2), ones(3, 2), backlit.arange(2), per_sample_weights=ones(2)
        ),
        NotImplementedError,
        (
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            "for mode='sum' (got mode='mean')."
        ),
    ),
    (
        lambda: F.embedding_bag(backlit.arange(2), ones(3, 2), backlit.arange(1, 3)),
        ArgumentError,
        (
            "embedding_bag: offsets must begin with 0, not decrease, and end by the input's length "
            "2, got [1, 2]."
        ),
    ),
    (
        lambda: F.batch_norm(ones(2), None, None, training=True),
        ShapeError,
        ("batch_norm: expected at least 2 dimensions (N, C, …), got (2,)."),
    ),
    (
        lambda: F.batch_norm(ones(2, 3), ones(2), None, training=True),
        ShapeError,
        (
            "batch_norm: running_mean should contain 3 elements not 2, one for each "
            "channel of input (2, 3)."
        ),
    ),
    (
        lambda: F.batch_norm(ones(2, 3), None, None),
        ArgumentError,
        ("batch_norm: Expected running_mean and running_var to be defined when training=False."),
    ),
    (
        lambda: F.batch_norm(ones(2, 3), None, None, training=True, eps=0.0),
        ArgumentError,
        ("batch_norm: eps must be positive during training, but got 0.0."),
    ),
    (
        lambda: F.batch_norm(ones(2, 3), ones(3), ones(3), eps=-1.0),
        ArgumentError,
        ("batch_norm: eps must be non-negative, but got -1.0."),
    ),
    (
        lambda: F.cross_entropy(ones(2, 3), ones(2, 3), ignore_index=1),
        ArgumentError,
        (
            "cross_entropy: ignore_index is not supported for floating point target, got 1; "
            "give class indices as integers."
        ),
    ),
    (
        lambda: F.batch_norm(ones(1, 3), None, None, training=True),
        ArgumentError,
        (
            "batch_norm: Expected more than 1 value per channel when training, got input "
            "size [1, 3]."
        ),
    ),
    (
        lambda: F.instance_norm(ones(2, 3, 4), use_input_stats=False),
        ArgumentError,
        (
            "instance_norm: Expected running_mean and running_var to be defined when "
            "use_input_stats=False."
        ),
    ),
    (
        lambda: F.instance_norm(ones(2, 3, 1)),
        ArgumentError,
        (
            "instance_norm: Expected more than 1 spatial element when training, got input "
            "size [2, 3, 1]."
        ),
    ),
    (
        lambda: F.local_response_norm(ones(2, 3), 2),
        ShapeError,
        ("local_response_norm: Expected 3D or higher dimensionality input (got 2 dimensions)."),
    ),
    (
        lambda: F.mse_loss(ones(2), ones(2), reduction="max"),
        ArgumentError,
        ("mse_loss: max is not a valid value for reduction; use 'none', 'mean' or 'sum'."),
    ),
    (
        lambda: F.mse_loss(ones(2), ones(2), weight=ones(3)),
        ShapeError,
        ("mse_loss: Inputs and weights must have the same size, got (2,) and (3,)."),
    ),
    (
        lambda: F.smooth_l1_loss(ones(2), ones(2), beta=-1.0),
        ArgumentError,
        ("smooth_l1_loss: does not support negative values for beta, got -1.0."),
    ),
    (
        lambda: F.huber_loss(ones(2), ones(2), delta=0.0),
        ArgumentError,
        ("huber_loss: does not support non-positive values for delta, got 0.0."),
    ),
    (
        lambda: F.nll_loss(ones(()), ints(())),
        ShapeError,
        ("nll_loss: input should have a dimension for the classes, got a 0-D tensor."),
    ),
    (
        lambda: F.cross_entropy(ones(2, 3), ints(3)),
        ShapeError,
        (
            "cross_entropy: Expected target size [2], got [3], for input (2, 3) with 3 "
            "classes in dimension 1."
        ),
    ),
    (
        lambda: F.cross_entropy(ones(2, 3), ints(2).int()),
        DtypeError,
        (
            "cross_entropy: expected scalar type Long but found int32 for the class "
            "indices; convert the target with .long()."
        ),
    ),
    (
        lambda: F.cross_entropy(ones(2, 3), ints(2), ones(2)),
        ShapeError,
        (
            "cross_entropy: weight tensor should be defined either for all 3 classes or no "
            "classes but got weight tensor of shape: [2]."
        ),
    ),
    (
        lambda: F.cross_entropy(ones(2, 3), ints(2), label_smoothing=2.0),
        ArgumentError,
        ("cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: 2.0."),
    ),
    (
        lambda: F.cross_entropy(ones(2, 3), ones(2)),
        ShapeError,
        (
            "cross_entropy: Expected floating point type for target with class "
            "probabilities to be of the input's shape (2, 3), got (2,); class indices must "
            "be integers."
        ),
    ),
    (
        lambda: F.binary_cross_entropy(ones(2), ones(3)),
        ShapeError,
        (
            "binary_cross_entropy: Using a target size ((3,)) that is different to the "
            "input size ((2,)) is deprecated. Please ensure they have the same size."
        ),
    ),
    (
        lambda: F.binary_cross_entropy(ones(2), ints(2)),
        DtypeError,
        (
            "binary_cross_entropy: Found dtype int64 but expected float32; convert the "
            "target with .float()."
        ),
    ),
    (
        lambda: F.binary_cross_entropy_with_logits(ones(2), ones(3)),
        ShapeError,
        (
            "binary_cross_entropy_with_logits: Target size ((3,)) must be the same as "
            "input size ((2,))."
        ),
    ),
    (
        lambda: F.gaussian_nll_loss(ones(2), ones(2), -1.0),
        ArgumentError,
        ("gaussian_nll_loss: var has negative entry/entries: -1.0."),
    ),
    (
        lambda: F.gaussian_nll_loss(ones(2), ones(2), ones(3)),
        ShapeError,
        ("gaussian_nll_loss: var is of incorrect size (3,) for input (2,)."),
    ),
    (
        lambda: F.margin_ranking_loss(ones(2), ones(2, 2), ones(2)),
        ShapeError,
        (
            "margin_ranking_loss: All input tensors should have same dimension but got "
            "sizes: input1: (2,), input2: (2, 2), target: (2,)."
        ),
    ),
    (
        lambda: F.multi_margin_loss(ones(2, 3), ints(2), p=3),
        ArgumentError,
        ("multi_margin_loss: only p == 1 and p == 2 supported, got 3."),
    ),
    (
        lambda: F.multi_margin_loss(ones(2, 2, 3), ints(2)),
        ShapeError,
        (
            "multi_margin_loss: Expected non-empty vector or matrix with optional 0-dim "
            "batch size, but got: [2, 2, 3]."
        ),
    ),
    (
        lambda: F.multilabel_margin_loss(ones(2, 3), ints(2)),
        ShapeError,
        (
            "multilabel_margin_loss: inconsistent target size: [2] for input of size: [2, "
            "3]; both must be (C,) or (N, C)."
        ),
    ),
    (
        lambda: F.multilabel_margin_loss(ones(2), ones(2)),
        DtypeError,
        ("multilabel_margin_loss: expected scalar type Long but found float32."),
    ),
    (
        lambda: F.cosine_embedding_loss(ones(2, 3), ones(2, 3), ones(2, 3)),
        ShapeError,
        (
            "cosine_embedding_loss: expects inputs (N, D) with a target (N,), or (D,) with "
            "(), got input1 (2, 3), input2 (2, 3) and target (2, 3)."
        ),
    ),
    (
        lambda: F.triplet_margin_loss(ones(2, 3), ones(2, 3), ones(2, 3), margin=0.0),
        ArgumentError,
        ("triplet_margin_loss: margin must be greater than 0, got 0.0."),
    ),
    (
        lambda: F.triplet_margin_loss(ones(2, 3), ones(2, 3), ones(3)),
        ShapeError,
        (
            "triplet_margin_loss: The anchor, positive, and negative tensors are expected "
            "to have the same number of dimensions, but got: anchor 2D, positive 2D, and "
            "negative 1D inputs."
        ),
    ),
    (
        lambda: F.triplet_margin_with_distance_loss(ones(2, 3), ones(2, 3), ones(2, 3), margin=0.0),
        ArgumentError,
        ("triplet_margin_with_distance_loss: margin must be greater than 0, got 0.0."),
    ),
    (
        lambda: F.triplet_margin_with_distance_loss(ones(2, 3), ones(2, 3), ones(3)),
        ShapeError,
        (
            "triplet_margin_with_distance_loss: The anchor, positive, and negative tensors "
            "are expected to have the same number of dimensions, but got: anchor 2D, "
            "positive 2D, and negative 1D inputs."
        ),
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_refusals(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Each misuse raises this class with exactly this message."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
