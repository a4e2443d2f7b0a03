"""Shared libraries with fat binaries, as nvcc lays them out; the machine code is none."""

import struct
import subprocess

HEADER = 64  # bytes of an image's


def image(architecture, code, kind=2):
    header = struct.pack("<HHIQ", kind, 0x101, HEADER, len(code)) + bytes(12)
    header += struct.pack("<I", architecture)
    return header + bytes(HEADER - len(header)) + code


def module(*images):
    body = b"".join(images)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def cubin(code):
    """An ELF file: a header that says that its table of sections begins behind the code."""
    start = 64 + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(33) + struct.pack("<Q", start) + bytes(10)
    header += struct.pack("<HHH", 64, 1, 0)
    return header + code + bytes(64)


# What nvcc's host code does with two kernels, of the first module and of the second.
PROGRAM = """
struct wrapper { int magic, version; const void* data; void* file; };
struct three { unsigned x, y, z; };
void** __cudaRegisterFatBinary(void*);
void __cudaRegisterFatBinaryEnd(void**);
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, void*, void*, void*,
                            void*, int*);
int cudaLaunchKernel(const void*, struct three, struct three, void**, unsigned long, void*);
int cudaMalloc(void**, unsigned long);
int cublasSgemm_v2(void);
const char named[] = "\\0cudnnConvolutionForward";
static struct wrapper of_first = {0x466243b1, 1, modules, 0};
static struct wrapper of_second = {0x466243b1, 1, modules + SECOND, 0};
static void stub_add(void) {}
static void stub_mul(void) {}
__attribute__((constructor)) static void load(void) {
  void** first = __cudaRegisterFatBinary(&of_first);
  __cudaRegisterFunction(first, (const char*)stub_add, 0, "add", -1, 0, 0, 0, 0, 0);
  void** second = __cudaRegisterFatBinary(&of_second);
  __cudaRegisterFunction(second, (const char*)stub_mul, 0, "mul", -1, 0, 0, 0, 0, 0);
  __cudaRegisterFatBinaryEnd(second);
}
int launch(int which) {
  struct three one = {1, 1, 1};
  void* memory = 0;
  if (cudaMalloc(&memory, 8) || !memory || cublasSgemm_v2()) return 1;
  return cudaLaunchKernel(which ? (void*)stub_mul : (void*)stub_add, one, one, 0, 0, 0);
}
"""


def make_library(path, modules, constants=b"", program=False, second=0):
    """Compile a library with these bytes as its fat binaries, and these among its constants."""

    def array(name, content, section):
        values = ",".join(map(str, content))
        where = f'__attribute__((section("{section}"), aligned(8)))'
        return f"{where} const unsigned char {name}[] = {{{values}}};\n"

    text = array("modules", modules, ".nv_fatbin")
    text += array("constants", constants or b"\0", ".rodata")
    text += PROGRAM.replace("SECOND", str(second)) if program else ""
    source = path.with_suffix(".c")
    source.write_text(text)
    command = ["gcc", "-shared", "-fPIC", "-w", "-o", path, source]
    subprocess.run(command, check=True, capture_output=True)
    return path
