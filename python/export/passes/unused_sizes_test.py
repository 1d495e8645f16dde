import torch

from python.export.passes import unused_sizes
from python.export.testing.example_graphs import graph_of, targets, tokens


def test_only_unused_reads_are_removed() -> None:
    shapes = {1: torch.export.Dim("tokens", min=1, max=9)}
    graph = graph_of(
        lambda tokens: torch.arange(tokens.shape[1]), {"tokens": shapes}, tokens=tokens()
    )
    before = targets(graph)
    unused_sizes.run(graph)
    assert targets(graph) == before == ["sym_size.int", "arange.default"]
    output = graph.output_node()
    output.args = ((),)
    graph.erase_node(output.prev)
    unused_sizes.run(graph)
    assert targets(graph) == []
