"""geolrm-export: checkpoints, ranges, verification; and the conformance check."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from doubles.hub import Hub, serving, use
from errors.case import Case
from safetensors.torch import save_file
from samples.tiny_models import one_layer, tiny_config, tiny_model

from geolrm.engine.bundle.manifest import Range
from geolrm.export import bundle_writer, half_range, verification
from geolrm.export.averaging import average, main
from geolrm.export.checkpoint import CONFIG_KEY, load_checkpoint, load_state
from geolrm.export.command import check_padding, resize
from geolrm.export.conformance import __main__ as conformance
from geolrm.export.conformance import case as conformance_case
from geolrm.export.hub import choose_file, fetch, parse_hub_name
from geolrm.export.model import released
from geolrm.export.verification import StageResult, verify


def checkpoint(name, content):
    def trigger(place):
        (place.tmp / name).write_bytes(content)
        return load_checkpoint(place.tmp / name)

    return trigger


def stored_config(text):
    def trigger(place):
        file = place.tmp / "a.safetensors"
        save_file({"a": torch.zeros(1)}, str(file), {CONFIG_KEY: text})
        return load_checkpoint(file)

    return trigger


def impossible_model(place):
    config = json.loads(msgspec.json.encode(tiny_config()))
    config["encoder"]["feature_dim"] = 1 << 60
    return stored_config(json.dumps(config))(place)


def other_model(place):
    file = place.tmp / "a.safetensors"
    save_file({"lrm_generator.a": torch.zeros(1)}, str(file))
    return load_checkpoint(file, tiny_config())


def poisoned(place):
    model = tiny_model(tiny_config())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[0] = torch.nan
    return load_state(model, state, "a.ckpt")


def pickled(content, call):
    def trigger(place):
        torch.save(content, place.tmp / "a.ckpt")
        return call(place.tmp / "a.ckpt")

    return trigger


def few_views(place):
    manifest = SimpleNamespace(precision="fp32", views=Range(9, 9, 9), image_size=56)
    place.patch.setattr(verification, "Engine", lambda *_, **__: SimpleNamespace(manifest=manifest))
    return verify(place.tmp, None, ["view"] * 4)


def differing(place):
    """Every stage is compared with what was computed here, and one is made to differ."""
    from geolrm.engine.captures import load_capture
    from geolrm.examples import capture_path

    def compare(name, found, expected, precision):
        return StageResult(name, 0.5, 1.0, 1.0, "cosine >= 0.99", False)

    place.patch.setattr(verification, "_compare", compare)
    capture = load_capture(capture_path("shoe"))
    return verify(place.bundle(), tiny_model(tiny_config("token")), capture)


def beyond_float16(place):
    from geolrm.engine.captures import load_capture
    from geolrm.examples import capture_path

    model = tiny_model(one_layer(tiny_config("token")))
    model.serializer.transformer.layers[0].feed_forward.w1.weight *= 1e6
    capture = load_capture(capture_path("shoe"))
    return half_range.measure(model, verification.choose_views(capture, Range(1, 1, 1), 56))


def check(*options):
    """Of a case that records nothing; the command would print the sentence and return 2."""

    def trigger(place):
        np.savez(place.tmp / "io.npz")
        (place.tmp / "config.json").write_text("{}")
        save_file({"a": torch.zeros(1)}, str(place.tmp / "weights.safetensors"))
        for name in ("MALFORMED", "GeoLRMError"):
            place.patch.setattr(conformance, name, ())
        return conformance.main([str(place.tmp), *options])

    return trigger


def full_disk(place):
    with bundle_writer._one_sentence(place.tmp / "bundle"):
        raise OSError(28, "No space left on device")


def fetched(name, **changes):
    """Of a hub on loopback that holds two files."""

    def trigger(place):
        hub = Hub({"a.ckpt": b"", "b.ckpt": b""})
        for field, value in changes.items():
            setattr(hub, field, value)
        with serving(hub, place.patch, place.tmp):
            fetch(parse_hub_name(name))

    return trigger


def no_cache(place):
    (place.tmp / "file").write_bytes(b"")
    with serving(Hub({"a.ckpt": b""}), place.patch, place.tmp / "file" / "cache"):
        fetch(parse_hub_name("hf:owner/model@main"))


def unreachable(place):
    use("http://127.0.0.1:9", place.patch, place.tmp)
    fetch(parse_hub_name("hf:owner/model@main"))


def averaging(*arguments):
    """The command would print the sentence and end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geolrm.export.averaging.one_sentence_errors", nullcontext)
        main(list(arguments))


def other_models(place):
    one, other = (tiny_model(config) for config in (tiny_config(), one_layer(tiny_config())))
    return average(one, other, ("a.safetensors", "b.safetensors"))


CASES = [
    Case("'a.safetensors' and 'b.safetensors' are of different models (…); give a checkpoint that "
         "the training of the first went on from", "Of geolrm.export.averaging.",
         other_models),
    Case("--output is 'halfway.pt'; its name must end in .safetensors",
         "Of geolrm.export.averaging.",
         lambda place: averaging("a.ckpt", "mini", "-o", "halfway.pt")),
    Case("the checkpoint is 'hf:a/b'; it must be hf:OWNER/NAME@REVISION or …",
         "Of geolrm-export.", lambda place: parse_hub_name("hf:a/b")),
    Case("the file is 'a.pkl'; it must be a .safetensors or .ckpt file of the …",
         "Of a checkpoint on a hub.", lambda place: parse_hub_name("hf:a/b@main/a.pkl")),
    Case("hf:owner/model@main holds 2 checkpoints (…); name one: …", "Of a checkpoint on a hub.",
         fetched("hf:owner/model@main")),
    Case("hf:owner/model@main holds no checkpoint (.safetensors or .ckpt); name another …",
         "Of a checkpoint on a hub.",
         lambda place: choose_file([], parse_hub_name("hf:owner/model@main"))),
    Case("there is no repository a/b on the hub, or it is private; check its name, or set HF_TOKEN",
         "Of a checkpoint on a hub.", fetched("hf:a/b@main")),
    Case("owner/model has no revision v9; name a commit, a tag or main",
         "Of a checkpoint on a hub.", fetched("hf:owner/model@v9")),
    Case("owner/model has no file c.ckpt at main; leave the file out, or look for its name on …",
         "Of a checkpoint on a hub.", fetched("hf:owner/model@main/c.ckpt")),
    Case("… is given to those alone who agree to its terms; agree on its page, and set HF_TOKEN",
         "Of a checkpoint on a hub.", fetched("hf:owner/model@main/a.ckpt", gated=True)),
    Case("the hub says that … is commit 'x', which is none; name a commit of 40 hexadecimal digits",
         "Of a checkpoint on a hub.", fetched("hf:owner/model@main/a.ckpt", commit="x")),
    Case("… cannot be kept in the hub's cache: …; make room there, or name another folder by …",
         "Full, or not writable.", no_cache),
    Case("… is not in the cache, and the hub cannot be reached (…); check the network, …",
         "Of a checkpoint on a hub.", unreachable),
    Case("no checkpoint at …; give a .ckpt or .safetensors file, or 'mini'", "Check the path.",
         lambda place: load_checkpoint(place.tmp / "none.ckpt")),
    Case("… is no readable safetensors file: …", "Damaged.",
         checkpoint("a.safetensors", b"nothing")),
    Case("… cannot be read as a plain state dict (…): it is damaged, or holds other objects than …",
         "Checkpoints are never unpickled.", checkpoint("a.ckpt", b"nothing")),
    Case("… is no state dict of named tensors; give one of …", "Save the state dict alone.",
         pickled([1, 2], load_checkpoint)),
    Case("… holds an invalid configuration: …", "Stored beside the weights; it was changed.",
         stored_config('{"encoder": 1}')),
    Case("… holds a configuration that makes no model: …", "Stored beside the weights.",
         impossible_model),
    Case("checkpoint … does not fit the model of … tensors: … missing keys (…); …. Use a …",
         "Of another configuration.", other_model),
    Case("checkpoint … holds NaN or infinity in …; it is damaged", "Restore it.", poisoned),
    Case("--views is 2:1:3; it must satisfy 1 <= MIN <= OPT <= MAX", "Of geolrm-export.",
         lambda place: Range(2, 1, 3).check("--views")),
    Case("--image-size is 450; it must be a multiple of the patch size 14, such as 448",
         "Of geolrm-export.", lambda place: resize(released(), 450)),
    Case("--tokens allows at most 100 anchors, but the head variant of this model pads them to …",
         "Of geolrm-export.", lambda place: check_padding(released("head"), Range(1, 50, 100))),
    Case("--buckets is for a number of anchors that changes, but the head variant of this model "
         "always runs with …; leave it out", "Of geolrm-export.",
         lambda place: check_padding(released("head"), Range(1, 50, 16384), buckets=True)),
    Case("--views starts at 9, but the capture used for verification has 4 views; lower MIN, or …",
         "Of geolrm-export.", few_views),
    Case("the exported graphs differ from the torch model in … of … stages, first in …: …",
         "A fault of the export; please report it.", differing),
    Case("… reaches … on the bundled capture, too near to the end of float16 (65504) to be …",
         "Of geolrm-export --fp16. bfloat16 holds what float32 does.", beyond_float16),
    Case("… is no conformance case: it lacks config.json", "Of geolrm.export.conformance.",
         lambda place: conformance_case.Case.load(place.tmp)),
    Case("… records no gen.* array of any variant", "Of geolrm.export.conformance.", check()),
    Case("--variant is 'x'; it must be one of …", "Of geolrm.export.conformance.",
         check("--variant", "x")),
    Case("cannot write …bundle': No space left on device; nothing was written", "Of geolrm-export.",
         full_disk),
]  # fmt: skip
