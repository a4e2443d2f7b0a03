// What the instruction sets' self-attention kernels are given, and how they are chosen.
#pragma once

#include "self_attention/self_attention.h"

namespace geolrm {

struct SelfAttentionKernel {
  int64_t rows;     // keys or channels of a panel
  int64_t columns;  // queries done together
  int64_t keys;     // keys of a block, a multiple of rows
  // Packs panel `panel` (`rows` keys) of one head: keys [rows of k as columns: e, rows] and values
  // [rows, e rounded up to rows], zeros beyond N and e.
  void (*pack)(const SelfAttention& call, int64_t head, int64_t panel, float* keys, float* values);
  // Queries [first, first + columns) of one head against all packed keys and values.
  // scratch: (e + e rounded up to rows + keys) * columns floats.
  void (*attend)(const SelfAttention& call, int64_t head, int64_t first, const float* keys,
                 const float* values, float* scratch);

  static const SelfAttentionKernel plain, avx2, avx512, neon;
};

}  // namespace geolrm
