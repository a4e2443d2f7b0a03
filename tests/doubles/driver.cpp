// A CUDA driver without a GPU: device memory is the host's, and what is queued runs at once.
//
// Built as libcuda.so.1, it lets NVIDIA's own Python packages run as they are installed: every call
// that they or we make must exist and be given what the driver takes. A "cubin" of this driver is
// text: the path of an emulated kernel's library, then a line for each kernel with its name and the
// sizes of its parameters.

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotFound = 500,
              kNotSupported = 801;

struct Kernel {
  std::string name;
  void* entry;
  std::vector<int> sizes;
  int (*emulate)(void*, unsigned*, unsigned*, int, long long*, int, unsigned);
};

struct Library {
  std::map<std::string, Kernel> kernels;
};

struct Graph {
  std::vector<std::function<void()>> work;
};

int current_context = 0;
Graph* capturing = nullptr;
size_t used = 0;
std::map<void*, size_t> allocated;

// What runs is told to the file that DRIVER_DOUBLE_LOG names.
void tell(const std::string& line) {
  static const char* name = getenv("DRIVER_DOUBLE_LOG");
  if (!name) return;
  FILE* file = fopen(name, "a");
  fprintf(file, "%s\n", line.c_str());
  fclose(file);
}

int queue(std::function<void()> action) {
  if (capturing) {
    capturing->work.push_back(std::move(action));
  } else {
    action();
  }
  return kSuccess;
}

size_t memory() {
  const char* bytes = getenv("DRIVER_DOUBLE_MEMORY");
  return bytes ? strtoull(bytes, nullptr, 10) : size_t{8} << 30;
}

int allocate(void** pointer, size_t size) {
  if (used + size > memory()) return kOutOfMemory;
  *pointer = aligned_alloc(256, (size + 255) / 256 * 256);
  allocated[*pointer] = size;
  used += size;
  return kSuccess;
}

int release(void* pointer) {
  auto found = allocated.find(pointer);
  if (found == allocated.end()) return kInvalidValue;
  used -= found->second;
  allocated.erase(found);
  free(pointer);
  return kSuccess;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return kSuccess; }
int cuDriverGetVersion(int* version) { return *version = 13000, kSuccess; }
int cuDeviceGetCount(int* count) { return *count = 1, kSuccess; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, kSuccess; }
int cuDeviceGetName(char* name, int size, int) {
  snprintf(name, size, "GPU double");
  return kSuccess;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = memory(), kSuccess; }
int cuDeviceGetUuid_v2(char* uuid, int) { return memset(uuid, 1, 16), kSuccess; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : 1;
  return kSuccess;
}
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &current_context, kSuccess; }
int cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }
int cuCtxGetCurrent(void** context) {
  return *context = current_context ? &current_context : nullptr, kSuccess;
}
int cuCtxSetCurrent(void* context) { return current_context = context != nullptr, kSuccess; }
int cuCtxPushCurrent_v2(void*) { return current_context = 1, kSuccess; }
int cuCtxPopCurrent_v2(void** context) { return *context = &current_context, kSuccess; }
int cuCtxGetDevice(int* device) { return *device = 0, kSuccess; }
int cuCtxGetStreamPriorityRange(int* low, int* high) { return *low = *high = 0, kSuccess; }
int cuGetErrorName(int status, const char** text) {
  return *text = status == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR", kSuccess;
}
int cuGetErrorString(int status, const char** text) {
  return *text = status == kOutOfMemory ? "out of memory" : "an error of the double", kSuccess;
}

int cuStreamCreateWithPriority(void** stream, unsigned, int) {
  return *stream = new char, kSuccess;
}
int cuStreamDestroy_v2(void* stream) { return delete static_cast<char*>(stream), kSuccess; }
int cuStreamSynchronize(void*) { return capturing ? kInvalidValue : kSuccess; }
int cuStreamGetCtx(void*, void** context) { return *context = &current_context, kSuccess; }
int cuStreamGetFlags(void*, unsigned* flags) { return *flags = 1, kSuccess; }
int cuStreamGetPriority(void*, int* priority) { return *priority = 0, kSuccess; }

// An event holds the host's time when it was recorded: what was queued before has run by then.
int cuEventCreate(void** event, unsigned) { return *event = new timespec{}, kSuccess; }
int cuEventDestroy_v2(void* event) { return delete static_cast<timespec*>(event), kSuccess; }
int cuEventRecord(void* event, void*) {
  return capturing ? kInvalidValue
                   : (clock_gettime(CLOCK_MONOTONIC, static_cast<timespec*>(event)), kSuccess);
}
int cuEventSynchronize(void*) { return kSuccess; }
int cuEventElapsedTime_v2(float* milliseconds, void* first, void* last) {
  const auto *from = static_cast<timespec*>(first), *to = static_cast<timespec*>(last);
  *milliseconds = 1e3f * static_cast<float>(to->tv_sec - from->tv_sec) +
                  1e-6f * static_cast<float>(to->tv_nsec - from->tv_nsec);
  return kSuccess;
}

int cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  return *free_bytes = memory() - used, *total = memory(), kSuccess;
}
int cuMemAllocHost_v2(void** pointer, size_t size) {
  return *pointer = aligned_alloc(256, (size + 255) / 256 * 256), kSuccess;
}
int cuMemFreeHost(void* pointer) { return free(pointer), kSuccess; }
int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = &used, kSuccess; }
int cuDeviceGetMemPool(void** pool, int) { return *pool = &used, kSuccess; }
int cuMemPoolGetAttribute(void*, int, void* value) { return *(uint64_t*)value = 0, kSuccess; }
int cuMemPoolSetAttribute(void*, int, void*) { return kSuccess; }
int cuMemPoolTrimTo(void*, size_t kept) { return tell("trim " + std::to_string(kept)), kSuccess; }
int cuMemAllocFromPoolAsync(void** pointer, size_t size, void*, void*) {
  return capturing ? kInvalidValue : allocate(pointer, size);
}
int cuMemAllocAsync(void** pointer, size_t size, void*) { return allocate(pointer, size); }
int cuMemFreeAsync(void* pointer, void*) { return release(pointer); }
int cuMemcpyAsync(void* target, void* source, size_t size, void*) {
  return queue([=] { memcpy(target, source, size); });
}
int cuMemsetD8Async(void* target, unsigned char value, size_t size, void*) {
  return queue([=] { memset(target, value, size); });
}

int cuLibraryLoadData(void** library, const void* code, void*, void*, unsigned, void*, void*,
                      unsigned) {
  std::istringstream text(static_cast<const char*>(code));
  std::string path, line;
  std::getline(text, path);
  void* loaded = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW);
  auto* made = new Library;
  while (std::getline(text, line)) {
    std::istringstream words(line);
    Kernel kernel;
    words >> kernel.name;
    for (int size; words >> size;) kernel.sizes.push_back(size);
    kernel.entry = loaded ? dlsym(loaded, kernel.name.c_str()) : nullptr;
    kernel.emulate = loaded ? (decltype(kernel.emulate))dlsym(loaded, "emulate") : nullptr;
    made->kernels[kernel.name] = kernel;
  }
  *library = made;
  return kSuccess;
}
int cuLibraryUnload(void*) { return kSuccess; }
int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  auto& kernels = static_cast<Library*>(library)->kernels;
  auto found = kernels.find(name);
  if (found == kernels.end()) return kNotFound;
  *kernel = &found->second;
  return kSuccess;
}
int cuKernelGetFunction(void** function, void* kernel) { return *function = kernel, kSuccess; }
int cuKernelGetAttribute(int* value, int, void*, int) { return *value = 0, kSuccess; }

struct Config {  // CUlaunchConfig
  unsigned grid[3], block[3], shared;
  void* stream;
  void* attributes;
  unsigned num_attributes;
};

int cuLaunchKernelEx(const Config* config, void* function, void** parameters, void**) {
  const Kernel& kernel = *static_cast<Kernel*>(function);
  std::vector<long long> values;
  for (size_t i = 0; i < kernel.sizes.size(); ++i) {
    long long value = 0;
    memcpy(&value, parameters[i], kernel.sizes[i]);
    values.push_back(kernel.sizes[i] == 4 ? (long long)(int)value : value);
  }
  Config geometry = *config;
  return queue([=, &kernel]() mutable {
    std::ostringstream line;
    line << kernel.name;
    for (unsigned side : geometry.grid) line << ' ' << side;
    for (unsigned side : geometry.block) line << ' ' << side;
    line << ' ' << geometry.shared;
    tell(line.str());
    if (kernel.emulate && kernel.emulate(kernel.entry, geometry.grid, geometry.block,
                                         geometry.shared, values.data(), values.size(), 0)) {
      fprintf(stderr, "the emulated %s failed\n", kernel.name.c_str());
      abort();
    }
  });
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void* stream, void** parameters, void** extra) {
  Config config{{gx, gy, gz}, {bx, by, bz}, shared, stream, nullptr, 0};
  return cuLaunchKernelEx(&config, function, parameters, extra);
}

int cuStreamBeginCapture_v2(void*, int) { return capturing = new Graph, kSuccess; }
int cuStreamEndCapture(void*, void** graph) {
  return *graph = capturing, capturing = nullptr, kSuccess;
}
int cuStreamGetCaptureInfo_v3(void*, int* status, uint64_t* id, void** graph, void*, void*,
                              size_t* count) {
  *status = capturing ? 1 : 0;
  if (id) *id = 1;
  if (graph) *graph = capturing;
  if (count) *count = 0;
  return kSuccess;
}
int cuStreamGetCaptureInfo_v2(void* stream, int* status, uint64_t* id, void** graph, void* nodes,
                              size_t* count) {
  return cuStreamGetCaptureInfo_v3(stream, status, id, graph, nodes, nullptr, count);
}
int cuStreamIsCapturing(void*, int* status) { return *status = capturing ? 1 : 0, kSuccess; }
int cuGraphInstantiateWithParams(void** executable, void* graph, void* parameters) {
  *executable = new Graph(*static_cast<Graph*>(graph));
  // result_out of CUDA_GRAPH_INSTANTIATE_PARAMS: after flags, stream and node.
  *reinterpret_cast<int*>(static_cast<char*>(parameters) + 24) = 0;
  return kSuccess;
}
int cuGraphLaunch(void* executable, void*) {
  tell("graph");
  for (auto& work : static_cast<Graph*>(executable)->work) work();
  return kSuccess;
}
int cuUserObjectCreate(void** object, void*, void*, unsigned, unsigned) {
  return *object = new char, kSuccess;  // what a graph keeps alive stays alive for good
}
int cuUserObjectRetain(void*, unsigned) { return kSuccess; }
int cuUserObjectRelease(void*, unsigned) { return kSuccess; }
int cuGraphReleaseUserObject(void*, void*, unsigned) { return kSuccess; }
int cuGraphRetainUserObject(void*, void*, unsigned, unsigned) { return kSuccess; }
int cuGraphExecDestroy(void*) { return kSuccess; }
int cuGraphDestroy(void*) { return kSuccess; }

}  // extern "C"

// Calls that are not known fail by name, and only where they are made.
std::vector<std::string> unknown;
template <int N>
int refuse() {
  tell("unknown call: " + unknown[N]);
  return kNotSupported;
}
template <int... N>
std::vector<void*> refusals(std::integer_sequence<int, N...>) {
  return {reinterpret_cast<void*>(refuse<N>)...};
}

extern "C" {

int cuGetExportTable(const void** table, const void*) { return *table = nullptr, kNotFound; }

int cuGetProcAddress_v2(const char* name, void** function, int, unsigned long long, int* status) {
  for (const char* version : {"_v3", "_v2", ""}) {
    *function = dlsym(RTLD_DEFAULT, (std::string(name) + version).c_str());
    if (!*function) {
      static void* self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
      *function = dlsym(self, (std::string(name) + version).c_str());
    }
    if (*function) break;
  }
  if (!*function) {
    static const auto all = refusals(std::make_integer_sequence<int, 1024>());
    unknown.push_back(name);
    *function = all.at(unknown.size() - 1);
  }
  if (status) *status = 0;
  return kSuccess;
}
}
