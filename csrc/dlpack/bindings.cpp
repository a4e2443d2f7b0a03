// Capsules of the DLPack exchange protocol, versions 0 and 1, over memory that Python owns. The
// structures are those of the protocol's C ABI.
#include "python/bindings.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace geolrm::dlpack {
namespace {

struct Device {
  int32_t type, id;
};

struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t *shape, *strides;  // strides in elements
  uint64_t byte_offset;
};

struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};

struct ManagedVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  Tensor tensor;
};

constexpr uint64_t kIsCopied = 2;

// What lives as long as the consumer reads.
struct Kept {
  std::vector<int64_t> shape, strides;
  PyObject* owner;
};

template <class M>
struct Names;
template <>
struct Names<Managed> {
  static constexpr const char* fresh = "dltensor";
};
template <>
struct Names<ManagedVersioned> {
  static constexpr const char* fresh = "dltensor_versioned";
};

// A consumer may call it from any thread, also when the interpreter has gone.
template <class M>
void release(M* managed) {
  std::unique_ptr<Kept> kept(static_cast<Kept*>(managed->context));
  delete managed;
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(kept->owner);
  PyGILState_Release(state);
}

// A capsule that nobody consumed still has its first name.
template <class M>
void destroy(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, Names<M>::fresh)) return;
  release(static_cast<M*>(PyCapsule_GetPointer(capsule, Names<M>::fresh)));
}

template <class M>
py::object wrap(const Tensor& tensor, std::unique_ptr<Kept> kept, uint64_t flags) {
  auto managed = std::make_unique<M>();
  managed->tensor = tensor;
  managed->deleter = release<M>;
  if constexpr (std::is_same_v<M, ManagedVersioned>) {
    managed->major = 1;
    managed->flags = flags;
  }
  PyObject* capsule = PyCapsule_New(managed.get(), Names<M>::fresh, destroy<M>);
  if (!capsule) throw py::error_already_set();
  Py_INCREF(kept->owner);
  managed.release()->context = kept.release();
  return py::reinterpret_steal<py::object>(capsule);
}

// Negative sizes, and those whose product, of the other ones where one is 0, exceeds 63 bits.
void check_sizes(const std::vector<int64_t>& shape) {
  int64_t left = std::numeric_limits<int64_t>::max();
  for (const int64_t size : shape) {
    if (size < 0) {
      throw py::value_error("shape has " + std::to_string(size) + "; sizes must be 0 or more");
    }
    if (size > left) {
      throw py::value_error("shape has more than 2^63 - 1 elements, at size " +
                            std::to_string(size) + "; pass the sizes of the memory at address");
    }
    if (size > 0) left /= size;
  }
}

void check_byte(int value, const char* name) {
  if (value >= 0 && value <= 255) return;
  throw py::value_error(std::string(name) + " of dtype is " + std::to_string(value) +
                        "; it must lie in [0, 255], as DLPack's numbers do");
}

py::object make_capsule(std::uintptr_t address, const std::vector<int64_t>& shape,
                        std::pair<int, int> dtype, std::pair<int, int> device, py::object owner,
                        bool versioned, bool copied) {
  check_sizes(shape);
  check_byte(dtype.first, "the code");
  check_byte(dtype.second, "the bits");
  auto kept = std::make_unique<Kept>();
  kept->shape = shape;
  kept->strides.resize(shape.size());
  int64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0; step *= std::max<int64_t>(shape[i], 1)) {
    kept->strides[i] = step;
  }
  kept->owner = owner.ptr();
  Tensor tensor{};
  tensor.data = reinterpret_cast<void*>(address);
  tensor.device = {device.first, device.second};
  tensor.ndim = static_cast<int32_t>(shape.size());
  tensor.dtype = {static_cast<uint8_t>(dtype.first), static_cast<uint8_t>(dtype.second), 1};
  tensor.shape = kept->shape.data();
  tensor.strides = kept->strides.data();
  if (versioned) return wrap<ManagedVersioned>(tensor, std::move(kept), copied ? kIsCopied : 0);
  return wrap<Managed>(tensor, std::move(kept), 0);
}

}  // namespace

void bind(py::module_& module) {
  module.def("dlpack_capsule", &make_capsule, py::kw_only(), py::arg("address"), py::arg("shape"),
             py::arg("dtype"), py::arg("device"), py::arg("owner"), py::arg("versioned"),
             py::arg("copied"),
             "A DLPack capsule over contiguous memory. dtype: (code, bits) and device: (type, id) "
             "in DLPack's numbers; owner lives until the consumer lets go.");
}

}  // namespace geolrm::dlpack
