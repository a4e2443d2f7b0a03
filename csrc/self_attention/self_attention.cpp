#include "self_attention/self_attention.h"

#include <algorithm>
#include <vector>

#include "self_attention/self_attention_kernel.h"
#include "simd/dispatch.h"
#include "thread_pool.h"

namespace geolrm {
namespace {}  // namespace

void self_attention(const SelfAttention& call, int threads, const std::string& isa) {
  const SelfAttentionKernel& run = kernel_for<SelfAttentionKernel>(isa);
  if (call.queries == 0) return;
  const int64_t panels = (call.queries + run.rows - 1) / run.rows;
  const int64_t padded = (call.head_dim + run.rows - 1) / run.rows * run.rows;
  const int64_t keys_size = panels * run.rows * call.head_dim,
                values_size = panels * run.rows * padded;
  std::vector<float> keys(static_cast<size_t>(call.heads * keys_size));
  std::vector<float> values(static_cast<size_t>(call.heads * values_size));
  parallel_for(call.heads * panels, 64, threads, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / panels, panel = i % panels;
      run.pack(call, head, panel, keys.data() + head * keys_size + panel * run.rows * call.head_dim,
               values.data() + head * values_size + panel * run.rows * padded);
    }
  });
  const int64_t tiles = (call.queries + run.columns - 1) / run.columns;
  const int64_t workers = std::min<int64_t>(resolve_threads(threads), call.heads * tiles);
  // Whole cache lines for each worker, and one to align the first.
  const int64_t scratch_size = ((call.head_dim + padded + run.keys) * run.columns + 15) / 16 * 16;
  std::vector<float> scratch(static_cast<size_t>(workers * scratch_size + 16));
  const uintptr_t start = (reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64;
  parallel_for(call.heads * tiles, 1, static_cast<int>(workers),
               [&](int64_t begin, int64_t end, int worker) {
                 float* own = reinterpret_cast<float*>(start) + worker * scratch_size;
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t head = i / tiles;
                   run.attend(call, head, i % tiles * run.columns, keys.data() + head * keys_size,
                              values.data() + head * values_size, own);
                 }
               });
}

}  // namespace geolrm
