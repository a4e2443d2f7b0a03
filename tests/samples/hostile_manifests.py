"""Manifests made to do harm, by kind: a change of that of ``mini``, and the reason that is told."""

import copy
import json

from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.bundle.bundle import bundled_path


def good():
    """The manifest of the bundled model, as plain data."""
    return json.loads((bundled_path("mini") / manifests.MANIFEST_NAME).read_bytes())


def at(*path):
    """Change what stands at a place."""

    def to(value):
        def change(content):
            for key in path[:-1]:
                content = content[key]
            content[path[-1]] = value

        return change

    return to


STAGES = ("artifacts", 0, "stages")
ENCODER = (*STAGES, "encoder")
PROPOSAL = (*STAGES, "proposal")
RECONSTRUCTION = (*STAGES, "reconstruction")


def tensor(stage, name):
    """Find the place of a tensor."""
    tensors = good()["artifacts"][0]["stages"][stage]["tensors"]
    index = next(i for i, each in enumerate(tensors) if each["name"] == name)
    return (*STAGES, stage, "tensors", index)


def step(operator, stage="proposal"):
    """Find the place of the first step of a kind."""
    steps = good()["artifacts"][0]["stages"][stage]["steps"]
    index = next(i for i, each in enumerate(steps) if each["operator"] == operator)
    return (*STAGES, stage, "steps", index)


SEGMENT, ATTENTION = step("segment"), step("self_attention")
PROJECTION, CROSS = step("value_projection"), step("deformable_cross_attention")
LOGITS, FEATURES = tensor("proposal", "logits"), tensor("encoder", "features")


def changed(*changes):
    """Return the good manifest after changes, as plain data."""
    content = good()
    for change in changes:
        change(content)
    return content


def signed(content):
    """Return the bytes of a manifest with a valid checksum, where it can be decoded at all."""
    raw = json.dumps(content).encode()
    try:
        return manifests.encode(manifests.decode(raw))
    except ValueError:
        return raw


def remove(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def add(*path, value=None):
    """Append to a list: a value, or its last entry once more."""

    def change(content):
        for key in path:
            content = content[key]
        content.append(copy.deepcopy(content[-1]) if value is None else value)

    return change


def both(*changes):
    """Change one thing after another."""

    def change(content):
        for each in changes:
            each(content)

    return change


def renamed_stage(content):
    stages = content["artifacts"][0]["stages"]
    stages["other"] = stages.pop("proposal")


def gpu_of(backend, **changes):
    """Add an artifact for a GPU that is a copy of the CPU's."""

    def change(content):
        artifact = copy.deepcopy(content["artifacts"][0])
        content["artifacts"].append(artifact | {"backend": backend} | changes)

    return change


def many(count, **entry):
    return [entry | {"name": f"t{index}"} for index in range(count)]


OUT_OF_RANGE = {  # refused when they are decoded
    "no image": at("image_size")(0),
    "an endless image": at("image_size")(10**9),
    "an image of no number": at("image_size")("224"),
    "an image of NaN": at("image_size")(float("nan")),
    "a wide angle": at("fov_degrees")(180.0),
    "an infinite angle": at("fov_degrees")(float("inf")),
    "no angle": at("fov_degrees")(0),
    "no views": at("views", "min")(0),
    "negative views": at("views", "opt")(-6),
    "views beyond 64 bits": at("views", "max")(2**70),
    "endless anchors": at("anchors", "max")(2**40),
    "endless padding": at("padded_anchors")(500_000_000),
    "negative padding": at("padded_anchors")(-1),
    "an endless grid": at("rope", "grid_size")(10**9),
    "a grid of one": at("rope", "grid_size")(1),
    "a scale of zero": at("rope", "xyz_scale")(0.0),
    "a scale beyond float32": at("rope", "xyz_scale")(1e300),
    "an axis outside the cube": at("rope", "axis", 0)(-1e300),
    "a long axis": at("rope", "axis")([0.5] * 100_000),
    "no levels": at("level_shapes")([]),
    "a level of no size": at("level_shapes", 0)([0, 56]),
    "a level of negative size": at("level_shapes", 0)([-56, -56]),
    "many levels": at("level_shapes")([[1, 1]] * 10_000),
    "no features": at("feature_dim")(0),
    "endless features": at("feature_dim")(2**31),
    "no Gaussians": at("gaussians_per_anchor")(0),
    "endless Gaussians": at("gaussians_per_anchor")(10**6),
    "endless refinement": at("refine_steps")(10**9),
    "refinement backwards": at("refine_steps")(-1),
    "no artifacts": at("artifacts")([]),
    "another backend": at("artifacts", 0, "backend")("shell"),
    "no targets": at("artifacts", 0, "targets")([]),
    "another operator": at(*ATTENTION, "operator")("shell"),
    "no heads": at(*ATTENTION, "num_heads")(0),
    "negative heads": at(*ATTENTION, "num_heads")(-4),
    "endless points": at(*PROJECTION, "num_points")(2**33),
    "a type of its own": at(*LOGITS, "dtype")("object"),
    "an empty shape": at(*LOGITS, "shape")([0, 32, 32]),
    "a negative shape": at(*LOGITS, "shape")([-1, 32, 32]),
    "an endless shape": at(*LOGITS, "shape")([2**40, 32, 32]),
    "a shape of many axes": at(*LOGITS, "shape")([1] * 1000),
    "an unknown symbol": at(*LOGITS, "shape")(["frames", 32, 32]),
    "a formula": at(*LOGITS, "shape")(["views*views", 32, 32]),
    "a product of many": at(*LOGITS, "shape")(["9*" * 1000 + "views", 32, 32]),
    "a negative factor": at(*LOGITS, "shape")(["-3*views", 32, 32]),
    "a file of negative size": at("files", "proposal.onnx", "bytes")(-1),
    "a file of endless size": at("files", "proposal.onnx", "bytes")(2**60),
    "no hash": at("files", "proposal.onnx", "sha256")(""),
    "a hash of a path": at("files", "proposal.onnx", "sha256")("../" * 21 + "a"),
    "endless scratch": at(*SEGMENT, "scratch")(
        {"fixed": 2**62, "a_view": 0, "an_anchor": 0, "a_pair": 0}
    ),
    "many tensors": at(*PROPOSAL, "tensors")(many(100_000, dtype="float32", shape=[1])),
    "many steps": lambda c: c["artifacts"][0]["stages"]["proposal"].update(
        steps=c["artifacts"][0]["stages"]["proposal"]["steps"] * 1000
    ),
    "an escape sequence": at("model")("\x1b[2J\x1b[31mmini"),
    "a second line": at("source", "checkpoint")("a.ckpt\nerror: all is well"),
    "text that runs backwards": at("geolrm_version")("\u202e0.1.0"),
    "a long name": at("model")("m" * 10**6),
    "no name": at("model")(""),
    "an unknown field": at("run")("rm -rf /"),
    "an unknown field with escapes": at("\x1b[31m\n" * 50)(1),
    "a missing field": remove("rope"),
    "null": at("views")(None),
    "a list for a map": at("files")([]),
    "a map for a list": at("artifacts")({}),
}

UNSOUND = {  # refused for what their parts say of each other; with the reason
    "views out of order": (
        at("views")({"min": 6, "opt": 1, "max": 24}),
        "views is 6:1:24; it must satisfy 1 <= MIN <= OPT <= MAX",
    ),
    "too many views": (
        at("views", "max")(2**31), "views may be 2147483648, more than 4096",
    ),
    "too many anchors": (
        at("anchors", "max")(2**31), "anchors may be 2147483648, more than 16777216",
    ),
    "padding beyond the anchors": (
        at("padded_anchors")(2**24),
        "padded_anchors is 16777216, more than the largest number of anchors, 12288",
    ),
    "a file elsewhere": (
        at("files", "../../etc/passwd")({"bytes": 1, "sha256": "0" * 64}),
        "the file '../../etc/passwd' is not a plain file name",
    ),
    "the folder itself": (
        at("files", "..")({"bytes": 1, "sha256": "0" * 64}),
        "the file '..' is not a plain file name",
    ),
    "a graph that is not there": (
        at("graphs", "encoder")("other.onnx"),
        "the graph of 'encoder' is in 'other.onnx', which is not among the files",
    ),
    "two artifacts for the CPU": (
        add("artifacts"), "there is more than one artifact for 'onnxruntime'",
    ),
    "none for the CPU": (
        at("artifacts", 0, "backend")("cuda"), "there is no artifact for 'onnxruntime'",
    ),
    "a target of its own": (
        at("artifacts", 0, "targets")(["sm_89"]),
        "in the artifact for 'onnxruntime', the targets are ['sm_89'], not ['cpu']",
    ),
    "targets twice": (
        at("artifacts", 0, "targets")(["cpu", "cpu"]),
        "in the artifact for 'onnxruntime', there is more than one target 'cpu'",
    ),
    "weights that are not listed": (
        remove("files", "weights.safetensors"),
        "in the artifact for 'onnxruntime', steps have weights, but 'weights.safetensors' is not "
        "among the files",
    ),
    "a role that is not the name's": (
        renamed_stage,
        "in the artifact for 'onnxruntime', the stage 'other' has the role 'proposal'",
    ),
    "features of a stage that is no encoder": (
        at(*PROPOSAL, "features_for")(["proposal"]),
        "in the artifact for 'onnxruntime', the stage 'proposal' makes features and is no encoder",
    ),
    "no plan of a stage": (
        remove(*PROPOSAL), "in the artifact for 'onnxruntime', it lacks the plan of proposal",
    ),
    "features for nobody": (
        at(*ENCODER, "features_for")([]),
        "in the artifact for 'onnxruntime', the encoders make features for [], not for each stage",
    ),
    "features twice": (
        at(*ENCODER, "features_for")(["proposal", "proposal"]),
        "in the artifact for 'onnxruntime', the encoders make features for "
        "['proposal', 'proposal'], not for each stage",
    ),
    "a tensor twice": (
        add(*PROPOSAL, "tensors", value={"name": "cat", "dtype": "float32", "shape": [1]}),
        "in the artifact for 'onnxruntime', stage 'proposal': there is more than one tensor 'cat'",
    ),
    "a tensor nobody writes": (
        add(*PROPOSAL, "tensors", value={"name": "idle", "dtype": "float32", "shape": [1]}),
        "in the artifact for 'onnxruntime', stage 'proposal': no step writes 'idle'",
    ),
    "a huge tensor": (
        add(*PROPOSAL, "tensors",
            value={"name": "huge", "dtype": "float32", "shape": [2**31, 2**31]}),
        "in the artifact for 'onnxruntime', stage 'proposal': 'huge' has the shape "
        "[2147483648, 2147483648], which is too large",
    ),
    "huge tensors together": (
        lambda c: [
            add(*PROPOSAL, "tensors",
                value={"name": f"h{i}", "dtype": "float32", "shape": [2**31, 8]})(c)
            for i in range(80)
        ],
        "in the artifact for 'onnxruntime', stage 'proposal': its tensors take 5498 GB, more than "
        "4398",
    ),
    "anchors where there are none": (
        at(*LOGITS, "shape")(["anchors", 32, 32]),
        "in the artifact for 'onnxruntime', stage 'proposal': no input says how many anchors "
        "'logits' has",
    ),
    "a view of nothing": (
        add(*PROPOSAL, "tensors",
            value={"name": "v", "dtype": "float32", "shape": [1], "view_of": "nothing"}),
        "in the artifact for 'onnxruntime', stage 'proposal': 'v' is a view of 'nothing', which is "
        "no tensor before it",
    ),
    "a view of itself": (
        add(*PROPOSAL, "tensors",
            value={"name": "v", "dtype": "float32", "shape": [1], "view_of": "v"}),
        "in the artifact for 'onnxruntime', stage 'proposal': 'v' is a view of 'v', which is no "
        "tensor before it",
    ),
    "a view larger than what it shows": (
        add(*PROPOSAL, "tensors",
            value={"name": "v", "dtype": "float32", "shape": [512, 193], "view_of": "cat"}),
        "in the artifact for 'onnxruntime', stage 'proposal': the view 'v' is float32 [512, 193], "
        "what it shows is float32 [512, 192]",
    ),
    "a view that is an output": (
        both(
            add(*PROPOSAL, "tensors",
                value={"name": "v", "dtype": "float32", "shape": [512, 192], "view_of": "cat",
                       "lifetime": "output"}),
            add(*SEGMENT, "writes", value="v"),
        ),
        "in the artifact for 'onnxruntime', stage 'proposal': the view 'v' is an output",
    ),
    "a step that writes its input": (
        add(*SEGMENT, "writes", value="features"),
        "in the artifact for 'onnxruntime', stage 'proposal': a step writes 'features', which is "
        "an input or a view",
    ),
    "a step written twice": (
        lambda c: add(*PROPOSAL, "steps")(c),
        "in the artifact for 'onnxruntime', stage 'proposal': there is more than one step that "
        "writes 'volume'",
    ),
    "no file for the target": (
        at(*SEGMENT, "files")({"sm_89": "proposal.segment00.onnx"}),
        "in the artifact for 'onnxruntime', stage 'proposal': step 0 (segment): it lacks a file "
        "for 'cpu'",
    ),
    "a file that is not listed": (
        at(*SEGMENT, "files", "cpu")("/etc/passwd"),
        "in the artifact for 'onnxruntime', stage 'proposal': step 0 (segment): it is in "
        "'/etc/passwd', which is not among the files",
    ),
    "heads that do not divide": (
        at(*ATTENTION, "num_heads")(5),
        "in the artifact for 'onnxruntime', stage 'proposal': step 1 (self_attention): the width "
        "is 192, which is no multiple of 5",
    ),
    "attention over one tensor": (
        at(*ATTENTION, "reads")(["unsqueeze_9"]),
        "in the artifact for 'onnxruntime', stage 'proposal': step 1 (self_attention): it reads 1 "
        "tensors, not 3",
    ),
    "attention over images": (
        at(*ATTENTION, "reads", 0)("foreground"),
        "in the artifact for 'onnxruntime', stage 'proposal': step 1 (self_attention): "
        "'foreground' has shape ['views', 4, 224, 224], not [1, 512, 192]",
    ),
    "points that do not fit": (
        at(*PROJECTION, "num_points")(4096),
        "in the artifact for 'onnxruntime', stage 'proposal': step 3 (value_projection): "
        "'linear_5' has shape [512, 64], not [512, 65536]",
    ),
    "no weights": (
        at(*PROJECTION, "weights")([]),
        "in the artifact for 'onnxruntime', stage 'proposal': step 3 (value_projection): it has 0 "
        "weights, not 1 or 2",
    ),
    "weights too many": (
        at(*CROSS, "weights")(["a", "b", "c"]),
        "in the artifact for 'onnxruntime', stage 'proposal': step 4 (deformable_cross_attention): "
        "it has 3 weights, not 2",
    ),
    "values as bytes": (
        at(*tensor("proposal", "deformable_cross_attention.values"), "dtype")("uint8"),
        "in the artifact for 'onnxruntime', stage 'proposal': step 3 (value_projection): "
        "'deformable_cross_attention.values' is uint8, not float32 or float16",
    ),
    "an operator that a CPU has not": (
        both(
            add(*RECONSTRUCTION, "tensors",
                value={"name": "order", "dtype": "int32", "shape": ["anchors"]}),
            lambda c: c["artifacts"][0]["stages"]["reconstruction"]["steps"].insert(
                0, {"operator": "query_order", "reads": ["anchors"], "writes": ["order"]}
            ),
        ),
        "in the artifact for 'onnxruntime', stage 'reconstruction': step 0 (query_order): the CPU "
        "has no operator of that name",
    ),
    "other levels": (
        at("level_shapes")([[56, 56], [32, 31]]),
        "in the artifact for 'onnxruntime', stage 'encoder': the output 'features' is float32 "
        "['views', 4160, 128], not float32 ['views', 4128, 128]",
    ),
    "another image": (
        at("image_size")(448),
        "in the artifact for 'onnxruntime', stage 'encoder': the input 'images' is float32 "
        "['views', 3, 224, 224], not float32 ['views', 3, 448, 448]",
    ),
    "another number of Gaussians": (
        at("gaussians_per_anchor")(17),
        "in the artifact for 'onnxruntime', stage 'reconstruction': the output 'means' is float32 "
        "['16*anchors', 3], not float32 ['17*anchors', 3]",
    ),
    "an input of its own": (
        add(*PROPOSAL, "tensors",
            value={"name": "seed", "dtype": "int64", "shape": [1], "lifetime": "input"}),
        "in the artifact for 'onnxruntime', stage 'proposal': there is no input 'seed' for the "
        "role 'proposal'",
    ),
    "an input of another type": (
        at(*tensor("reconstruction", "rope_index"), "dtype")("int32"),
        "in the artifact for 'onnxruntime', stage 'reconstruction': the input 'rope_index' is "
        "int32 ['anchors', 3], not int64 ['anchors', 3]",
    ),
    "a volume of another size": (
        at(*tensor("reconstruction", "volume"), "shape")([1, 25, 64, 64, 64]),
        "in the artifact for 'onnxruntime', stage 'reconstruction': the input 'volume' is float32 "
        "[1, 25, 64, 64, 64], not float32 [1, 25, 32, 32, 32]",
    ),
    "logits of no cube": (
        at(*LOGITS, "shape")([32, 32, 33]),
        "in the artifact for 'onnxruntime', stage 'proposal': the output 'logits' is float32 "
        "[32, 32, 33], not float32 [32, 32, 32]",
    ),
    "an artifact for GPUs that is the CPU's": (
        gpu_of("cuda", targets=["any"]),
        "in the artifact for 'cuda', stage 'encoder': step 0 (segment): it lacks a file for 'any'",
    ),
    "engines that nobody knows": (
        gpu_of("tensorrt", targets=["cpu"]),
        "in the artifact for 'tensorrt', stage 'encoder': step 0 (segment): the engine "
        "'encoder.segment00.onnx' has no identity",
    ),
}  # fmt: skip
