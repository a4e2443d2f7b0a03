#include "value_projection/value_projection.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "simd/dispatch.h"
#include "thread_pool.h"
#include "value_projection/value_projection_kernel.h"

namespace geolrm {
namespace {

void set_out(ProjectionBlock& block, float* out) { block.out = out; }
void set_out(ProjectionBlock& block, Half* out) { block.out_half = out; }

}  // namespace

// The packed forms, by the columns of their panels; in practice one.
struct ValueProjection::Cache {
  std::mutex mutex;
  std::map<int64_t, Packed> packed;
};

ValueProjection::ValueProjection(const float* weight, const float* bias, int64_t heads,
                                 int64_t head_dim, int64_t channels)
    : heads_(heads),
      head_dim_(head_dim),
      channels_(channels),
      weight_(weight, weight + heads * head_dim * channels),
      bias_(bias, bias + heads * head_dim),
      cache_(std::make_shared<Cache>()) {
  packed(kernel_for<ValueProjectionKernel>(best_isa()).columns);
}

const ValueProjection::Packed& ValueProjection::packed(int64_t columns) const {
  std::lock_guard<std::mutex> lock(cache_->mutex);
  Packed& result = cache_->packed[columns];
  if (result.columns == columns) return result;
  const int64_t d = heads_ * head_dim_, panels = (d + columns - 1) / columns;
  result.panels.assign(static_cast<size_t>(panels * channels_ * columns + 8 * columns), 0.0f);
  result.bias.assign(static_cast<size_t>(panels * columns), 0.0f);
  std::copy(bias_.begin(), bias_.end(), result.bias.begin());
  for (int64_t j = 0; j < d; ++j) {
    float* to = result.panels.data() + j / columns * channels_ * columns + j % columns;
    for (int64_t k = 0; k < channels_; ++k) {
      to[k * columns] = weight_[static_cast<size_t>(j * channels_ + k)];
    }
  }
  result.columns = columns;
  return result;
}

template <class T>
void ValueProjection::project(const float* features, const uint8_t* touched, T* out, int64_t views,
                              int64_t pixels, int threads, const std::string& isa) const {
  const ValueProjectionKernel& run = kernel_for<ValueProjectionKernel>(isa);
  const Packed& weights = packed(run.columns);
  std::vector<int64_t> chosen;
  chosen.reserve(static_cast<size_t>(views * pixels));
  for (int64_t row = 0; row < views * pixels; ++row) {
    if (touched == nullptr || touched[row] != 0) chosen.push_back(row);
  }
  const int64_t count = static_cast<int64_t>(chosen.size());
  const int64_t blocks = (count + kBlockRows - 1) / kBlockRows;
  const int64_t workers = std::min<int64_t>(resolve_threads(threads), std::max<int64_t>(blocks, 1));
  const size_t panel = static_cast<size_t>(kBlockRows * channels_);
  std::vector<float> packed_rows(panel * static_cast<size_t>(workers));
  parallel_for(count, kBlockRows, static_cast<int>(workers),
               [&](int64_t begin, int64_t end, int worker) {
                 const float* rows[kBlockRows];
                 int64_t places[kBlockRows];
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = chosen[static_cast<size_t>(i)];
                   rows[i - begin] = features + row * channels_;
                   places[i - begin] = row / pixels * heads_ * pixels + row % pixels;
                 }
                 ProjectionBlock block{};
                 block.rows = rows;
                 block.places = places;
                 block.count = end - begin;
                 block.channels = channels_;
                 block.heads = heads_;
                 block.head_dim = head_dim_;
                 block.pixels = pixels;
                 block.panels = weights.panels.data();
                 block.bias = weights.bias.data();
                 block.packed = packed_rows.data() + panel * static_cast<size_t>(worker);
                 set_out(block, out);
                 run.run(block);
               });
}

template void ValueProjection::project(const float*, const uint8_t*, float*, int64_t, int64_t, int,
                                       const std::string&) const;
template void ValueProjection::project(const float*, const uint8_t*, Half*, int64_t, int64_t, int,
                                       const std::string&) const;

}  // namespace geolrm
