import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm.engine.backends.layout import ALIGNMENT, lay_out
from geolrm.engine.bundle.plan import SegmentStep, Stage, Tensor


def segment(name, reads, writes):
    return SegmentStep(name=name, files={"any": "f"}, reads=reads, writes=writes)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.integers(1, 12))
def test_what_lives_together_does_not_overlap(data, count):
    steps, known, views = [], [Tensor("in", "float32", [4], "input")], []
    for index in range(count):
        names = [tensor.name for tensor in [*known, *views]]
        reads = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        writes = [
            Tensor(f"t{index}_{k}", "float32", [data.draw(st.integers(1, 999))])
            for k in range(index % 3 + 1)
        ]
        steps.append(segment(f"s{index}", reads, [tensor.name for tensor in writes]))
        known += writes
        shown = writes[0]
        views.append(Tensor(f"v{index}", "float32", [1, *shown.shape], view_of=shown.name))
    last = known.pop()
    known.append(Tensor(last.name, "float32", last.shape, "output"))
    stage = Stage("proposal", [*known, *views], steps)
    workspaces = data.draw(st.lists(st.integers(0, 999), min_size=count, max_size=count))
    layout = lay_out(stage, {}, workspaces)
    sizes = {t.name: 4 * t.shape[0] for t in known if t.lifetime == "intermediate"}
    assert set(layout.tensors) == set(sizes)
    owner = {t.name: t.view_of or t.name for t in stage.tensors}
    for index, step in enumerate(steps):
        later = {owner[name] for after in steps[index:] for name in after.reads}
        made = {name for before in steps[: index + 1] for name in before.writes}
        alive = ((later & made) | set(step.writes)) & set(sizes)
        spans = [(layout.tensors[n], layout.tensors[n] + sizes[n]) for n in alive]
        if workspaces[index]:
            start = layout.workspaces[index]
            spans.append((start, start + workspaces[index]))
        spans.sort()
        assert all(start % ALIGNMENT == 0 for start, _ in spans)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        assert not spans or spans[-1][1] <= layout.nbytes


def test_tensors_take_turns():
    tensors = [
        Tensor("in", "float32", ["views", 4], "input"),
        *(Tensor(name, "float32", ["16*anchors"]) for name in ("a", "b", "c")),
        Tensor("out", "float32", [4], "output"),
    ]
    chain = itertools.pairwise(tensor.name for tensor in tensors)
    stage = Stage("proposal", tensors, [segment(read, [read], [made]) for read, made in chain])
    layout = lay_out(stage, {"views": 2, "anchors": 100}, [0] * 4)
    assert layout.nbytes == 2 * 6400 and layout.tensors["a"] == layout.tensors["c"]
