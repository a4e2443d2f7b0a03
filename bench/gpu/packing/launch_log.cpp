// The libraries of CUDA without a GPU, as ONNX Runtime's CUDA provider sees them: calls succeed and
// compute nothing, and each kernel that is launched is told, with the module that holds it.
//
// One library under all their names; symbols that it lacks are added as functions that return 0.
// Memory is the host's. A line of the file that LAUNCH_LOG names is the address of a module, from
// the provider's first byte on, and the kernel's name.

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace {

constexpr size_t kMemory = size_t{80} << 30;
constexpr size_t kCopied = 1 << 20;  // larger copies hold no sizes, only values, and are left out

struct Wrapper {  // __fatBinC_Wrapper_t of crt/fatbinary.h
  int magic, version;
  const void* data;
  void* file;
};

struct Dim3 {
  unsigned x, y, z;
};

std::mutex guard;
std::map<const void*, std::pair<uintptr_t, std::string>> kernels;  // by the host's stub
std::set<std::pair<uintptr_t, std::string>> told;

uintptr_t module_of(void** handle) {
  const void* data = reinterpret_cast<Wrapper*>(handle)->data;
  Dl_info info;
  if (!dladdr(data, &info)) return 0;
  return reinterpret_cast<uintptr_t>(data) - reinterpret_cast<uintptr_t>(info.dli_fbase);
}

void tell(const std::pair<uintptr_t, std::string>& kernel) {
  if (!told.insert(kernel).second) return;
  const char* name = getenv("LAUNCH_LOG");
  FILE* file = name ? fopen(name, "a") : nullptr;
  if (!file) return;
  fprintf(file, "%lx %s\n", static_cast<unsigned long>(kernel.first), kernel.second.c_str());
  fclose(file);
}

int use(const void* host) {
  std::lock_guard<std::mutex> lock(guard);
  auto found = kernels.find(host);
  if (found != kernels.end()) tell(found->second);
  return 0;
}

int allocate(void** pointer, size_t size) {
  *pointer = aligned_alloc(256, (size + 256) / 256 * 256);
  return *pointer ? 0 : 2;
}

int copy(void* target, const void* source, size_t size) {
  if (size <= kCopied) memcpy(target, source, size);
  return 0;
}

int make(void** handle) { return *handle = calloc(1, 4096), 0; }

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) { return static_cast<void**>(wrapper); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, void*,
                            void*, void*, void*, int*) {
  std::lock_guard<std::mutex> lock(guard);
  kernels[host] = {module_of(handle), name};
}
void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, size_t, int, int) {
  std::lock_guard<std::mutex> lock(guard);
  kernels[host] = {module_of(handle), name};
}

struct Configuration {
  Dim3 grid, block;
  size_t shared;
  void* stream;
};
thread_local Configuration pushed;
unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, size_t shared, void* stream) {
  return pushed = {grid, block, shared, stream}, 0;
}
int __cudaPopCallConfiguration(Dim3* grid, Dim3* block, size_t* shared, void** stream) {
  *grid = pushed.grid, *block = pushed.block, *shared = pushed.shared, *stream = pushed.stream;
  return 0;
}
int __cudaGetKernel(const void** kernel, const void* host) { return *kernel = host, 0; }
int __cudaLaunchKernel(const void* kernel, Dim3, Dim3, void**, size_t, void*) {
  return use(kernel);
}
int cudaLaunchKernel(const void* host, Dim3, Dim3, void**, size_t, void*) { return use(host); }
int cudaLaunchKernelExC(const void*, const void* host, void**) { return use(host); }
int cudaLaunchCooperativeKernel(const void* host, Dim3, Dim3, void**, size_t, void*) {
  return use(host);
}
// What asks for a kernel loads its module just so.
struct FunctionAttributes {
  size_t shared, constant, local;
  int max_threads, registers, ptx, binary, cache, max_shared, carveout, more[32];
};
int cudaFuncGetAttributes(FunctionAttributes* attributes, const void* host) {
  *attributes = {0, 0, 0, 1024, 32, 90, 90, 0, 232448, -1, {}};
  return use(host);
}
int cudaFuncSetAttribute(const void* host, int, int) { return use(host); }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host, int,
                                                           size_t, unsigned) {
  return *blocks = 2, use(host);
}
int cudaMemcpyFromSymbol(void*, const void* host, size_t, size_t, int) { return use(host); }

// A Hopper of 132 multiprocessors.
struct Properties {  // the start of cudaDeviceProp of CUDA 13
  char name[256], uuid[16], luid[8];
  unsigned mask;
  size_t memory, shared;
  int registers, warp;
  size_t pitch;
  int max_threads, max_block[3], max_grid[3];
  size_t constant;
  int major, minor;
  size_t texture, texture_pitch;
  int multiprocessors, integrated, maps_host_memory;
};
int cudaGetDeviceProperties(Properties* made, int) {
  memset(static_cast<void*>(made), 0, 1008);
  *made = Properties{"launch log",
                     {},
                     {},
                     0,
                     kMemory,
                     49152,
                     65536,
                     32,
                     1 << 30,
                     1024,
                     {1024, 1024, 64},
                     {2147483647, 65535, 65535},
                     65536,
                     9,
                     0,
                     512,
                     32,
                     132,
                     0,
                     1};
  return 0;
}
int cudaDeviceGetAttribute(int* value, int attribute, int) {
  static const std::map<int, int> known = {{1, 1024},    {8, 49152},  {10, 32},     {12, 65536},
                                           {16, 132},    {39, 2048},  {75, 9},      {76, 0},
                                           {81, 233472}, {82, 65536}, {97, 232448}, {106, 32}};
  auto found = known.find(attribute);
  return *value = found == known.end() ? 1 : found->second, 0;
}
int cudaGetDeviceCount(int* count) { return *count = 1, 0; }
int cudaGetDevice(int* device) { return *device = 0, 0; }
int cudaDriverGetVersion(int* version) { return *version = 13000, 0; }
int cudaRuntimeGetVersion(int* version) { return *version = 13000, 0; }
const char* cudaGetErrorName(int) { return "an error of the launch log"; }
const char* cudaGetErrorString(int) { return "an error of the launch log"; }
const char* cublasGetStatusName(int) { return "an error of the launch log"; }
const char* cublasGetStatusString(int) { return "an error of the launch log"; }

int cudaMemGetInfo(size_t* free_bytes, size_t* total) { return *free_bytes = *total = kMemory, 0; }
int cudaMalloc(void** pointer, size_t size) { return allocate(pointer, size); }
int cudaMallocFromPoolAsync(void** pointer, size_t size, void*, void*) {
  return allocate(pointer, size);
}
int cudaMallocHost(void** pointer, size_t size) { return allocate(pointer, size); }
int cudaHostAlloc(void** pointer, size_t size, unsigned) { return allocate(pointer, size); }
int cudaFree(void* pointer) { return free(pointer), 0; }
int cudaFreeAsync(void* pointer, void*) { return free(pointer), 0; }
int cudaFreeHost(void* pointer) { return free(pointer), 0; }
int cudaMemcpy(void* target, const void* source, size_t size, int) {
  return copy(target, source, size);
}
int cudaMemcpyAsync(void* target, const void* source, size_t size, int, void*) {
  return copy(target, source, size);
}
struct PointerAttributes {
  int type, device;
  void *on_device, *on_host;
  long reserved[8];
};
int cudaPointerGetAttributes(PointerAttributes* attributes, const void* pointer) {
  return attributes->type = 2, attributes->device = 0,
         attributes->on_device = const_cast<void*>(pointer), attributes->on_host = nullptr, 0;
}
int cudaMemPoolCreate(void** pool, const void*) { return make(pool); }
int cudaMemPoolGetAttribute(void*, int, void* value) { return *static_cast<uint64_t*>(value) = 0; }
int cudaStreamCreate(void** stream) { return make(stream); }
int cudaStreamCreateWithFlags(void** stream, unsigned) { return make(stream); }
int cudaStreamIsCapturing(void*, int* status) { return *status = 0; }
int cudaEventCreate(void** event) { return make(event); }
int cudaEventCreateWithFlags(void** event, unsigned) { return make(event); }
int cudaEventElapsedTime(float* milliseconds, void*, void*) { return *milliseconds = 1, 0; }

int cudnnCreate(void** handle) { return make(handle); }
size_t cudnnGetVersion() { return 91400; }
const char* cudnnGetErrorString(int) { return "an error of the launch log"; }

int cublasCreate_v2(void** handle) { return make(handle); }
int cublasGetMathMode(void*, int* mode) { return *mode = 0; }
int cublasLtCreate(void** handle) { return make(handle); }
int cublasLtMatmulDescCreate(void** made, int, int) { return make(made); }
int cublasLtMatmulPreferenceCreate(void** made) { return make(made); }
int cublasLtMatrixLayoutCreate(void** made, int, uint64_t, uint64_t, int64_t) { return make(made); }
int cublasLtMatrixTransformDescCreate(void** made, int) { return make(made); }
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, void*,
                                   int* found) {
  return *found = 1, 0;
}

}  // extern "C"
