"""The program that `test_kill.py` kills: trains with checkpoints, resuming what it finds.

Arguments: the folder of checkpoints, and the file for the final weights. Prints a line after every
step, before that step's checkpoint is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import backlit
from backlit import nn, optim, train
from backlit.data import DataLoader, TensorDataset

EPOCHS = 5


class Announce(train.Callback):
    """Tells the parent how far training is."""

    def on_step_end(self, run: train.Run) -> None:
        sys.stdout.write(f"{run.step}\n")
        sys.stdout.flush()


def main(folder: Path, result: Path) -> None:
    """Train to the end, from wherever the last run was killed."""
    rng = np.random.default_rng(0)
    x = backlit.tensor(rng.normal(size=(200, 4)).astype(np.float32))
    y = backlit.tensor(rng.integers(0, 3, 200))
    backlit.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    train.fit(
        model,
        DataLoader(TensorDataset(x, y), 10, shuffle=True),
        nn.CrossEntropyLoss(),
        optim.Adam(model.parameters(), lr=0.01),
        epochs=EPOCHS,
        val_data=(x, y),
        metrics=["accuracy"],
        callbacks=[Announce()],
        checkpoint=train.Checkpoint(folder, every_steps=1),
        run_folder=folder,
        resume=True,
        seed=1,
        progress=False,
    )
    weights = [np.array(t.numpy()).reshape(-1) for t in model.state_dict().values()]
    part = result.with_suffix(".part")
    part.write_bytes(np.concatenate(weights).tobytes())
    part.replace(result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
