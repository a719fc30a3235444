"""Many models in PyTorch at once: torch.func's stacked parameters and vmap, as its tutorial has them.

The tutorial is "Model ensembling" of PyTorch's documentation.
"""

import copy

import torch  # pyrefly: ignore[missing-import]
from common import Data, Job, Trained, main, rates, usable_cores  # pyrefly: ignore[missing-import]
from torch.func import functional_call, stack_module_state, vmap  # pyrefly: ignore[missing-import]
from with_torch import network, tensors  # pyrefly: ignore[missing-import]


def train(job: Job, data: Data, seed: int) -> Trained:
    binary = job.layer_sizes[-1] == 1
    X, y = tensors(data.x_train, data.y_train, binary)
    device = "cuda:0" if job.device == "gpu" else "cpu"
    X, y = X.to(device), y.to(device)
    nets = []
    for number in range(job.models):
        torch.manual_seed(seed + number)
        nets.append(network(job).to(device))
    params, _ = stack_module_state(nets)
    base = copy.deepcopy(nets[0]).to("meta")
    loss_fn = torch.nn.BCELoss() if binary else torch.nn.CrossEntropyLoss()

    def loss(params, X, y):
        return loss_fn(functional_call(base, params, (X,)), y)

    losses = vmap(loss, in_dims=(0, None, None), randomness="different")
    learning_rates = torch.tensor(rates(job), device=device)
    optimizer = None
    if job.optimizer == "adam":
        optimizer = torch.optim.Adam(params.values(), lr=job.learning_rates[0])

    def step(X, y):
        # Each loss hangs on its own parameters alone, so the sum's gradient is each one's own.
        losses(params, X, y).sum().backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
            return
        with torch.no_grad():
            for leaf in params.values():
                shape = (-1, *[1] * (leaf.ndim - 1))
                leaf -= learning_rates.reshape(shape) * leaf.grad
                leaf.grad = None

    def accuracy(X, y) -> float:
        base.eval()
        with torch.no_grad():
            out = vmap(lambda each: functional_call(base, each, (X,)))(params)
        base.train()
        guess = out > 0.5 if binary else out.argmax(dim=-1)
        return (guess == y).float().mean().item()

    size = job.batch_size or len(y)
    accuracies = []
    for epoch in range(1, job.epochs + 1):
        for start in range(0, len(y), size):
            step(X[start : start + size], y[start : start + size])
        if epoch % job.score_every == 0:
            accuracies.append(accuracy(X, y))
    return Trained(
        accuracies,
        lambda x, y: accuracy(*(each.to(device) for each in tensors(x, y, binary))),
    )


if __name__ == "__main__":
    torch.set_num_threads(usable_cores())
    main(train, ("torch", "numpy"))
