"""The jobs in PyTorch, as the course notes write them."""

import numpy as np
import torch  # pyrefly: ignore[missing-import]
from common import Data, Job, Trained, main, one_after_another, usable_cores  # pyrefly: ignore[missing-import]


def network(job: Job) -> torch.nn.Sequential:
    inputs, hidden, outputs = job.layer_sizes
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, hidden),
        *([torch.nn.Dropout(job.dropout)] if job.dropout else []),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden, outputs),
        *([torch.nn.Sigmoid()] if outputs == 1 else []),
    )


def tensors(x: np.ndarray, y: np.ndarray, binary: bool) -> tuple:
    X, y = torch.from_numpy(x), torch.from_numpy(y)
    return X, y.float().reshape(-1, 1) if binary else y.long()


def train(job: Job, data: Data, seed: int) -> Trained:
    binary = job.layer_sizes[-1] == 1
    X, y = tensors(data.x_train, data.y_train, binary)
    XX, yy = tensors(data.x_test, data.y_test, binary)
    device = "cuda:0" if job.device == "gpu" else "cpu"
    batches = [(X.to(device), y.to(device))]
    if job.batch_size is not None:
        ds = torch.utils.data.TensorDataset(X, y)
        batches = torch.utils.data.DataLoader(
            ds, batch_size=job.batch_size, shuffle=job.shuffle
        )
    torch.manual_seed(seed)
    net = network(job).to(device)
    loss_fn = torch.nn.BCELoss() if binary else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD if job.optimizer == "sgd" else torch.optim.Adam
    optimizr = optimizer(net.parameters(), lr=job.learning_rates[0])

    def right(Xi, yi):
        Xi, yi = Xi.to(device), yi.to(device)
        guess = (net(Xi.data) > 0.5) if binary else net(Xi.data).argmax(dim=1)
        return (guess == yi.data).float().sum()

    def accuracy(X, y) -> float:
        return right(X, y).item() / len(y)

    def accuracy_of_batches() -> float:
        s = 0
        for Xi, yi in batches:
            net(
                Xi.to(device)
            )  # as the notes' section D has it: these outputs are not used
            s = s + right(Xi, yi)
        return float(s) / len(y)

    accuracies = []
    for epoc in range(1, job.epochs + 1):
        net.train()
        for Xi, yi in batches:
            loss = loss_fn(net(Xi.to(device)), yi.to(device))
            loss.backward()
            optimizr.step()
            optimizr.zero_grad()
        net.eval()
        if epoc % job.score_every == 0:
            if job.target is not None:
                with torch.no_grad():
                    accuracies.append(accuracy(XX, yy))
                if accuracies[-1] >= job.target:
                    break
            elif job.batch_size is not None:
                accuracies.append(accuracy_of_batches())
            else:
                accuracies.append(accuracy(*batches[0]))
    return Trained(accuracies, lambda x, y: accuracy(*tensors(x, y, binary)))


if __name__ == "__main__":
    torch.set_num_threads(usable_cores())
    main(one_after_another(train), ("torch", "numpy"))
