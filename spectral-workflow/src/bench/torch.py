"""Measures PyTorch when told to: one order a line on standard input, one line of times (ms) as the answer."""

import sys
import time

import torch
from torch import nn

torch.set_num_threads(int(sys.argv[1]))
NETWORKS = {}


def network(widths, batch, variant):
    """A training step of a relu network with Adam, made once."""
    key = (widths, batch, variant)
    if key not in NETWORKS:
        torch.manual_seed(0)
        layers = []
        for i, o in zip(widths, widths[1:]):
            layers += [nn.Linear(i, o), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        options = {"fused": True} if variant == "fused" else {"foreach": True}
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **options)
        data, labels = torch.rand(batch * 100, widths[0]), torch.randint(widths[-1], (batch * 100,))
        loss = nn.CrossEntropyLoss()

        def step(rows):
            optimizer.zero_grad()
            loss(model(data[rows]), labels[rows]).backward()
            optimizer.step()

        NETWORKS[key] = step
    return NETWORKS[key]


def train(widths, batch, variant, steps):
    widths = tuple(map(int, widths.split("-")))
    step = network(widths, int(batch), variant)
    order = torch.randperm(int(batch) * 100)
    times = []
    for k in range(int(steps)):
        start = k % 100 * int(batch)
        begin = time.perf_counter()
        step(order[start : start + int(batch)])
        times.append(1e3 * (time.perf_counter() - begin))
    return times


ORDERS = {"train": train, "version": lambda: [torch.__version__]}

for line in sys.stdin:
    words = line.split()
    if words:
        print(*ORDERS[words[0]](*words[1:]), sep="\t", flush=True)
