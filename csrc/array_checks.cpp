#include "array_checks.h"

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

py::array check_array(const py::object& value, const char* name,
                      std::initializer_list<const char*> dtypes, int axes, const char* layout,
                      Access access) {
  const std::string subject(name);
  std::string accepted;
  for (const char* dtype : dtypes)
    accepted += (accepted.empty() ? "" : " or ") + std::string(dtype);
  if (!py::isinstance<py::array>(value)) {
    throw py::type_error(subject + " is a " +
                         py::str(py::type::of(value).attr("__name__")).cast<std::string>() +
                         "; it must be a NumPy array of " + accepted + ": pass np.asarray(" +
                         subject + ", np." + *dtypes.begin() + ")");
  }
  py::array array = py::reinterpret_borrow<py::array>(value);
  bool known = false;
  for (const char* dtype : dtypes) known = known || is_dtype(array, dtype);
  if (!known) {
    throw py::type_error(subject + " has dtype " + py::str(array.dtype()).cast<std::string>() +
                         "; it must be " + accepted + ": convert it with " + subject +
                         ".astype(np." + *dtypes.begin() + ")");
  }
  if (array.ndim() != axes) {
    throw py::value_error(subject + " has shape " + shape_text(array) + "; it must be " + layout +
                          ": reshape it to " + std::to_string(axes) + " axes");
  }
  if (!(array.flags() & py::array::c_style)) {
    throw py::value_error(subject + " is not C-contiguous; it must be: pass np.ascontiguousarray(" +
                          subject + ")");
  }
  if (access == Access::kWrite && !array.writeable()) {
    throw py::value_error(subject + " is read-only; it must be writable: pass a copy");
  }
  return array;
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
