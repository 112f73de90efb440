"""Training: the loop, metrics, stopping rules, checkpoints, ensembles, splits, searches."""

from __future__ import annotations

from backlit.train.callbacks import Callback, OnEpochEnd, StopWhen
from backlit.train.checkpoint import (
    Checkpoint,
    checkpoints_in,
    load_latest,
    load_state,
    save_state,
)
from backlit.train.curves import ValidationCurve, validation_curve
from backlit.train.ensemble import Ensemble
from backlit.train.errors import CheckpointError, DivergedWarning, TestSetReused
from backlit.train.evaluation import evaluate, evaluating, predict
from backlit.train.history import History
from backlit.train.loop import fit
from backlit.train.metrics import (
    F1,
    MAE,
    MSE,
    R2,
    Accuracy,
    ConfusionMatrix,
    Metric,
    Precision,
    Recall,
    TopKError,
    accuracy,
    confusion_matrix,
    topk_error,
)
from backlit.train.progress import Progress
from backlit.train.protocol import Protocol
from backlit.train.range_test import RangeTest, lr_range_test
from backlit.train.regularize import l1, l2
from backlit.train.run import Run
from backlit.train.run_folder import RunFolder
from backlit.train.search import (
    SearchResult,
    Trial,
    grid_search,
    integers,
    log_uniform,
    random_search,
    uniform,
)
from backlit.train.splits import Splits, Study, split
from backlit.train.stopping import (
    Condition,
    EarlyStopping,
    Moment,
    gradient_below,
    improvement_below,
    max_epochs,
    max_seconds,
    max_steps,
    value_above,
    value_below,
)
from backlit.train.tensorboard import TensorBoard
from backlit.train.tuning import tune

__all__ = [
    "Accuracy",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "Condition",
    "ConfusionMatrix",
    "DivergedWarning",
    "EarlyStopping",
    "Ensemble",
    "F1",
    "History",
    "MAE",
    "MSE",
    "Metric",
    "Moment",
    "OnEpochEnd",
    "Precision",
    "Progress",
    "Protocol",
    "R2",
    "RangeTest",
    "Recall",
    "Run",
    "RunFolder",
    "SearchResult",
    "Splits",
    "StopWhen",
    "Study",
    "TensorBoard",
    "TestSetReused",
    "TopKError",
    "Trial",
    "ValidationCurve",
    "accuracy",
    "checkpoints_in",
    "confusion_matrix",
    "evaluate",
    "evaluating",
    "fit",
    "gradient_below",
    "grid_search",
    "improvement_below",
    "integers",
    "l1",
    "l2",
    "load_latest",
    "load_state",
    "log_uniform",
    "lr_range_test",
    "max_epochs",
    "max_seconds",
    "max_steps",
    "predict",
    "random_search",
    "save_state",
    "split",
    "topk_error",
    "tune",
    "uniform",
    "validation_curve",
    "value_above",
    "value_below",
]
