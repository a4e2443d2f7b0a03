// Checks of NumPy arguments: each refusal names the value, the rule and the remedy.
#pragma once

#include <pybind11/numpy.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace geolrm {

enum class Access { kRead, kWrite };

// An argument that must be a C-contiguous array; `dtypes` are accepted. TypeError for another kind
// or dtype, ValueError for another number of axes or layout, an array whose numbers do not lie at
// multiples of their size, or a read-only array to be written.
pybind11::array check_array(const pybind11::object& value, const std::string& name,
                            std::initializer_list<const char*> dtypes, int axes,
                            const std::string& layout, Access access = Access::kRead);

// An argument under its name.
struct NamedArray {
  const char* name;
  pybind11::handle array;  // what is no array, as None, shares nothing
};

// ValueError where a written array shares memory with another written or a read one: kernels read
// while they write, sizes and places among it. All have passed check_array.
void check_apart(std::initializer_list<NamedArray> written, std::initializer_list<NamedArray> read);

// ValueError unless the shape is exactly this.
void check_shape(const pybind11::array& array, const char* name,
                 std::initializer_list<int64_t> shape, const char* layout);

// The same for one dtype and a shape in which -1 is any length.
pybind11::array check_array(const pybind11::object& value, const std::string& name,
                            const char* dtype, const std::vector<int64_t>& shape, Access access);

// The elements of an argument that passes check_array; `shape` holds -1 for any length.
template <class T>
const T* elements(const pybind11::object& value, const std::string& name,
                  const std::vector<int64_t>& shape) {
  const std::string dtype = pybind11::str(pybind11::dtype::of<T>());
  return static_cast<const T*>(
      check_array(value, name, dtype.c_str(), shape, Access::kRead).data());
}
template <class T>
T* elements_to_write(const pybind11::object& value, const std::string& name,
                     const std::vector<int64_t>& shape) {
  const std::string dtype = pybind11::str(pybind11::dtype::of<T>());
  return static_cast<T*>(
      check_array(value, name, dtype.c_str(), shape, Access::kWrite).mutable_data());
}

// Channels of one of num_heads heads that share `d`. ValueError, with `subject` for d, unless heads
// divide it.
int64_t head_dim_of(int64_t d, int64_t num_heads, const std::string& subject);

// ValueError unless threads is 0, for all cores, or more.
void check_threads(int threads);

// ValueError unless value >= least.
void check_at_least(int64_t value, int64_t least, const char* name);

bool is_dtype(const pybind11::array& array, const char* dtype);

std::string shape_text(const pybind11::array& array);

}  // namespace geolrm
