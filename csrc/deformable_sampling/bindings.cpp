#include "python/bindings.h"

#include "deformable_sampling/deformable_sampling.h"
#include "python/array_checks.h"
#include "python/feature_levels.h"

namespace py = pybind11;

namespace geolrm {
namespace {

const float* floats(const py::array& a) { return static_cast<const float*>(a.data()); }
float* floats_to_write(py::array& a) { return static_cast<float*>(a.mutable_data()); }

// The operator's own arguments, checked; the arrays must outlive the result.
DeformableSampling checked(const py::array& value, const py::array& level_shapes,
                           const py::array& reference, const py::array& offsets,
                           const py::array& weights, int64_t num_heads) {
  DeformableSampling op{};
  set_levels(op, level_shapes);
  op.views = value.shape(0);
  op.queries = reference.shape(1);
  op.heads = num_heads;
  const int64_t d = value.shape(2);
  op.head_dim = head_dim_of(d, num_heads, "the width of value, " + std::to_string(d));
  check_shape(value, "value", {op.views, op.pixels, d},
              "[V, L, h*e] with L the sum of H*W over level_shapes");
  const int64_t group = num_heads * op.levels;
  op.points = points_of(weights, "weights", group);
  check_shape(reference, "reference", {op.views, op.queries, 2}, "[V, N, 2]");
  check_shape(offsets, "offsets", {op.queries, group * op.points * 2}, "[N, h*levels*P*2]");
  check_shape(weights, "weights", {op.queries, group * op.points}, "[N, h*levels*P]");
  op.value = floats(value);
  op.reference = floats(reference);
  op.offsets = floats(offsets);
  op.weights = floats(weights);
  return op;
}

py::array read_value(const py::object& a) {
  return check_array(a, "value", {"float32"}, 3, "[V, L, h*e]");
}
py::array read_shapes(const py::object& a) {
  return check_array(a, "level_shapes", {"int64"}, 2, "[levels, 2]");
}
py::array read_reference(const py::object& a) {
  return check_array(a, "reference", {"float32"}, 3, "[V, N, 2]");
}
py::array read_offsets(const py::object& a) {
  return check_array(a, "offsets", {"float32"}, 2, "[N, h*levels*P*2]");
}
py::array read_weights(const py::object& a) {
  return check_array(a, "weights", {"float32"}, 2, "[N, h*levels*P]");
}

void sample(const py::object& value, const py::object& level_shapes, const py::object& reference,
            const py::object& offsets, const py::object& weights, int64_t num_heads,
            const py::object& out, int threads, const std::string& isa) {
  check_threads(threads);
  const py::array val = read_value(value), shapes = read_shapes(level_shapes),
                  refs = read_reference(reference), shifts = read_offsets(offsets),
                  shares = read_weights(weights);
  py::array target = check_array(out, "out", {"float32"}, 3, "[V, N, h*e]", Access::kWrite);
  const DeformableSampling op = checked(val, shapes, refs, shifts, shares, num_heads);
  check_shape(target, "out", {op.views, op.queries, val.shape(2)}, "[V, N, h*e]");
  check_apart({{"out", target}}, {{"value", val},
                                  {"level_shapes", shapes},
                                  {"reference", refs},
                                  {"offsets", shifts},
                                  {"weights", shares}});
  float* data = floats_to_write(target);
  py::gil_scoped_release released;
  deformable_sampling(op, data, threads, isa);
}

void differentiate(const py::object& value, const py::object& level_shapes,
                   const py::object& reference, const py::object& offsets,
                   const py::object& weights, int64_t num_heads, const py::object& g_out,
                   const py::object& g_value, const py::object& g_offsets,
                   const py::object& g_weights, int threads, const std::string& isa) {
  check_threads(threads);
  const py::array val = read_value(value), shapes = read_shapes(level_shapes),
                  refs = read_reference(reference), shifts = read_offsets(offsets),
                  shares = read_weights(weights);
  const py::array upstream = check_array(g_out, "g_out", {"float32"}, 3, "[V, N, h*e]");
  py::array to_value =
      check_array(g_value, "g_value", {"float32"}, 3, "[V, L, h*e]", Access::kWrite);
  py::array to_offsets =
      check_array(g_offsets, "g_offsets", {"float32"}, 2, "[N, h*levels*P*2]", Access::kWrite);
  py::array to_weights =
      check_array(g_weights, "g_weights", {"float32"}, 2, "[N, h*levels*P]", Access::kWrite);
  const DeformableSampling op = checked(val, shapes, refs, shifts, shares, num_heads);
  const int64_t d = val.shape(2), samples = shares.shape(1);
  check_shape(upstream, "g_out", {op.views, op.queries, d}, "[V, N, h*e]");
  check_shape(to_value, "g_value", {op.views, op.pixels, d}, "[V, L, h*e]");
  check_shape(to_offsets, "g_offsets", {op.queries, 2 * samples}, "[N, h*levels*P*2]");
  check_shape(to_weights, "g_weights", {op.queries, samples}, "[N, h*levels*P]");
  check_apart({{"g_value", to_value}, {"g_offsets", to_offsets}, {"g_weights", to_weights}},
              {{"value", val},
               {"level_shapes", shapes},
               {"reference", refs},
               {"offsets", shifts},
               {"weights", shares},
               {"g_out", upstream}});
  const DeformableSamplingGradients gradients{floats(upstream), floats_to_write(to_value),
                                              floats_to_write(to_offsets),
                                              floats_to_write(to_weights)};
  py::gil_scoped_release released;
  deformable_sampling_backward(op, gradients, threads, isa);
}

}  // namespace

void bind_deformable_sampling(py::module_& module) {
  module.def("deformable_sampling", sample, py::arg("value"), py::arg("level_shapes"),
             py::arg("reference"), py::arg("offsets"), py::arg("weights"), py::arg("num_heads"),
             py::arg("out"), py::arg("threads") = 0, py::arg("isa") = "",
             R"(Sample every view around each query and weigh the samples, into `out` [V, N, h*e].

value [V, L, h*e], heads in contiguous blocks, L = sum of H*W over level_shapes [levels, 2] int64
(H, W); reference [V, N, 2], (u, v), [0, 1] inside; offsets [N, h*levels*P*2], (x, y) in pixels of
the level; weights [N, h*levels*P], used as they are. All float32. Bilinear, zeros outside; samples
of a NaN or infinite reference or offset count as zero. The result does not depend on `threads`.)");
  module.def("deformable_sampling_backward", differentiate, py::arg("value"),
             py::arg("level_shapes"), py::arg("reference"), py::arg("offsets"), py::arg("weights"),
             py::arg("num_heads"), py::arg("g_out"), py::arg("g_value"), py::arg("g_offsets"),
             py::arg("g_weights"), py::arg("threads") = 0, py::arg("isa") = "",
             R"(Add the gradients of deformable_sampling to g_value, g_offsets and g_weights.

g_out [V, N, h*e] is the loss's gradient by out; the others have the shapes of value, offsets and
weights and must not overlap. At a kink (a sample on a pixel's centre) the derivative is the one to
the right. There is none by reference. The result does not depend on `threads`.)");
}

}  // namespace geolrm
