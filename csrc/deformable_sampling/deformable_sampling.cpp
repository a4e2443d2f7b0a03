#include "deformable_sampling/deformable_sampling.h"

#include <vector>

#include "deformable_sampling/deformable_sampling_kernel.h"
#include "simd/dispatch.h"
#include "thread_pool.h"

namespace geolrm {
namespace {

// [h, levels]
std::vector<SampledPlane> planes_of(const DeformableSampling& op) {
  std::vector<SampledPlane> planes;
  for (int64_t head = 0; head < op.heads; ++head) {
    int64_t start = 0;
    for (int64_t level = 0; level < op.levels; ++level) {
      const int64_t height = op.level_shapes[2 * level], width = op.level_shapes[2 * level + 1];
      planes.push_back({head, level, start, height, width});
      start += height * width;
    }
  }
  return planes;
}

}  // namespace

void deformable_sampling(const DeformableSampling& op, float* out, int threads,
                         const std::string& isa) {
  const DeformableSamplingKernel& run = kernel_for<DeformableSamplingKernel>(isa);
  if (op.views == 0 || op.queries == 0) return;  // nor does any array bound the planes
  const std::vector<SampledPlane> planes = planes_of(op);
  parallel_for(op.views * op.heads, 1, threads, [&](int64_t first, int64_t last, int) {
    for (int64_t task = first; task < last; ++task) {
      const SampledPlane* own = planes.data() + task % op.heads * op.levels;
      for (int64_t level = 0; level < op.levels; ++level) {
        run.sample(op, own[level], task / op.heads, out);
      }
    }
  });
}

// A plane's gradients belong to one task: no two threads ever add to one number.
void deformable_sampling_backward(const DeformableSampling& op,
                                  const DeformableSamplingGradients& gradients, int threads,
                                  const std::string& isa) {
  const DeformableSamplingKernel& run = kernel_for<DeformableSamplingKernel>(isa);
  if (op.views == 0 || op.queries == 0) return;  // nor does any array bound the planes
  const std::vector<SampledPlane> planes = planes_of(op);
  parallel_for(static_cast<int64_t>(planes.size()), 1, threads,
               [&](int64_t first, int64_t last, int) {
                 for (int64_t i = first; i < last; ++i) {
                   run.differentiate(op, planes[static_cast<size_t>(i)], gradients);
                 }
               });
}

}  // namespace geolrm
