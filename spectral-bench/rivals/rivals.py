"""Measures what people use otherwise: one order a line on standard input, one line of answers.

`make KIND THREADS ARGUMENTS` prepares a piece of work and answers `variant=checksum` for every way to do it;
`time VARIANT SECONDS` answers the milliseconds of single runs. Matrices come as files, so that all multiply the same.
"""

import ctypes
import glob
import os
import sys
import time
import warnings

import numpy as np
import scipy.sparse
import torch
from torch import nn

VARIANTS = {}
warnings.filterwarnings("ignore")


def read_matrix(path):
    """Rows, columns, stored entries and batch as i64; then i32 row starts and columns, f32 values and x [columns, batch]."""
    with open(path, "rb") as file:
        rows, columns, nonzeros, batch = np.fromfile(file, np.int64, 4)
        starts = np.fromfile(file, np.int32, rows + 1)
        indices = np.fromfile(file, np.int32, nonzeros)
        values = np.fromfile(file, np.float32, nonzeros)
        x = np.fromfile(file, np.float32, columns * batch).reshape(columns, batch)
    return scipy.sparse.csr_matrix((values, indices, starts), shape=(rows, columns)), x


class Mkl:
    """MKL's inspector-executor CSR product, called without a wrapper in between."""

    class Descr(ctypes.Structure):
        _fields_ = [("type", ctypes.c_int), ("mode", ctypes.c_int), ("diag", ctypes.c_int)]

    GENERAL, ROW_MAJOR, PLAIN = Descr(20, 40, 50), 101, 10

    def __init__(self):
        self.lib = ctypes.CDLL(sorted(glob.glob(os.path.join(sys.prefix, "lib", "libmkl_rt.so*")))[-1])

    def threads(self, n):
        self.lib.MKL_Set_Num_Threads(ctypes.c_int(n))

    def matmul(self, w, x):
        pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
        handle = ctypes.c_void_p()
        starts, indices = w.indptr.astype(np.int32), w.indices.astype(np.int32)
        rows, columns = w.shape
        batch = x.shape[1]
        args = [ctypes.byref(handle), 0, rows, columns, pointer(starts), pointer(starts[1:]), pointer(indices)]
        assert self.lib.mkl_sparse_s_create_csr(*args, pointer(w.data)) == 0
        y = np.zeros((rows, batch), np.float32)
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        if batch == 1:
            self.lib.mkl_sparse_set_mv_hint(handle, self.PLAIN, self.GENERAL, 1000)
        else:
            self.lib.mkl_sparse_set_mm_hint(handle, self.PLAIN, self.GENERAL, self.ROW_MAJOR, batch, 1000)
        assert self.lib.mkl_sparse_optimize(handle) == 0

        def run():
            if batch == 1:
                self.lib.mkl_sparse_s_mv(self.PLAIN, one, handle, self.GENERAL, pointer(x), zero, pointer(y))
            else:
                shape = (batch, batch)
                where = (self.ROW_MAJOR, pointer(x), shape[0], shape[1])
                self.lib.mkl_sparse_s_mm(
                    self.PLAIN, one, handle, self.GENERAL, *where, zero, pointer(y), batch
                )
            return y

        run.keep = (starts, indices, w, x, handle)
        return run


def matmul(path):
    w, x = read_matrix(path)
    tx, tw = torch.from_numpy(x), torch.from_numpy(w.toarray())
    xt = tx.t().contiguous()
    csr = lambda kind: torch.sparse_csr_tensor(
        torch.from_numpy(w.indptr.astype(kind)), torch.from_numpy(w.indices.astype(kind)), torch.from_numpy(w.data), w.shape
    )
    long, short = csr(np.int64), csr(np.int32)
    variants = {
        "torch-dense mm": lambda: tw @ tx,
        "torch-dense linear": lambda: nn.functional.linear(xt, tw).t(),
        "torch-csr-i64": lambda: long @ tx,
        "torch-csr-i32": lambda: short @ tx,
        "scipy-csr": lambda: w @ x,
    }
    if MKL:
        variants["mkl-csr"] = MKL.matmul(w, x)
    return variants


def relu_network(widths):
    torch.manual_seed(0)
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def read_network(path):
    """Batch, number of layers and widths as i64; then weights [out, in] and biases as f32, then x [batch, in]."""
    with open(path, "rb") as file:
        batch, depth = np.fromfile(file, np.int64, 2)
        widths = [int(n) for n in np.fromfile(file, np.int64, depth + 1)]
        model = relu_network(widths)
        with torch.no_grad():
            for layer in model[::2]:
                shape = layer.weight.shape
                layer.weight.copy_(torch.from_numpy(np.fromfile(file, np.float32, shape.numel()).reshape(shape)))
                layer.bias.copy_(torch.from_numpy(np.fromfile(file, np.float32, shape[0])))
        x = np.fromfile(file, np.float32, batch * widths[0]).reshape(batch, widths[0])
    return model, x


def onnx_session(model, widths, threads):
    import onnx
    import onnxruntime

    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, weights, name = [], [], "x"
    for k, layer in enumerate(model[::2]):
        weights.append(numpy_helper.from_array(layer.weight.detach().numpy(), f"w{k}"))
        weights.append(numpy_helper.from_array(layer.bias.detach().numpy(), f"b{k}"))
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], [f"z{k}"], transB=1))
        name = f"z{k}"
        if k + 2 < len(widths):
            nodes.append(helper.make_node("Relu", [name], [f"a{k}"]))
            name = f"a{k}"
    value = lambda n, width: helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(nodes, "mlp", [value("x", widths[0])], [value(name, widths[-1])], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, name


def mlp(path):
    model, x = read_network(path)
    tx = torch.from_numpy(x)
    widths = [model[0].in_features] + [layer.out_features for layer in model[::2]]
    session, name = onnx_session(model, widths, THREADS)

    def run():
        with torch.inference_mode():
            return model(tx)

    return {"torch-dense": run, "onnxruntime": lambda: session.run([name], {"x": x})[0]}


def train(widths, batch):
    """A training step of a relu network with Adam; batches are gathered from a hundred."""
    widths, batch = [int(w) for w in widths.split("-")], int(batch)
    data, labels = torch.rand(batch * 100, widths[0]), torch.randint(widths[-1], (batch * 100,))
    loss = nn.CrossEntropyLoss()

    def variant(**options):
        model = relu_network(widths)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **options)
        return stepper(model, optimizer, loss, data, labels, batch)

    return {"torch foreach": variant(foreach=True), "torch fused": variant(fused=True)}


def stepper(model, optimizer, loss, data, labels, batch, after=lambda: None):
    order, at = torch.randperm(len(data)), [0]

    def step():
        rows = order[at[0] : at[0] + batch]
        at[0] = (at[0] + batch) % len(data)
        optimizer.zero_grad()
        loss(model(data[rows]), labels[rows]).backward()
        optimizer.step()
        after()

    return step


class Spectral(nn.Module):
    """The spectral layer as one writes it in PyTorch: the weight made by broadcasting, in every step."""

    def __init__(self, i, o):
        super().__init__()
        self.basis = nn.Parameter(nn.init.xavier_uniform_(torch.empty(o, i)))
        self.lambda_in, self.lambda_out = nn.Parameter(torch.rand(i) - 0.5), nn.Parameter(torch.rand(o) - 0.5)
        self.bias = nn.Parameter(torch.zeros(o))

    def forward(self, x):
        return nn.functional.linear(x, self.basis * (self.lambda_in - self.lambda_out[:, None]), self.bias)


def spectral(widths, batch, trains):
    widths, batch = [int(w) for w in widths.split("-")], int(batch)
    data, labels = torch.rand(batch * 100, widths[0]), torch.randint(widths[-1], (batch * 100,))

    def variant(**options):
        layers = []
        for i, o in zip(widths, widths[1:]):
            layers += [Spectral(i, o), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        for name, parameter in model.named_parameters():
            role = name.split(".")[-1]
            parameter.requires_grad = trains == "all" or role == "bias" or role in trains.split("+")
        free = [p for p in model.parameters() if p.requires_grad]
        return stepper(model, torch.optim.Adam(free, lr=1e-3, **options), nn.CrossEntropyLoss(), data, labels, batch)

    return {"torch foreach": variant(foreach=True), "torch fused": variant(fused=True)}


def masked(widths, batch, density):
    """Masked training, as most libraries do sparse training: dense weights, masked after every step."""
    widths, batch, density = [int(w) for w in widths.split("-")], int(batch), float(density)
    data, labels = torch.rand(batch * 100, widths[0]), torch.randint(widths[-1], (batch * 100,))
    model = relu_network(widths)
    masks = [(layer.weight, (torch.rand_like(layer.weight) < density).float()) for layer in model[::2]]

    @torch.no_grad()
    def after():
        for weight, mask in masks:
            weight.mul_(mask)

    after()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, foreach=True)
    return {"torch-masked": stepper(model, sgd, nn.CrossEntropyLoss(), data, labels, batch, after)}


class Set:
    """Sparse evolutionary training (Mocanu et al. 2018) in NumPy and SciPy: CSR weights, gradients of stored entries."""

    def __init__(self, widths, epsilon, batch, samples):
        self.rng, self.batch, self.zeta, self.rate, self.momentum = np.random.default_rng(0), batch, 0.3, 0.01, 0.9
        self.layers = []
        for i, o in zip(widths, widths[1:]):
            density = min(1.0, epsilon * (i + o) / (i * o))
            w = scipy.sparse.random(o, i, density, "csr", np.float32, self.rng)
            w.data = self.rng.standard_normal(w.nnz).astype(np.float32) * np.sqrt(2 / max(1, density * i), dtype=np.float32)
            self.layers.append([w, np.zeros(w.nnz, np.float32), np.zeros((o, 1), np.float32)])
        self.x = self.rng.random((widths[0], samples), np.float32)
        self.labels = self.rng.integers(0, widths[-1], samples)

    def epoch(self):
        order = self.rng.permutation(self.x.shape[1])
        for start in range(0, len(order), self.batch):
            self.step(order[start : start + self.batch])
        self.evolve()

    def step(self, rows):
        activations = [np.ascontiguousarray(self.x[:, rows])]
        for k, (w, _, bias) in enumerate(self.layers):
            z = w @ activations[-1] + bias
            activations.append(z if k + 1 == len(self.layers) else np.maximum(z, 0))
        z = activations[-1] - activations[-1].max(0)
        delta = np.exp(z) / np.exp(z).sum(0)
        delta[self.labels[rows], np.arange(len(rows))] -= 1
        delta /= len(rows)
        for k in reversed(range(len(self.layers))):
            w, velocity, bias = self.layers[k]
            x = activations[k]
            at = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
            gradient = np.einsum("kb,kb->k", delta[at], x[w.indices])
            below = (w.T @ delta) * (x > 0) if k else None
            velocity *= self.momentum
            velocity -= self.rate * gradient
            w.data += velocity
            bias -= self.rate * delta.sum(1, keepdims=True)
            delta = below

    def evolve(self):
        """Replaces the share zeta of the smallest weights by new ones at random places."""
        for layer in self.layers:
            w, velocity, _ = layer
            removed = int(self.zeta * w.nnz)
            keep = np.ones(w.nnz, bool)
            keep[np.argpartition(np.abs(w.data), removed)[:removed]] = False
            at = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
            place = at.astype(np.int64) * w.shape[1] + w.indices
            kept = place[keep]
            fresh = np.empty(0, np.int64)
            while len(fresh) < removed:
                drawn = self.rng.integers(0, w.shape[0] * w.shape[1], 2 * removed)
                fresh = np.unique(np.concatenate([fresh, np.setdiff1d(drawn, kept)]))
            fresh = self.rng.permutation(fresh)[:removed]
            places = np.concatenate([kept, fresh])
            values = np.concatenate([w.data[keep], self.rng.standard_normal(removed).astype(np.float32) * 0.01])
            old = np.concatenate([velocity[keep], np.zeros(removed, np.float32)])
            order = np.argsort(places)
            places, layer[1] = places[order], old[order]
            starts = np.searchsorted(places, np.arange(w.shape[0] + 1, dtype=np.int64) * w.shape[1])
            layer[0] = scipy.sparse.csr_matrix((values[order], places % w.shape[1], starts), shape=w.shape)


def set_epoch(widths, epsilon, batch, samples):
    network = Set([int(w) for w in widths.split("-")], float(epsilon), int(batch), int(samples))
    return {"scipy-set": network.epoch}


def load(width, density, folder):
    """The same amount of stored weights from files: PyTorch's dense tensor, SciPy's CSR, compressed and not."""
    width, density = int(width), float(density)
    rng = np.random.default_rng(0)
    w = scipy.sparse.random(width, width, density, "csr", np.float32, rng)
    path = lambda name: os.path.join(folder, name)
    torch.save({"weight": torch.from_numpy(w.toarray())}, path("dense.pt"))
    scipy.sparse.save_npz(path("csr.npz"), w, compressed=False)
    scipy.sparse.save_npz(path("csr-compressed.npz"), w, compressed=True)

    def reading(name, read):
        def run():
            read(path(name))

        run.answer = os.path.getsize(path(name))
        return run

    return {
        "torch-load dense": reading("dense.pt", torch.load),
        "scipy npz": reading("csr.npz", scipy.sparse.load_npz),
        "scipy npz compressed": reading("csr-compressed.npz", scipy.sparse.load_npz),
    }


def make(kind, threads, *arguments):
    global THREADS, MKL
    THREADS = int(threads)
    torch.set_num_threads(THREADS)
    try:
        MKL = MKL or Mkl()
        MKL.threads(THREADS)
    except (OSError, IndexError) as error:
        print(f"MKL cannot be called and is left out: {error}", file=sys.stderr)
    VARIANTS.clear()
    VARIANTS.update(KINDS[kind](*arguments))
    return [f"{name}={getattr(run, 'answer', None) or checksum(run())}" for name, run in VARIANTS.items()]


def checksum(y):
    """The mean of what a run gave, so that it is seen whether all computed the same; `-` where it gave nothing."""
    if y is None:
        return "-"
    y = y.numpy() if isinstance(y, torch.Tensor) else y
    return repr(float(np.abs(y).mean(dtype=np.float64)))


def measure(variant, seconds):
    run = VARIANTS[variant.replace("_", " ")]
    begin = time.perf_counter()
    run()
    once = time.perf_counter() - begin
    if once > LONG:
        return [1e3 * once]
    inner = max(1, int(2e-4 / max(once, 1e-7)))
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < float(seconds):
        begin = time.perf_counter()
        for _ in range(inner):
            run()
        times.append(1e3 * (time.perf_counter() - begin) / inner)
    return times


def versions():
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ["torch", "mkl", "scipy", "onnxruntime"])


THREADS, MKL = 1, None
LONG = 0.5
KINDS = {"matmul": matmul, "mlp": mlp, "train": train, "spectral": spectral, "masked": masked, "set": set_epoch, "load": load}
ORDERS = {"make": make, "time": measure, "version": lambda: [versions()]}

for line in sys.stdin:
    words = line.split()
    if words:
        print(*ORDERS[words[0]](*words[1:]), sep="\t", flush=True)
