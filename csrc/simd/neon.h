// Vectors of 4 floats: Advanced SIMD of 64-bit ARM, which every such CPU has.
//
// Arithmetic is float32, as everywhere. Half-precision arithmetic and dot products (FEAT_FP16,
// FEAT_DotProd) would change the bits of results between CPUs, and halves only come out of memory
// here, which the conversions below serve on every CPU.
#pragma once

#include <arm_neon.h>

#include <cmath>
#include <cstring>

#include "simd/simd.h"

namespace geolrm::neon {

constexpr int kWidth = 4;
constexpr int kRegisters = 32;

struct Vec {
  float32x4_t v;
};
struct Mask {
  uint32x4_t m;
};
struct Tail {
  int n;
  explicit Tail(int n) : n(n) {}
};

inline Vec set1(float x) { return {vdupq_n_f32(x)}; }
inline Vec zero() { return set1(0.0f); }
inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline Vec load(const float* p, Tail t) {
  float copy[4] = {};
  std::memcpy(copy, p, sizeof(float) * static_cast<unsigned>(t.n));
  return load(copy);
}
inline Vec load(const Half* p) {
  return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))))};
}
inline Vec load(const Half* p, Tail t) {
  Half copy[4] = {};
  std::memcpy(copy, p, sizeof(Half) * static_cast<unsigned>(t.n));
  return load(copy);
}
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline void store(float* p, Vec a, Tail t) {
  float copy[4];
  store(copy, a);
  std::memcpy(p, copy, sizeof(float) * static_cast<unsigned>(t.n));
}
inline void store(Half* p, Vec a) {
  vst1_u16(reinterpret_cast<uint16_t*>(p), vreinterpret_u16_f16(vcvt_f16_f32(a.v)));
}
inline void store(Half* p, Vec a, Tail t) {
  Half copy[4];
  store(copy, a);
  std::memcpy(p, copy, sizeof(Half) * static_cast<unsigned>(t.n));
}

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
// c + a[kLane] * b: no instruction spreads a lane.
#define GEOLRM_HAS_FMA_LANE 1
template <int kLane>
inline Vec fma_lane(Vec a, Vec b, Vec c) {
  return {vfmaq_laneq_f32(c.v, b.v, a.v, kLane)};
}
inline Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
inline Vec floor(Vec a) { return {vrndmq_f32(a.v)}; }
inline Vec round(Vec a) { return {vrndnq_f32(a.v)}; }

inline Mask less(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
inline Mask at_least(Vec a, Vec b) { return {vcgeq_f32(a.v, b.v)}; }
inline Mask operator&(Mask a, Mask b) { return {vandq_u32(a.m, b.m)}; }
inline Mask operator|(Mask a, Mask b) { return {vorrq_u32(a.m, b.m)}; }
inline Vec select(Mask m, Vec a, Vec b) { return {vbslq_f32(m.m, a.v, b.v)}; }
inline Vec keep(Mask m, Vec a) {
  return {vreinterpretq_f32_u32(vandq_u32(m.m, vreinterpretq_u32_f32(a.v)))};
}
// b where a is NaN, as on the other instruction sets; FMAX would give NaN.
inline Vec max(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
inline int count(Mask m) { return static_cast<int>(vaddvq_u32(vshrq_n_u32(m.m, 31))); }
inline bool any(Mask m) { return vmaxvq_u32(m.m) != 0; }

inline void prefetch(const void* p) { __builtin_prefetch(p); }

inline float square_root(float x) { return std::sqrt(x); }
inline float sum(Vec a) { return vaddvq_f32(a.v); }
inline float largest(Vec a) { return vmaxnmvq_f32(a.v); }  // of what is no NaN
inline float32x4_t sums(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
  return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
}
// The sums of a, b, c and d at p[0] .. p[3].
inline void sum4(float* p, Vec a, Vec b, Vec c, Vec d) { vst1q_f32(p, sums(a.v, b.v, c.v, d.v)); }

// out[k] += the sum of v[k]'s lanes, for ten vectors.
inline void add_sums(const Vec (&v)[10], float* out) {
  const auto put = [&](int k, float32x4_t s) {
    vst1q_f32(out + k, vaddq_f32(vld1q_f32(out + k), s));
  };
  put(0, sums(v[0].v, v[1].v, v[2].v, v[3].v));
  put(4, sums(v[4].v, v[5].v, v[6].v, v[7].v));
  const float32x4_t pairs = vpaddq_f32(v[8].v, v[9].v);
  const float32x2_t last = vpadd_f32(vget_low_f32(pairs), vget_high_f32(pairs));
  vst1_f32(out + 8, vadd_f32(vld1_f32(out + 8), last));
}

// Lanes truncated to int32, kept as bits.
inline Vec int_bits(Vec a) { return {vreinterpretq_f32_s32(vcvtq_s32_f32(a.v))}; }
inline void store_bits(int32_t* p, Vec a) { vst1q_s32(p, vreinterpretq_s32_f32(a.v)); }

// kept[m]: the bytes of the lanes set in m side by side; the rest are out of range, which is zero.
struct CompressTable {
  uint8_t kept[16][16];
};
constexpr CompressTable make_compress_table() {
  CompressTable table{};
  for (int m = 0; m < 16; ++m) {
    int n = 0;
    for (int lane = 0; lane < 4; ++lane) {
      if (m >> lane & 1) {
        for (int byte = 0; byte < 4; ++byte) {
          table.kept[m][n++] = static_cast<uint8_t>(4 * lane + byte);
        }
      }
    }
    for (; n < 16; ++n) table.kept[m][n] = 255;
  }
  return table;
}
inline constexpr CompressTable kCompress = make_compress_table();

inline uint32_t bits(Mask m) {
  constexpr uint32_t kPlaces[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(m.m, vld1q_u32(kPlaces)));
}
// The lanes of m side by side, and then zeros.
inline Vec compress(Mask m, Vec a) {
  const uint8x16_t lanes = vqtbl1q_u8(vreinterpretq_u8_f32(a.v), vld1q_u8(kCompress.kept[bits(m)]));
  return {vreinterpretq_f32_u8(lanes)};
}
inline void compress(void* p, Mask m, Vec a) {
  vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_f32(compress(m, a).v));
}
// Lane i of a, b, c and d side by side at p + interleaved(i).
inline void interleave(float* p, Vec a, Vec b, Vec c, Vec d) {
  const float32x4x4_t all = {{a.v, b.v, c.v, d.v}};
  vst4q_f32(p, all);
}
struct Quad {
  Vec a, b, c, d;
};
// p[0] .. p[3], each in all lanes.
template <int kSize>
inline Quad spread(const float* p) {
  const float32x4_t v = vld1q_f32(p);
  return {{vdupq_laneq_f32(v, 0)},
          {vdupq_laneq_f32(v, 1)},
          {vdupq_laneq_f32(v, 2)},
          {vdupq_laneq_f32(v, 3)}};
}
// p = x0 y0 x1 y1 ...
inline void load_pairs(const float* p, Vec& x, Vec& y) {
  const float32x4x2_t pairs = vld2q_f32(p);
  x.v = pairs.val[0];
  y.v = pairs.val[1];
}

// a * 2^n, for n in the low bits of `power`, as adding 1.5 * 2^23 leaves it there.
inline Vec scale_by_power(Vec a, Vec power) {
  const int32x4_t shift = vshlq_n_s32(vreinterpretq_s32_f32(power.v), 23);
  return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a.v), shift))};
}
// y * 2^n for whole n.
inline Vec scale(Vec y, Vec n) { return scale_by_power(y, int_bits(n)); }
constexpr bool kScaleEnds = false;

}  // namespace geolrm::neon

#include "simd/exponentials.h"
