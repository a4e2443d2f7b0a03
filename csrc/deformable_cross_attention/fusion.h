// The softmaxes over samples and over views; included after the vectors.
#pragma once

#include "deformable_cross_attention/deformable_cross_attention_kernel.h"

namespace geolrm::GEOLRM_ISA {

// softmax of n logits; out is padded with zeros to `padded`.
inline void softmax(const float* logits, int64_t n, int64_t padded, float* out) {
  float largest_logit = logits[0];
  if (n >= kWidth) {
    Vec best = load(logits);  // the last vector overlaps the one before
    for (int64_t i = kWidth; i < n; i += kWidth) {
      best = max(best, load(logits + (i + kWidth <= n ? i : n - kWidth)));
    }
    largest_logit = largest(best);
  } else {
    for (int64_t i = 1; i < n; ++i) {
      largest_logit = logits[i] > largest_logit ? logits[i] : largest_logit;
    }
  }
  float total = 0.0f;
  for (int64_t i = 0; i < padded; i += kWidth) {
    const int64_t left = n - i;
    Vec x = zero();
    if (left >= kWidth) {
      x = exp(load(logits + i) - set1(largest_logit));
      total += sum(x);
    } else if (left > 0) {
      const Tail tail(static_cast<int>(left));
      float copy[kWidth] = {};
      store(copy, exp(load(logits + i, tail) - set1(largest_logit)), tail);
      x = load(copy);
      total += sum(x);
    }
    store(out + i, x);
  }
  const Vec scale = set1(1.0f / total);
  for (int64_t i = 0; i < padded; i += kWidth) store(out + i, load(out + i) * scale);
}

inline float exp_of(float x) {
  float r[kWidth];
  store(r, exp(set1(x)));
  return r[0];
}

// out = o over d channels.
inline void copy(float* out, const float* o, int64_t d) {
  int64_t c = 0;
  for (; c + kWidth <= d; c += kWidth) store(out + c, load(o + c));
  for (; c < d; ++c) out[c] = o[c];
}

// out = out * keep + o * add over d channels.
inline void blend(float* out, const float* o, int64_t d, float keep, float add) {
  const Vec a = set1(keep), b = set1(add);
  int64_t c = 0;
  for (; c + kWidth <= d; c += kWidth) store(out + c, fma(b, load(o + c), load(out + c) * a));
  if (c < d) {
    const Tail tail(static_cast<int>(d - c));
    store(out + c, fma(b, load(o + c, tail), load(out + c, tail) * a), tail);
  }
}

// Folds one view's o into out: a softmax over views, online (running maximum and normaliser).
inline void merge_view(const CrossAttentionCall& call, int64_t view, const int32_t* order,
                       int64_t count, const CrossAttentionScratch& scratch) {
  const DeformableCrossAttention& op = call.op;
  const int64_t d = op.heads * op.head_dim;
  for (int64_t i = 0; i < count; ++i) {
    const float* o = scratch.sums + i * d;
    float* out = op.out + order[i] * d;
    if (i + 1 < count) {
      const float* next = op.out + order[i + 1] * d;
      for (int64_t c = 0; c < d; c += 16) prefetch(next + c);
    }
    Vec even = zero(), odd = zero();
    int64_t c = 0;
    for (; c + 2 * kWidth <= d; c += 2 * kWidth) {
      even = fma(load(op.view_weight + c), load(o + c), even);
      odd = fma(load(op.view_weight + c + kWidth), load(o + c + kWidth), odd);
    }
    for (; c < d; c += kWidth) {
      const Tail tail(static_cast<int>(d - c < kWidth ? d - c : kWidth));
      even = fma(load(op.view_weight + c, tail), load(o + c, tail), even);
    }
    const float logit = sum(even + odd) + op.view_bias;
    float &best = scratch.largest[i], &total = scratch.normaliser[i];
    if (view == 0) {
      copy(out, o, d);
      best = logit;
      total = 1.0f;
      continue;
    }
    float keep = 0.0f, add = 1.0f;
    if (logit <= best) {
      keep = 1.0f;
      add = exp_of(logit - best);
      total += add;
    } else {
      keep = exp_of(best - logit);
      total = total * keep + 1.0f;
      best = logit;
    }
    if (view == op.views - 1) {
      keep /= total;
      add /= total;
    }
    blend(out, o, d, keep, add);
  }
}

}  // namespace geolrm::GEOLRM_ISA
