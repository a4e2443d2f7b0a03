"""The benchmark on a GPU, and what is packed for a machine that has one."""

import subprocess
import sys
from types import SimpleNamespace

from errors.case import Case, without
from samples.fat_libraries import image, make_library, module

from geolrm import GeoLRMError, InputError
from geolrm.bench.gpu import __main__ as bench
from geolrm.bench.gpu import pack, parts, sanitizer
from geolrm.bench.gpu.choices import Choices, parse_settings
from geolrm.bench.gpu.packing import cubins, elf_file, fat_binaries, launch_log, wheels
from geolrm.bench.gpu.report import Part, Recorder
from geolrm.engine.system.present_gpu import PresentGpu

FAILED = Part("kernels", "failed: an error")
RECORD = Recorder(Part("GPU tests", "running"))
NO_GPU = GeoLRMError("no NVIDIA driver was found")


def raising(error):
    def call(*_, **__):
        raise error

    return call


def benchmark(call, *changes):
    def trigger(place):
        gpu = PresentGpu("RTX 4090", "sm_89", 128, 24 << 30)
        place.patch.setattr(bench, "present_gpu", lambda: gpu)
        place.patch.setattr(
            bench, "timing", SimpleNamespace(describe=dict, clocks=lambda: "unknown")
        )
        for owner, name, value in changes:
            place.patch.setattr(owner, name, value)
        return call(place)

    return trigger


def report_over_a_file(place):
    (place.tmp / "a.txt").write_text("")
    return bench.run(place.tmp / "a.txt")


def pack_over_a_file(place):
    (place.tmp / "a.txt").write_text("")
    return pack.pack(place.tmp / "a.txt", sys.executable, place.tmp)


def wrong_accesses(place):
    printed = SimpleNamespace(returncode=0, stdout="========= ERROR SUMMARY: 3 errors")
    place.patch.setattr(sanitizer, "find", lambda: "compute-sanitizer")
    place.patch.setattr(sanitizer.subprocess, "run", lambda *_, **__: printed)
    return sanitizer.measure(RECORD)


def failing_tests(place):
    class Failed:
        returncode, stdout = 1, ["3 failed, 2 passed\n"]

        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    double = SimpleNamespace(Popen=Failed, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)
    place.patch.setattr(parts, "subprocess", double)
    return parts.run_tests(RECORD, Choices())


def library(place, modules):
    return make_library(place.tmp / "provider.so", modules + bytes(16)).read_bytes()


def without_kernels(place):
    plain = elf_file.Section(".text", 0, 0, 0)
    place.patch.setattr(elf_file, "sections", lambda content: {".text": plain})
    return fat_binaries.modules(b"")


def longer_than_its_module(place):
    return fat_binaries.modules(library(place, module(image(90, bytes(40))[:-8])))


def no_module_there(place):
    return fat_binaries.prune(library(place, module(image(90, bytes(8)))), {7}, 90)


def for_another_gpu(place):
    content = library(place, module(image(90, bytes(8))))
    (only,) = fat_binaries.modules(content)
    return fat_binaries.prune(content, {only.address}, 75)


def too_large(place):
    def downloads(python, folder):
        provider = folder.parent / "site" / pack.PROVIDER
        provider.parent.mkdir(parents=True, exist_ok=True)

    def unpack(folder, site, log_site):
        path = site / pack.PROVIDER
        path.parent.mkdir(parents=True)
        path.write_bytes(library(place, module(image(90, bytes(8)))))

    for owner, name, value in (
        (wheels, "fetch", downloads), (wheels, "unpack", unpack), (wheels, "requirements", list),
        (pack, "launched", lambda *_: {}), (pack, "LARGEST", 1024),
        (cubins, "write_cubins", lambda *_: 0),
    ):  # fmt: skip
        place.patch.setattr(owner, name, value)
    return pack.pack(place.tmp / "out", "python", place.tmp / "w", progress=lambda line: None)


def no_compiler(place):
    content = library(place, module(image(90, bytes(8))))
    place.patch.setenv("PATH", str(place.tmp))
    return launch_log.build(content, place.tmp / "log")


def graphs_that_do_not_run(place):
    graphs = [{"graph": "absent.onnx", "feeds": []}]
    return launch_log.launched(sys.executable, place.tmp, place.tmp, graphs, {})


CASES = [
    Case("the GPU benchmark needs an NVIDIA GPU, but …; run it on a machine with one",
         "Of geolrm bench gpu.", benchmark(
             lambda place: bench.run(place.tmp), (bench, "present_gpu", raising(NO_GPU)))),
    Case("--only is 'x'; it must be one of …", "Of geolrm bench gpu.",
         lambda place: bench.run(place.tmp, ["x"]), InputError),
    Case("--settings is '21*16384'; give views x anchors, each once, with commas between, such …",
         "Of geolrm bench gpu.", lambda place: parse_settings("21*16384"), InputError),
    Case("--seconds is 0; it must be more than 0", "Of geolrm bench gpu.",
         lambda place: Choices(seconds=0), InputError),
    Case("--limit is -1; it must be more than 0", "Of geolrm bench gpu.",
         lambda place: Choices(limit=-1), InputError),
    Case("…a.txt' is a file; name a folder with -o", "Of geolrm bench gpu.",
         benchmark(report_over_a_file), InputError),
    Case("…a.txt' is a file; name a folder to pack into with -o", "Of the packer.",
         pack_over_a_file, InputError),
    Case("pytest ended with 1: 3 failed, 2 passed", "Of geolrm bench gpu.", failing_tests),
    Case("memcheck: 3 errors; racecheck: 3 errors; see sanitizer.log in logs.tar.gz",
         "What each tool of NVIDIA's Compute Sanitizer counted.", wrong_accesses),
    Case("kernels failed; see …", "Of geolrm bench gpu; the others were measured.", benchmark(
        lambda place: bench.run(place.tmp, ["kernels"]),
        (parts, "run_apart", lambda *_: FAILED))),
    "What is packed for a machine without network",
    Case("…/absent' is no Python …; the packed extension is for it: name one with --python",
         "The machine's version of Python is needed here, too.",
         lambda place: wheels.find_python(str(place.tmp / "absent"))),
    Case("msgspec missing; run: pip install 'geolrm[gpu,export]'",
         "Packages are packed in the versions that are installed here.",
         without("msgspec", lambda place: wheels.requirements())),
    Case("pip nonsense fails for …", "The end of what it said follows.",
         lambda place: wheels._pip(sys.executable, ["nonsense"])),
    Case("a library is no ELF file of 64 bits; download its wheel again",
         "A wheel that is damaged, or for another system.", lambda place: elf_file.sections(b"PK")),
    Case("a library holds no CUDA kernels; is its wheel the one for GPUs?",
         "onnxruntime lies where onnxruntime-gpu should.", without_kernels),
    Case("the CUDA kernels of a library are in a form that is not known",
         "Of a newer compiler: bench/gpu/packing/fat_binaries.py has to learn it.",
         lambda place: fat_binaries.modules(library(place, b"\1" * 64))),
    Case("an image of a library's CUDA kernels is in a form that is not known",
         "It is longer than its module.", longer_than_its_module),
    Case("a library has no module of kernels at 0x7", "The launches are another version's.",
         no_module_there),
    Case("kernels at … have no code for sm_75, only for sm_90",
         "This version of the package does not run on that GPU.", for_another_gpu),
    Case("…out' has … MiB; at most … travel. Leave out more in bench/gpu/packing/wheels.py",
         "Of the packer.", too_large),
    Case("the launch log does not compile (…); install g++", "Of the packer.", no_compiler),
    Case("the launch log's graphs do not run (1): …", "The end of what ONNX Runtime said follows.",
         graphs_that_do_not_run),
]  # fmt: skip
