#include "deformable_cross_attention/deformable_cross_attention.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "deformable_cross_attention/deformable_cross_attention_kernel.h"
#include "query_order/query_order.h"
#include "simd/dispatch.h"
#include "thread_pool.h"

namespace geolrm {
namespace {

// Builds the per-sample constants; `storage` keeps them alive.
CrossAttentionCall prepare(const DeformableCrossAttention& op, std::vector<float>& storage) {
  CrossAttentionCall call{};
  call.op = op;
  call.samples = op.levels * op.points;
  call.padded_samples = (call.samples + kLaneMultiple - 1) / kLaneMultiple * kLaneMultiple;
  const size_t stride = static_cast<size_t>(call.padded_samples);
  storage.assign(kLaneArrays * stride, 0.0f);
  float* lane = storage.data();
  std::fill(lane, lane + stride, -1.0f);
  int64_t start = 0, i = 0;
  for (int64_t level = 0; level < op.levels; ++level) {
    const int64_t height = op.level_shapes[2 * level], width = op.level_shapes[2 * level + 1];
    call.narrow = call.narrow || width == 1;
    const int64_t constants[kLaneArrays] = {width,
                                            height,
                                            std::max<int64_t>(width - 2, 0),
                                            std::max<int64_t>(height - 2, 0),
                                            width > 1,
                                            height > 1,
                                            start,
                                            height > 1 ? width : 0};
    for (int64_t p = 0; p < op.points; ++p, ++i) {
      for (size_t k = 0; k < kLaneArrays; ++k) {
        lane[k * stride + static_cast<size_t>(i)] = static_cast<float>(constants[k]);
      }
    }
    start += height * width;
  }
  call.lanes = {lane,
                lane + stride,
                lane + 2 * stride,
                lane + 3 * stride,
                lane + 4 * stride,
                lane + 5 * stride,
                lane + 6 * stride,
                lane + 7 * stride};
  return call;
}

// All workers' scratch, in 64-byte lines; not initialised. The calling thread keeps the memory for
// its next call: page faults on 16 MB cost as much as a tenth of the work.
class Scratch {
 public:
  Scratch(const CrossAttentionCall& call, int64_t queries, int workers) {
    const int64_t d = call.op.heads * call.op.head_dim;
    sizes_[0] = queries * call.op.heads * call.padded_samples;
    sizes_[1] = queries * d;
    sizes_[2] = sizes_[3] = sizes_[4] = queries;
    sizes_[5] = kSequenceBins + 1;
    for (int64_t& size : sizes_) stride_ += size = (size + 15) / 16 * 16;
    thread_local std::unique_ptr<unsigned char[]> kept;
    thread_local size_t kept_size = 0;
    const size_t size = static_cast<size_t>(stride_ * workers + 16) * sizeof(float);
    if (size > kept_size) {
      kept_size = 0;  // should the allocation fail
      kept.reset();
      kept.reset(new unsigned char[size]);
      kept_size = size;
    }
    memory_ = kept.get();
  }

  CrossAttentionScratch of(int worker) const {
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory_);
    float* p = reinterpret_cast<float*>((address + 63) / 64 * 64) + stride_ * worker;
    CrossAttentionScratch scratch;
    scratch.attention = p;
    scratch.sums = p += sizes_[0];
    scratch.largest = p += sizes_[1];
    scratch.normaliser = p += sizes_[2];
    scratch.sequence = reinterpret_cast<int32_t*>(p += sizes_[3]);
    scratch.bins = reinterpret_cast<int32_t*>(p += sizes_[4]);
    return scratch;
  }

 private:
  int64_t sizes_[6];
  int64_t stride_ = 0;
  unsigned char* memory_;
};

}  // namespace

void deformable_cross_attention(const DeformableCrossAttention& op, int threads,
                                const std::string& isa) {
  const DeformableCrossAttentionKernel& run = kernel_for<DeformableCrossAttentionKernel>(isa);
  if (op.queries == 0) return;
  std::vector<float> storage;
  const CrossAttentionCall call = prepare(op, storage);
  const int64_t workers = std::min<int64_t>(resolve_threads(threads), op.queries);
  // Chunks as even as can be: every worker gets the same number of them.
  const int64_t most = op.queries > kSparseQueries ? kChunkQueries : kSparseChunkQueries;
  const int64_t rounds = (op.queries + workers * most - 1) / (workers * most);
  const int64_t chunk = (op.queries + workers * rounds - 1) / (workers * rounds);
  const std::vector<int32_t> order = query_order({op.views, op.queries, op.reference_points});
  const Scratch scratch(call, chunk, static_cast<int>(workers));
  parallel_for(op.queries, chunk, static_cast<int>(workers),
               [&](int64_t begin, int64_t end, int worker) {
                 run.attend(call, order.data() + begin, end - begin, scratch.of(worker));
               });
}

void mark_touched(const DeformableCrossAttention& op, uint8_t* touched, int threads,
                  const std::string& isa) {
  const DeformableCrossAttentionKernel& run = kernel_for<DeformableCrossAttentionKernel>(isa);
  if (op.queries == 0) {  // nor do any samples bound what prepare would take
    std::fill(touched, touched + op.views * op.pixels, uint8_t{0});
    return;
  }
  std::vector<float> storage;
  const CrossAttentionCall call = prepare(op, storage);
  constexpr int64_t kGrain = 256;
  const int64_t chunks = std::max<int64_t>((op.queries + kGrain - 1) / kGrain, 1);
  const int64_t workers = std::min<int64_t>(resolve_threads(threads), chunks);
  const int64_t stride = op.pixels + 1, map = op.views * stride;
  std::vector<uint8_t> base(static_cast<size_t>(map * workers));
  parallel_for(op.queries, kGrain, static_cast<int>(workers),
               [&](int64_t begin, int64_t end, int worker) {
                 run.mark(call, begin, end, base.data() + map * worker, stride);
               });
  // A pixel is read as one of four taps: spread every upper left tap to the other three. A pair of
  // taps never starts in a last column or row, so a shift never leaves its row or level.
  parallel_for(op.views, 1, static_cast<int>(workers), [&](int64_t first, int64_t last, int) {
    for (int64_t view = first; view < last; ++view) {
      uint8_t* from = base.data() + view * stride;
      for (int64_t worker = 1; worker < workers; ++worker) {
        const uint8_t* other = from + map * worker;
        for (int64_t i = 0; i < op.pixels; ++i) from[i] |= other[i];
      }
      uint8_t* to = touched + view * op.pixels;
      for (int64_t level = 0; level < op.levels; ++level) {
        const int64_t width = op.level_shapes[2 * level + 1];
        const int64_t count = op.level_shapes[2 * level] * width;
        std::memcpy(to, from, static_cast<size_t>(count));
        for (const int64_t step : {int64_t{1}, width, width + 1}) {
          if (width == 1 && step == 2) continue;  // no right column, so no lower right one
          for (int64_t i = step; i < count; ++i) to[i] |= from[i - step];
        }
        from += count;
        to += count;
      }
    }
  });
}

}  // namespace geolrm
