"""Every layer of a graph that makes its input larger, or few channels of it, in a form chosen for it (`upsampling`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import onnx_ir as ir

from .upsampling import Form, Upsampling, compose, narrow_conv, repeated_conv, transposed_conv
from .values import put, replace, sizes, sole_user

__all__ = ["Choice", "Kind", "Layer", "activation", "enlarge", "layers"]


# a Conv behind repeated pixels, a ConvTranspose, a Conv to few channels
Kind = Literal["repeated", "transposed", "narrow"]
_READERS: dict[Kind, Callable[[ir.Node], tuple[ir.Value, Upsampling] | None]] = {
    "repeated": repeated_conv,
    "transposed": transposed_conv,
    "narrow": narrow_conv,
}


class Layer(NamedTuple):
    """`node` computes `what` from `source`."""

    node: ir.Node
    source: ir.Value
    what: Upsampling
    kind: Kind

    @property
    def extent(self) -> tuple[int | None, ...]:
        """The sizes of the input behind batch and channels, None where they may change."""
        shape = sizes(self.source)
        return (None,) * len(self.what.strides) if shape is None else shape[2:]

    def possible(self) -> tuple[Form, ...]:
        """The forms that it does not have already."""
        forms = self.what.possible(self.extent)
        return tuple(form for form in forms if form != self.kind)


_ACTIVATIONS = ("Relu", "LeakyRelu", "Tanh", "Sigmoid", "Elu", "Selu", "Softplus", "HardSigmoid", "HardSwish", "Gelu")

Choice = Callable[[Layer], "Form | None"]


def layers(graph: ir.Graph) -> Iterator[Layer]:
    """The layers that have other forms."""
    for node in list(graph):
        if node.graph is not graph or node.domain not in ("", "ai.onnx"):
            continue
        for kind, read in _READERS.items():
            found = read(node)
            if found is not None:
                layer = Layer(node, *found, kind)
                if layer.possible():
                    yield layer
                break


def enlarge(graph: ir.Graph, choose: Choice) -> int:
    """Puts each layer into the form that `choose` gives, None to leave it, in place; returns how many changed."""
    changed = 0
    for layer in layers(graph):
        form = choose(layer)
        if form is None or form not in layer.possible():
            continue
        nodes = compose(graph, layer.source, layer.what, form, layer.node.outputs[0])
        put(graph, layer.node, nodes)
        replace(graph, layer.node.outputs[0], nodes[-1].outputs[0])
        if form != "transposed":
            _activate_first(graph, nodes)
        changed += 1
    return changed


def activation(value: ir.Value) -> ir.Node | None:
    """The activation that is all that takes `value`, if it is one that needs nothing but its input."""
    use = sole_user(value)
    return use[0] if use is not None and use[0].domain == "" and use[0].op_type in _ACTIVATIONS else None


def _activate_first(graph: ir.Graph, nodes: list[ir.Node]) -> None:
    """Conv, DepthToSpace, f -> Conv, f, DepthToSpace: places do not matter to f, and engines join it to the Conv."""
    conv, following, last = nodes[0], nodes[1], nodes[-1].outputs[0]
    node = activation(last)
    if node is None:
        return
    early = ir.Node("", node.op_type, [conv.outputs[0]], list(node.attributes.values()), num_outputs=1)
    early.outputs[0].type = last.type
    put(graph, following, [early])
    following.replace_input_with(0, early.outputs[0])
    replace(graph, node.outputs[0], last)
