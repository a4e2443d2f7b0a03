#include "python/bindings.h"

#include "python/array_checks.h"
#include "self_attention/self_attention.h"

namespace py = pybind11;

namespace geolrm {
namespace {

void attend(const py::object& q, const py::object& k, const py::object& v, int64_t num_heads,
            const py::object& out, int threads, const std::string& isa) {
  check_threads(threads);
  const py::array query = check_array(q, "q", {"float32"}, 2, "[N, h*e]");
  const py::array key = check_array(k, "k", {"float32"}, 2, "[N, h*e]");
  const py::array value = check_array(v, "v", {"float32"}, 2, "[N, h*e]");
  py::array target = check_array(out, "out", {"float32"}, 2, "[N, h*e]", Access::kWrite);
  const int64_t queries = query.shape(0), d = query.shape(1);
  const int64_t head_dim = head_dim_of(d, num_heads, "the width of q, " + std::to_string(d));
  check_shape(key, "k", {queries, d}, "[N, h*e]");
  check_shape(value, "v", {queries, d}, "[N, h*e]");
  check_shape(target, "out", {queries, d}, "[N, h*e]");
  check_apart({{"out", target}}, {{"q", query}, {"k", key}, {"v", value}});
  const SelfAttention call{queries,
                           num_heads,
                           head_dim,
                           static_cast<const float*>(query.data()),
                           static_cast<const float*>(key.data()),
                           static_cast<const float*>(value.data()),
                           static_cast<float*>(target.mutable_data())};
  py::gil_scoped_release released;
  self_attention(call, threads, isa);
}

}  // namespace

void bind_self_attention(py::module_& module) {
  module.def("self_attention", attend, py::arg("q"), py::arg("k"), py::arg("v"),
             py::arg("num_heads"), py::arg("out"), py::arg("threads") = 0, py::arg("isa") = "",
             R"(softmax(q k^T / sqrt(e)) v for each head, into `out`; not causal.

q, k, v, out [N, num_heads * e] float32, heads in contiguous blocks; out may not share memory with
the others. Memory grows with N alone. The result does not depend on `threads`.)");
}

}  // namespace geolrm
