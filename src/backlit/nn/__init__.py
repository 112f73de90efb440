# ruff: noqa: F403, F405 - each family lists its names in its own __all__
"""Layers, losses and networks, under PyTorch's names."""

from __future__ import annotations

from backlit.nn import functional, hooks, init, lazy, module, parameter, utils
from backlit.nn.activation import *
from backlit.nn.architecture import *
from backlit.nn.batchnorm import *
from backlit.nn.boolean import *
from backlit.nn.container import *
from backlit.nn.distance import *
from backlit.nn.dropout import *
from backlit.nn.embedding import *
from backlit.nn.linear import *
from backlit.nn.loss import *
from backlit.nn.margin_loss import *
from backlit.nn.mlp import *
from backlit.nn.module import Module
from backlit.nn.normalization import *
from backlit.nn.padding import *
from backlit.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from backlit.nn.parameter_container import *
from backlit.nn.sequence_loss import *
from backlit.nn.shaping import *
from backlit.nn.threshold import *
from backlit.nn.upsampling import *

__all__ = [
    "AdaptiveLogSoftmaxWithLoss", "AlphaDropout", "Architecture", "BCELoss", "BCEWithLogitsLoss",
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Bilinear", "Buffer", "CELU", "CTCLoss",
    "ChannelShuffle", "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d",
    "ConstantPad2d", "ConstantPad3d", "CosineEmbeddingLoss", "CosineSimilarity",
    "CrossEntropyLoss", "CrossMapLRN2d", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "ELU",
    "Embedding", "EmbeddingBag", "FeatureAlphaDropout", "Flatten", "Fold", "GELU", "GLU",
    "Gaussian", "GaussianNLLLoss", "GroupNorm", "Hardshrink", "Hardsigmoid", "Hardswish",
    "Hardtanh", "HingeEmbeddingLoss", "HuberLoss", "Identity", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "KLDivLoss", "L1Loss", "LayerNorm", "LazyBatchNorm1d", "LazyBatchNorm2d",
    "LazyBatchNorm3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d",
    "LazyLinear", "LeakyReLU", "Linear", "LinearCrossEntropyLoss", "LocalResponseNorm",
    "LogSigmoid", "LogSoftmax", "MLP", "MPUnit", "MSELoss", "MarginRankingLoss", "Maxout", "Mish",
    "Module", "ModuleDict", "ModuleList", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss",
    "MultiMarginLoss", "NLLLoss", "PReLU", "PairwiseDistance", "Parameter", "ParameterDict",
    "ParameterList", "Perceptron", "PixelShuffle", "PixelUnshuffle", "PoissonNLLLoss", "RMSNorm",
    "RReLU", "ReLU", "ReLU6", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d",
    "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "Residual", "SELU",
    "ScaledDropout", "Separability", "Sequential", "SiLU", "Sigmoid", "Sign", "SmoothL1Loss",
    "SoftMarginLoss", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign",
    "Step", "Tanh", "Tanhshrink", "Threshold", "Trace", "TripletMarginLoss",
    "TripletMarginWithDistanceLoss", "Unflatten", "Unfold", "UninitializedBuffer",
    "UninitializedParameter", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d",
    "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "as_activation", "boolean_mlp", "collapse_linear",
    "functional", "hooks", "init", "lazy", "module", "parameter", "parity_mlp", "perceptron_step",
    "polygon_halfplanes", "polynomial_features", "region_mlp", "separability", "staircase",
    "suggest_architecture", "utils",
]  # fmt: skip
