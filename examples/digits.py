"""Train a two-layer network on handwritten digits with a plain loop, and look at what ran.

python examples/digits.py
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import backlit as torch
from backlit import nn
from backlit.data import DataLoader, TensorDataset, digits, random_split

EPOCHS = 30
console = Console(highlight=False)


def main() -> None:
    """Train, test, and print one training step as flat source."""
    torch.manual_seed(0)
    table = digits()
    train, test = random_split(TensorDataset(table.x / 16, table.y), [1437, 360])
    loader = DataLoader(train, batch_size=32, shuffle=True)

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    console.print(f"1437 digits of 8 × 8 pixels, 360 held back for the test\n{model}\n")

    start = time.perf_counter()
    columns = (
        TextColumn("epoch {task.completed:>2.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=EPOCHS, loss=float("nan"))
        for _ in range(EPOCHS):
            for x, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
            progress.update(task, advance=1, loss=loss.item())
    seconds = time.perf_counter() - start

    model.eval()
    with torch.no_grad():
        x, y = test[:]
        accuracy = (model(x).argmax(dim=1) == y).float().mean().item()
    samples = EPOCHS * len(train) / seconds
    console.print(f"\ntest accuracy {accuracy:.1%}  ({seconds:.1f} s, {samples:,.0f} samples/s)\n")

    model.train()
    x, y = next(iter(loader))
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    console.print("One training step as the flat source that runs (forward, then backward):\n")
    console.print(
        torch.source(loss, *(p.grad for p in model.parameters())), markup=False, soft_wrap=True
    )


if __name__ == "__main__":
    main()
