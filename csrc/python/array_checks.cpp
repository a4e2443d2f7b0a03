#include "python/array_checks.h"

#include <vector>

namespace py = pybind11;

namespace geolrm {
namespace {

std::string join(const std::vector<int64_t>& sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + "]";
}

std::vector<int64_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

}  // namespace

bool is_dtype(const py::array& array, const char* dtype) {
  return array.dtype().equal(py::dtype(dtype));
}

std::string shape_text(const py::array& array) { return join(shape_of(array)); }

py::array check_array(const py::object& value, const std::string& name,
                      std::initializer_list<const char*> dtypes, int axes,
                      const std::string& layout, Access access) {
  std::string accepted;
  for (const char* dtype : dtypes)
    accepted += (accepted.empty() ? "" : " or ") + std::string(dtype);
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(name + " is a " +
                         py::str(py::type::of(value).attr("__name__")).cast<std::string>() +
                         "; it must be a NumPy array of " + accepted + ": pass np.asarray(" + name +
                         ", np." + *dtypes.begin() + ")");
  }
  py::array array = py::reinterpret_borrow<py::array>(value);
  bool known = false;
  for (const char* dtype : dtypes) known = known || is_dtype(array, dtype);
  if (!known) {
    throw py::type_error(name + " has dtype " + py::str(array.dtype()).cast<std::string>() +
                         "; it must be " + accepted + ": convert it with " + name + ".astype(np." +
                         *dtypes.begin() + ")");
  }
  if (array.ndim() != axes) {
    throw py::value_error(name + " has shape " + shape_text(array) + "; it must be " + layout +
                          ": reshape it to " + std::to_string(axes) + " axes");
  }
  if (!(array.flags() & py::array::c_style)) {
    throw py::value_error(name + " is not C-contiguous; it must be: pass np.ascontiguousarray(" +
                          name + ")");
  }
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    throw py::value_error(name + " is not aligned in memory; it must be: pass a copy");
  }
  if (access == Access::kWrite && !array.writeable()) {
    throw py::value_error(name + " is read-only; it must be writable: pass a copy");
  }
  return array;
}

py::array check_array(const py::object& value, const std::string& name, const char* dtype,
                      const std::vector<int64_t>& shape, Access access) {
  std::string layout = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    layout += (i ? ", " : "") + (shape[i] < 0 ? std::string("N") : std::to_string(shape[i]));
  }
  layout += "]";
  const py::array array =
      check_array(value, name, {dtype}, static_cast<int>(shape.size()), layout, access);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0 || array.shape(static_cast<py::ssize_t>(i)) == shape[i]) continue;
    throw py::value_error(name + " has shape " + shape_text(array) + "; it must be " + layout);
  }
  return array;
}

void check_apart(std::initializer_list<NamedArray> written,
                 std::initializer_list<NamedArray> read) {
  const auto check = [](const NamedArray& out, const NamedArray& other) {
    if (!py::isinstance<py::array>(out.array) || !py::isinstance<py::array>(other.array)) return;
    const auto a = py::reinterpret_borrow<py::array>(out.array);
    const auto b = py::reinterpret_borrow<py::array>(other.array);
    if (a.size() == 0 || b.size() == 0) return;
    const uintptr_t a_begin = reinterpret_cast<uintptr_t>(a.data()),
                    b_begin = reinterpret_cast<uintptr_t>(b.data());
    if (a_begin >= b_begin + static_cast<uintptr_t>(b.nbytes()) ||
        b_begin >= a_begin + static_cast<uintptr_t>(a.nbytes())) {
      return;
    }
    throw py::value_error(std::string(out.name) + " shares memory with " + other.name +
                          "; it is written, so it must not: pass an array of its own");
  };
  for (const NamedArray* out = written.begin(); out != written.end(); ++out) {
    for (const NamedArray* other = out + 1; other != written.end(); ++other) check(*out, *other);
    for (const NamedArray& other : read) check(*out, other);
  }
}

int64_t head_dim_of(int64_t d, int64_t num_heads, const std::string& subject) {
  check_at_least(num_heads, 1, "num_heads");
  if (d < 1 || d % num_heads != 0) {
    throw py::value_error("num_heads is " + std::to_string(num_heads) + "; it must divide " +
                          subject + ": pass the model's number of heads");
  }
  return d / num_heads;
}

void check_threads(int threads) {
  if (threads >= 0) return;
  throw py::value_error("threads is " + std::to_string(threads) +
                        "; it must be 0 (all cores) or more");
}

void check_shape(const py::array& array, const char* name, std::initializer_list<int64_t> shape,
                 const char* layout) {
  const std::vector<int64_t> wanted(shape);
  if (shape_of(array) == wanted) return;
  throw py::value_error(std::string(name) + " has shape " + shape_text(array) + "; it must be " +
                        layout + " = " + join(wanted) + " to fit the other arguments");
}

void check_at_least(int64_t value, int64_t least, const char* name) {
  if (value >= least) return;
  throw py::value_error(std::string(name) + " is " + std::to_string(value) +
                        "; it must be at least " + std::to_string(least));
}

}  // namespace geolrm
