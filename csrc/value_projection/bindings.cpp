#include "python/bindings.h"

#include "python/array_checks.h"
#include "python/initialised.h"
#include "value_projection/value_projection.h"

GEOLRM_BOUND_CLASS(geolrm::ValueProjection)

namespace py = pybind11;

namespace geolrm {
namespace {

ValueProjection make(const py::object& weight, const py::object& bias, int64_t num_heads) {
  py::array w = check_array(weight, "weight", {"float32", "float16"}, 2, "[d, C]");
  const py::array b = check_array(bias, "bias", {"float32"}, 1, "[d]");
  const int64_t d = w.shape(0);
  check_at_least(d, 1, "d, weight.shape[0],");
  check_at_least(w.shape(1), 1, "C, weight.shape[1],");
  const int64_t head_dim =
      head_dim_of(d, num_heads, "d = " + std::to_string(d) + ", the rows of weight");
  check_shape(b, "bias", {d}, "[d]");
  w = py::array_t<float, py::array::c_style | py::array::forcecast>(w);
  return ValueProjection(static_cast<const float*>(w.data()), static_cast<const float*>(b.data()),
                         num_heads, head_dim, w.shape(1));
}

void project(const ValueProjection& self, const py::object& features, const py::object& touched,
             const py::object& out, int threads, const std::string& isa) {
  check_threads(threads);
  const py::array f = check_array(features, "features", {"float32"}, 3, "[V, L, C]");
  const int64_t views = f.shape(0), pixels = f.shape(1);
  check_shape(f, "features", {views, pixels, self.channels()}, "[V, L, C]");
  const uint8_t* rows = nullptr;
  py::array map;
  if (!touched.is_none()) {
    map = check_array(touched, "touched", {"uint8"}, 2, "[V, L]");
    check_shape(map, "touched", {views, pixels}, "[V, L]");
    rows = static_cast<const uint8_t*>(map.data());
  }
  py::array target =
      check_array(out, "out", {"float32", "float16"}, 4, "[V, h, L, e]", Access::kWrite);
  check_shape(target, "out", {views, self.heads(), pixels, self.head_dim()}, "[V, h, L, e]");
  check_apart({{"out", target}}, {{"features", f}, {"touched", touched}});
  const float* from = static_cast<const float*>(f.data());
  void* to = target.mutable_data();
  const bool half = is_dtype(target, "float16");
  py::gil_scoped_release released;
  if (half) {
    self.project(from, rows, static_cast<Half*>(to), views, pixels, threads, isa);
  } else {
    self.project(from, rows, static_cast<float*>(to), views, pixels, threads, isa);
  }
}

}  // namespace

void bind_value_projection(py::module_& module) {
  py::class_<ValueProjection>(module, "ValueProjection",
                              R"(values = features W^T + b, head-major, at the rows that are read.

weight [d, C] float32 or float16 and bias [d] float32 are packed once; d = num_heads * e.)")
      .def(py::init(&make), py::arg("weight"), py::arg("bias"), py::arg("num_heads"))
      .def("__call__", project, py::arg("features"), py::arg("touched"), py::arg("out"),
           py::arg("threads") = 0, py::arg("isa") = "",
           R"(Project features [V, L, C] float32 into out [V, h, L, e], float32 or float16.

touched [V, L] uint8 chooses the rows, None all of them; the others are left as they are. A row's
result depends on neither the other rows nor `threads`.)")
      .def("__repr__", [](const ValueProjection& self) {
        return "ValueProjection(heads=" + std::to_string(self.heads()) +
               ", head_dim=" + std::to_string(self.head_dim()) +
               ", channels=" + std::to_string(self.channels()) + ")";
      });
}

}  // namespace geolrm
