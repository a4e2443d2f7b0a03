#include "python/bindings.h"

#include <pybind11/numpy.h>

#include "deformable_cross_attention/deformable_cross_attention.h"
#include "deformable_cross_attention/deformable_cross_attention_kernel.h"
#include "python/array_checks.h"
#include "python/feature_levels.h"

namespace py = pybind11;

namespace geolrm {
namespace {

const float* floats(const py::array& a) { return static_cast<const float*>(a.data()); }

// reference_points [V, N, 2] and sampling_offsets [N, h * levels * P * 2], known but for N and V.
void set_samples(DeformableCrossAttention& op, const py::array& reference_points,
                 const py::array& sampling_offsets) {
  op.views = reference_points.shape(0);
  op.queries = reference_points.shape(1);
  if (op.queries >= int64_t{1} << 31) {
    throw py::value_error("reference_points has " + std::to_string(op.queries) +
                          " queries; it must have fewer than 2^31: split the call");
  }
  check_shape(reference_points, "reference_points", {op.views, op.queries, 2}, "[V, N, 2]");
  check_shape(sampling_offsets, "sampling_offsets",
              {op.queries, op.heads * op.levels * op.points * 2}, "[N, h*levels*P*2]");
  op.reference_points = floats(reference_points);
  op.sampling_offsets = floats(sampling_offsets);
}

void attend(const py::object& values, const py::object& level_shapes,
            const py::object& reference_points, const py::object& sampling_offsets,
            const py::object& attention_logits, const py::object& view_weight, float view_bias,
            const py::object& out, int threads, const std::string& isa) {
  check_threads(threads);
  const py::array val = check_array(values, "values", {"float32", "float16"}, 4, "[V, h, L, e]");
  const py::array shapes = check_array(level_shapes, "level_shapes", {"int64"}, 2, "[levels, 2]");
  const py::array refs =
      check_array(reference_points, "reference_points", {"float32"}, 3, "[V, N, 2]");
  const py::array offsets =
      check_array(sampling_offsets, "sampling_offsets", {"float32"}, 2, "[N, h*levels*P*2]");
  const py::array logits =
      check_array(attention_logits, "attention_logits", {"float32"}, 2, "[N, h*levels*P]");
  const py::array weight = check_array(view_weight, "view_weight", {"float32"}, 1, "[h*e]");
  const py::array target = check_array(out, "out", {"float32"}, 2, "[N, h*e]", Access::kWrite);
  DeformableCrossAttention op{};
  set_levels(op, shapes);
  op.heads = val.shape(1);
  op.head_dim = val.shape(3);
  check_at_least(val.shape(0), 1, "the number of views, values.shape[0],");
  check_at_least(op.heads, 1, "the number of heads, values.shape[1],");
  check_at_least(op.head_dim, 1, "head_dim, values.shape[3],");
  check_shape(val, "values", {val.shape(0), op.heads, op.pixels, op.head_dim},
              "[V, h, L, e] with L the sum of H*W over level_shapes");
  const int64_t group = op.heads * op.levels;
  op.points = points_of(logits, "attention_logits", group);
  check_shape(refs, "reference_points", {val.shape(0), refs.shape(1), 2}, "[V, N, 2]");
  set_samples(op, refs, offsets);
  check_shape(logits, "attention_logits", {op.queries, group * op.points}, "[N, h*levels*P]");
  check_shape(weight, "view_weight", {op.heads * op.head_dim}, "[h*e]");
  check_shape(target, "out", {op.queries, op.heads * op.head_dim}, "[N, h*e]");
  check_apart({{"out", target}}, {{"values", val},
                                  {"level_shapes", shapes},
                                  {"reference_points", refs},
                                  {"sampling_offsets", offsets},
                                  {"attention_logits", logits},
                                  {"view_weight", weight}});
  if (is_dtype(val, "float32")) {
    op.values = floats(val);
  } else {
    op.values_half = static_cast<const Half*>(val.data());
  }
  op.attention_logits = floats(logits);
  op.view_weight = floats(weight);
  op.view_bias = view_bias;
  op.out = static_cast<float*>(py::array(target).mutable_data());
  py::gil_scoped_release released;
  deformable_cross_attention(op, threads, isa);
}

void mark(const py::object& level_shapes, const py::object& reference_points,
          const py::object& sampling_offsets, int64_t num_heads, int64_t num_points,
          const py::object& touched, int threads, const std::string& isa) {
  check_threads(threads);
  const py::array shapes = check_array(level_shapes, "level_shapes", {"int64"}, 2, "[levels, 2]");
  const py::array refs =
      check_array(reference_points, "reference_points", {"float32"}, 3, "[V, N, 2]");
  const py::array offsets =
      check_array(sampling_offsets, "sampling_offsets", {"float32"}, 2, "[N, h*levels*P*2]");
  py::array map = check_array(touched, "touched", {"uint8"}, 2, "[V, L]", Access::kWrite);
  check_at_least(num_heads, 1, "num_heads");
  check_at_least(num_points, 1, "num_points");
  DeformableCrossAttention op{};
  set_levels(op, shapes);
  // Compared by division: the product of numbers that no array bounds may exceed 64 bits.
  const int64_t numbers = offsets.shape(1) / op.levels / 2;
  if (num_heads > numbers || num_points > numbers / num_heads) {
    throw py::value_error(
        "sampling_offsets has shape " + shape_text(offsets) +
        "; it must be [N, h*levels*P*2] for num_heads = " + std::to_string(num_heads) +
        ", num_points = " + std::to_string(num_points) + " and " + std::to_string(op.levels) +
        " levels");
  }
  op.heads = num_heads;
  op.points = num_points;
  set_samples(op, refs, offsets);
  check_shape(map, "touched", {op.views, op.pixels}, "[V, L]");
  check_apart(
      {{"touched", map}},
      {{"level_shapes", shapes}, {"reference_points", refs}, {"sampling_offsets", offsets}});
  uint8_t* data = static_cast<uint8_t*>(map.mutable_data());
  py::gil_scoped_release released;
  mark_touched(op, data, threads, isa);
}

}  // namespace

void bind_deformable_cross_attention(py::module_& module) {
  module.def("deformable_cross_attention", attend, py::arg("values"), py::arg("level_shapes"),
             py::arg("reference_points"), py::arg("sampling_offsets"), py::arg("attention_logits"),
             py::arg("view_weight"), py::arg("view_bias"), py::arg("out"), py::arg("threads") = 0,
             py::arg("isa") = "",
             R"(Sample every view around each query and fuse the views by a softmax, into `out`.

values [V, h, L, e] float32 or float16, head-major, L = sum of H*W over level_shapes [levels, 2]
int64 (H, W); reference_points [V, N, 2] float32, (u, v) of each view, [0, 1] inside;
sampling_offsets [N, h*levels*P*2] float32, (x, y) in pixels of the level; attention_logits
[N, h*levels*P] float32; view_weight [h*e] float32 and view_bias give a view's logit; out [N, h*e]
float32. Samples outside an image count as zero, as do those of a NaN or infinite reference point;
their view keeps its place in the softmax. The result does not depend on `threads`.)");
  module.def(
      "mark_touched", mark, py::arg("level_shapes"), py::arg("reference_points"),
      py::arg("sampling_offsets"), py::arg("num_heads"), py::arg("num_points"), py::arg("touched"),
      py::arg("threads") = 0, py::arg("isa") = "",
      R"(Set touched [V, L] uint8 to 1 at the pixels deformable_cross_attention reads, else 0.

The arguments are those of deformable_cross_attention. A pixel next to an image's edge may be marked
although its weight is zero.)");
}

}  // namespace geolrm
