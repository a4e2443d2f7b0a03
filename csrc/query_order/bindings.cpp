#include "python/bindings.h"

#include <cstring>

#include "python/array_checks.h"
#include "query_order/query_order.h"

namespace py = pybind11;

namespace geolrm {
namespace {

py::array_t<int32_t> order(const py::object& reference_points) {
  const py::array refs =
      check_array(reference_points, "reference_points", {"float32"}, 3, "[V, N, 2]");
  check_shape(refs, "reference_points", {refs.shape(0), refs.shape(1), 2}, "[V, N, 2]");
  check_at_least(refs.shape(0), 1, "the number of views, reference_points.shape[0],");
  if (refs.shape(1) >= int64_t{1} << 31) {
    throw py::value_error("reference_points has " + std::to_string(refs.shape(1)) +
                          " queries; it must have fewer than 2^31: split the call");
  }
  const std::vector<int32_t> order =
      query_order({refs.shape(0), refs.shape(1), static_cast<const float*>(refs.data())});
  return py::array_t<int32_t>(static_cast<py::ssize_t>(order.size()), order.data());
}

}  // namespace

void bind_query_order(py::module_& module) {
  module.def("query_order", order, py::arg("reference_points"),
             R"(Return the order in which deformable_cross_attention takes its queries, int32 [N].

Along a Z-order curve over (u, v) of the first view and, of three views or more, u of a second one,
7 bits each; equal places by index. reference_points [V, N, 2] float32. No result depends on it.)");
}

}  // namespace geolrm
