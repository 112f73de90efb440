"""Estimators for scikit-learn: its parameters and conventions, with Backlit's engine.

Importing this needs scikit-learn, the extra "sklearn".
"""

from backlit.train.extras import require

require("sklearn", "sklearn", "backlit.sklearn")

# Only now, so that a missing scikit-learn is reported by the error above.
from backlit.sklearn.classifier import MLPClassifier  # noqa: E402
from backlit.sklearn.regressor import MLPRegressor  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor"]
