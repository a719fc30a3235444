#!/usr/bin/env python3
"""A job of the benchmark in PyTorch on any device, with the data there from the start.

    scripts/peers/torch_steps.py A eager|compiled|captured --device cuda:0

`eager` takes each step by itself, `compiled` by torch.compile, `captured` replays the graph of
one step (an epoch of mini-batches in order: the graph of them all). Prints the median seconds
of the training, without what compiling and capturing take.
"""

import argparse
import os
import time
from pathlib import Path
from statistics import median

import torch  # pyrefly: ignore[missing-import]
from common import JOBS, Job, read_mnist  # pyrefly: ignore[missing-import]


def network(job: Job) -> torch.nn.Sequential:
    inputs, hidden, outputs = job.layer_sizes
    drop = [torch.nn.Dropout(job.dropout)] if job.dropout else []
    first, last = torch.nn.Linear(inputs, hidden), torch.nn.Linear(hidden, outputs)
    return torch.nn.Sequential(first, *drop, torch.nn.ReLU(), last)


class Trainer:
    """A network, and how it takes steps on rows that lie on the device."""

    def __init__(self, job: Job, X, y, device: str):
        self.job, self.X, self.y, self.device = job, X, y, device
        self.net = network(job).to(device)
        binary = job.layer_sizes[-1] == 1
        self.loss_fn = (
            torch.nn.BCEWithLogitsLoss() if binary else torch.nn.CrossEntropyLoss()
        )
        if job.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-3)
        else:
            capturable = {"capturable": True} if device != "cpu" else {}
            self.optimizer = torch.optim.Adam(
                self.net.parameters(), lr=1e-3, **capturable
            )

    def step(self, X, y) -> None:
        """Takes a step on a batch."""
        self.loss_fn(self.net(X), y).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def epoch(self, step) -> None:
        """Takes the steps of an epoch."""
        size = self.job.batch_size
        if size is None:
            return step(self.X, self.y)
        order = None
        if self.job.shuffle:
            order = torch.randperm(len(self.y), device=self.device)
        for start in range(0, len(self.y), size):
            rows = slice(start, start + size)
            if order is not None:
                rows = order[rows]
            step(self.X[rows], self.y[rows])
        return None


def captured(trainer: Trainer):
    """An epoch's steps, as graphs that are replayed."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    size = trainer.job.batch_size
    with torch.cuda.stream(stream):
        for _ in range(3):
            trainer.step(trainer.X[:size], trainer.y[:size])
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    if not trainer.job.shuffle:
        with torch.cuda.graph(graph):
            trainer.epoch(trainer.step)
        return graph.replay
    X, y = trainer.X[:size].clone(), trainer.y[:size].clone()
    with torch.cuda.graph(graph):
        trainer.step(X, y)

    def epoch() -> None:
        order = torch.randperm(len(trainer.y), device=trainer.device)
        whole = len(order) // size * size
        for rows in order[:whole].split(size):
            X.copy_(trainer.X[rows])
            y.copy_(trainer.y[rows])
            graph.replay()
        if whole < len(order):
            trainer.step(trainer.X[order[whole:]], trainer.y[order[whole:]])

    return epoch


def seconds(job: Job, how: str, device: str, epochs: int) -> float:
    """Of one training after another, the median; the first compiles and is left out."""
    x_train, y_train = read_mnist(Path(os.environ["JAXCLS_DATA_DIR"]), job)[:2]
    X, y = torch.from_numpy(x_train).to(device), torch.from_numpy(y_train).to(device)
    y = y.float().reshape(-1, 1) if job.layer_sizes[-1] == 1 else y.long()
    torch.manual_seed(0)
    trainer = Trainer(job, X, y, device)
    step = torch.compile(trainer.step) if how == "compiled" else trainer.step

    def synchronise() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    epoch = captured(trainer) if how == "captured" else lambda: trainer.epoch(step)
    taken = []
    for _ in range(4):
        synchronise()
        start = time.perf_counter()
        for _ in range(epochs):
            epoch()
        synchronise()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=("A", "D", "M", "T"))
    parser.add_argument("how", choices=("eager", "compiled", "captured"))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--epochs", type=int)
    flags = parser.parse_args()
    chosen = JOBS[flags.job]
    epochs = 1 if chosen.target is not None else chosen.epochs
    epochs = min(epochs, flags.epochs or epochs)
    took = seconds(chosen, flags.how, flags.device, epochs)
    print(f"{took:.4f} s for {epochs} epochs, torch {torch.__version__}")
