// Checks of NumPy arguments: each refusal names the value, the rule and the remedy.
#pragma once

#include <pybind11/numpy.h>

#include <initializer_list>
#include <string>

namespace geolrm {

enum class Access { kRead, kWrite };

// An argument that must be a C-contiguous array; `dtypes` are accepted. TypeError for another kind
// or dtype, ValueError for another number of axes, layout, or a read-only array to be written.
pybind11::array check_array(const pybind11::object& value, const char* name,
                            std::initializer_list<const char*> dtypes, int axes, const char* layout,
                            Access access = Access::kRead);

// ValueError unless the shape is exactly this.
void check_shape(const pybind11::array& array, const char* name,
                 std::initializer_list<int64_t> shape, const char* layout);

// ValueError unless value >= least.
void check_at_least(int64_t value, int64_t least, const char* name);

bool is_dtype(const pybind11::array& array, const char* dtype);

std::string shape_text(const pybind11::array& array);

}  // namespace geolrm
