"""Nodes of a graph as ONNX Runtime's CUDA provider runs them best; the CPU's graphs stay as traced.

A node is a launch there. RoPE of the queries and of the keys is 24 nodes a layer as it is traced,
and one node of the provider each once the channels of a head lie in its order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from geolrm.engine.backends.cuda.self_attention import HEAD_DIMS
from geolrm.export.onnx_operator import DOMAIN, SELF_ATTENTION
from geolrm.export.splitting import attributes, node_reads, with_opset
from geolrm.export.trace import Graph

MICROSOFT_DOMAIN = "com.microsoft"
AXES = 3  # of the voxel grid, a third of a head's channels each
PROJECTIONS = (".wq.weight", ".wk.weight")


def for_provider(graph: Graph) -> Graph:
    """Copy a typed graph whose attention is ``MultiHeadAttention``, with the provider's nodes."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    rewritten = _Rewriting(graph.name, model)
    rewritten.rotate()
    rewritten.squeeze()
    rewritten.sum_squares()
    rewritten.add_and_normalise()
    rewritten.drop_unused()
    rewritten.name_attention()
    return replace(graph, model=model)


def rotary_order(channels: int, heads: int) -> np.ndarray:
    """Order channels so that the halves of a head are the members of its pairs.

    A head has a third of its channels for each axis, the halves of which form the pairs. Attention
    does not depend on the order of a head's channels, if queries and keys have the same.

    Returns:
        int64 [channels], the channel as the model has it that comes to each place.
    """
    own = np.arange(channels).reshape(heads, AXES, 2, -1)  # head, axis, member, frequency
    return np.ascontiguousarray(own.transpose(0, 2, 1, 3)).reshape(-1).astype(np.int64)


class _Rewriting:
    def __init__(self, name: str, model: onnx.ModelProto):
        self.name, self.model, self.proto = name, model, model.graph
        values = [*self.proto.value_info, *self.proto.input, *self.proto.output]
        self.values = {value.name: value for value in values}
        self.constants = {tensor.name: tensor for tensor in self.proto.initializer}
        self.producer = {name: node for node in self.proto.node for name in node.output}

    def rotate(self) -> None:
        """Rotate queries and keys by a node of the provider each."""
        before: dict[str, list[onnx.NodeProto]] = {}  # by an output of the node that follows
        for node in self.proto.node:
            if node.op_type == "MultiHeadAttention":
                for slot in range(2):
                    self._rotate(node, slot, before)
        self._set(
            [one for node in self.proto.node for one in (*before.get(node.output[0], ()), node)]
        )

    def _rotate(
        self, attention: onnx.NodeProto, slot: int, before: dict[str, list[onnx.NodeProto]]
    ) -> None:
        """Let attention read an input that the provider rotates; new nodes go before others."""
        interior = list(self._back_to_projection(attention.input[slot]))
        projections = [node for node in interior if node.op_type == "Gemm"]
        turned = [node for node in interior if node.op_type == "Sub"]
        if len(projections) != 1 or len(turned) != 1:
            return  # it is not rotated
        (projection,), (sub,) = projections, turned
        weight = projection.input[1]
        stored = weight
        while stored in self.producer:  # from the type that it is stored in
            stored = self.producer[stored].input[0]
        if not stored.endswith(PROJECTIONS) or not attributes(projection).get("transB"):
            raise ValueError(f"{self.name}: {stored} is rotated, and not known to be a projection")
        outside = {n for node in interior for n in node.output} - {projection.output[0]}
        cosine, sine = (self._table_of(name, outside) for name in sub.input)
        heads = attributes(attention)["num_heads"]
        channels = self.constants[stored].dims[0]
        order = self._constant(f"rotary_order{channels}", rotary_order(channels, heads))
        rows, rotated = f"{projection.output[0]}.rows", f"{projection.output[0]}.rotated"
        kind = self._kind(projection.output[0])
        made = []
        for table in (cosine, sine):
            made += self._table(table, channels // heads // 2, kind)
        made += [
            helper.make_node(
                "Unsqueeze", [projection.output[0], self._constant("axis0", np.array([0]))], [rows]
            ),
            helper.make_node(
                "RotaryEmbedding",
                [rows, self._constant("rotary_first", np.array([0])),
                 _table_name(cosine), _table_name(sine)],
                [rotated],
                domain=MICROSOFT_DOMAIN,
            ),
        ]  # fmt: skip
        with_opset(self.model, MICROSOFT_DOMAIN, 1)
        shape = [1, *self._shape(projection.output[0])]
        self._declare(rows, kind, shape)
        self._declare(rotated, kind, shape)
        # The runtime folds it when it loads the graph: the weights of a bundle are stored once.
        permuted = f"{weight}.rotary"
        permute = helper.make_node("Gather", [weight, order], [permuted], axis=0)
        before.setdefault(projection.output[0], []).append(permute)
        before.setdefault(attention.output[0], []).extend(made)
        projection.input[1] = permuted
        attention.input[slot] = rotated

    def _table(self, name: str, pairs: int, kind: int) -> list[onnx.NodeProto]:
        """Return the nodes, once, that make [N, pairs] of the cosines or sines [N, 1, 3, e / 6]."""
        flat, typed = f"{name}.pairs", _table_name(name)
        if typed in self.values:
            return []
        shape = self._constant(f"pairs{pairs}", np.array([-1, pairs]))
        first = self._shape(name)[0]
        self._declare(flat, TensorProto.FLOAT, [first, pairs])
        self._declare(typed, kind, [first, pairs])
        return [
            helper.make_node("Reshape", [name, shape], [flat]),
            helper.make_node("Cast", [flat], [typed], to=kind),
        ]

    def _back_to_projection(self, name: str) -> Iterator[onnx.NodeProto]:
        """Yield the nodes between a product with a weight and a value, each once."""
        waiting, seen = [name], set()
        while waiting:
            node = self.producer.get(waiting.pop())
            if node is None or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            reads = [n for n in node_reads(node) if n in self.producer]
            if node.op_type != "Gemm" and self._is_table(node):
                continue
            yield node
            if node.op_type != "Gemm":
                waiting += reads

    def _is_table(self, node: onnx.NodeProto) -> bool:
        """Whether a value comes from no product with a weight: cosines and sines."""
        waiting, seen = [node], set()
        while waiting:
            one = waiting.pop()
            if one.op_type == "Gemm":
                return False
            for name in node_reads(one):
                if name in self.producer and name not in seen:
                    seen.add(name)
                    waiting.append(self.producer[name])
        return True

    def _table_of(self, product: str, inside: Iterable[str]) -> str:
        """Return what a product of rotated values takes besides them, before any cast."""
        node = self.producer[product]
        while node.op_type == "Cast":
            node = self.producer[node.input[0]]
        (name,) = set(node.input) - set(inside)
        while name in self.producer and self.producer[name].op_type == "Cast":
            name = self.producer[name].input[0]
        return name

    def squeeze(self) -> None:
        """Turn the choice of the one entry of an axis into a view of it."""
        for node in self.proto.node:
            if node.op_type != "Gather" or node.input[0] not in self.values:
                continue
            axis, index = attributes(node).get("axis", 0), self.constants.get(node.input[1])
            if index is None or index.dims or numpy_helper.to_array(index) != 0:
                continue
            if self._shape(node.input[0])[axis] == 1:
                del node.attribute[:]
                node.op_type = "Squeeze"
                node.input[1] = self._constant(f"axis{axis}", np.array([axis]))

    def sum_squares(self) -> None:
        """Write the length of vectors as square, sum and root: cuDNN's reduction takes longer."""
        nodes: list[onnx.NodeProto] = []
        for node in self.proto.node:
            if node.op_type != "ReduceL2":
                nodes.append(node)
                continue
            vectors, result = node.input[0], node.output[0]
            square, total = f"{result}.square", f"{result}.sum"
            for name, like in ((square, vectors), (total, result)):
                self._declare(name, self._kind(like), self._shape(like))
            summed = helper.make_node("ReduceSum", [square, *node.input[1:]], [total])
            summed.attribute.extend(node.attribute)
            nodes += [
                helper.make_node("Mul", [vectors, vectors], [square]),
                summed,
                helper.make_node("Sqrt", [total], [result]),
            ]
        self._set(nodes)

    def add_and_normalise(self) -> None:
        """Add to the residual stream and normalise by one node, with the bias of what is added.

        The stream is float32, and what a product adds to it is cast: the node takes one type.
        """
        reads = Counter(name for node in self.proto.node for name in node_reads(node))
        reads.update(value.name for value in self.proto.output)
        fused: dict[str, onnx.NodeProto] = {}  # by the sum that it also yields
        for norm in self.proto.node:
            add = self.producer.get(norm.input[0])
            if norm.op_type != "RMSNormalization" or add is None or add.op_type != "Add":
                continue
            total = add.output[0]
            rows = self._shape(total)
            if len(rows) != 2 or any(self._shape(name) != rows for name in add.input):
                continue
            if total in fused or self._kind(total) != TensorProto.FLOAT:
                continue
            skip, added = self._stream_and_added(add)
            outputs = [norm.output[0]] + (["", "", total] if reads[total] > 1 else [])
            inputs = [added, skip, norm.input[1], *self._take_bias(added, reads)]
            fused[total] = helper.make_node(
                "SkipSimplifiedLayerNormalization", inputs, outputs,
                domain=MICROSOFT_DOMAIN, epsilon=attributes(norm)["epsilon"],
            )  # fmt: skip
            with_opset(self.model, MICROSOFT_DOMAIN, 1)
        normalised = {node.output[0] for node in fused.values()}
        self._set([
            fused.get(node.output[0], node)
            for node in self.proto.node
            if node.output[0] not in normalised
        ])  # fmt: skip

    def _stream_and_added(self, add: onnx.NodeProto) -> tuple[str, str]:
        """Tell the operands of a sum apart: what is added comes from a product, by a cast."""
        first, second = add.input
        node = self.producer.get(first)
        if node is not None and node.op_type == "Cast":
            return second, first
        return first, second

    def _take_bias(self, added: str, reads: Mapping[str, int]) -> list[str]:
        """Take the bias off the product whose float32 result is added; [] where that cannot be."""
        cast = self.producer.get(added)
        if cast is None or cast.op_type != "Cast" or reads[added] != 1:
            return []
        product = self.producer.get(cast.input[0])
        if product is None or product.op_type != "Gemm" or reads[cast.input[0]] != 1:
            return []
        bias = next(iter(product.input[2:]), "")
        while bias in self.producer and self.producer[bias].op_type == "Cast":
            bias = self.producer[bias].input[0]
        if bias not in self.constants or self.constants[bias].data_type != TensorProto.FLOAT:
            return []
        del product.input[2:]
        return [bias]

    def name_attention(self) -> None:
        """Name the attention that a kernel of ours runs: over queries, of heads others pad."""
        for node in self.proto.node:
            if node.op_type != "MultiHeadAttention" or len(node.input) != 3:  # others are masked
                continue
            shapes = [self._shape(name) for name in node.input]
            halves = {self._kind(name) for name in node.input} == {TensorProto.FLOAT16}
            if not halves or any(shape != shapes[0] for shape in shapes) or shapes[0][0] != 1:
                continue
            if shapes[0][2] in [size * attributes(node)["num_heads"] for size in HEAD_DIMS]:
                node.op_type, node.domain = SELF_ATTENTION, DOMAIN

    def drop_unused(self) -> None:
        """Leave out nodes whose values nobody reads any more."""
        wanted = {value.name for value in self.proto.output}
        kept = []
        for node in reversed(self.proto.node):
            if wanted.intersection(node.output):
                wanted |= set(node_reads(node))
                kept.append(node)
        self._set(list(reversed(kept)))

    def _set(self, nodes: list[onnx.NodeProto]) -> None:
        copies = [onnx.NodeProto() for _ in nodes]
        for copy, node in zip(copies, nodes, strict=True):
            copy.CopyFrom(node)
        del self.proto.node[:]
        self.proto.node.extend(copies)
        self.producer = {name: node for node in self.proto.node for name in node.output}

    def _constant(self, name: str, array: np.ndarray) -> str:
        full = f"{self.name}.{name}"
        if full not in self.constants:
            tensor = numpy_helper.from_array(array.astype(np.int64), full)
            self.proto.initializer.append(tensor)
            self.constants[full] = tensor
        return full

    def _kind(self, name: str) -> int:
        if name in self.constants:
            return self.constants[name].data_type
        return self.values[name].type.tensor_type.elem_type

    def _shape(self, name: str) -> list[int | str]:
        if name in self.constants:  # folded: of queries whose places are fixed
            return list(self.constants[name].dims)
        dims = self.values[name].type.tensor_type.shape.dim
        return [dim.dim_param or dim.dim_value for dim in dims]

    def _declare(self, name: str, kind: int, shape: list[int | str]) -> None:
        value = helper.make_tensor_value_info(name, kind, shape)
        self.proto.value_info.append(value)
        self.values[name] = value


def _table_name(name: str) -> str:
    return f"{name}.rotary"
