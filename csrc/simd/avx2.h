// Vectors of 8 floats: AVX2, FMA, F16C.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "simd/simd.h"

namespace geolrm::avx2 {

constexpr int kWidth = 8;
constexpr int kRegisters = 16;

struct Vec {
  __m256 v;
};
struct Mask {
  __m256 m;
};
struct Tail {
  __m256i m;
  int n;
  explicit Tail(int n)
      : m(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))),
        n(n) {}
};

inline Vec set1(float x) { return {_mm256_set1_ps(x)}; }
inline Vec zero() { return {_mm256_setzero_ps()}; }
inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec load(const float* p, Tail t) { return {_mm256_maskload_ps(p, t.m)}; }
inline Vec load(const Half* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Vec load(const Half* p, Tail t) {
  Half copy[8] = {};
  std::memcpy(copy, p, sizeof(Half) * static_cast<unsigned>(t.n));
  return load(copy);
}
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline void store(float* p, Vec a, Tail t) { _mm256_maskstore_ps(p, t.m, a.v); }
inline void store(Half* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline void store(Half* p, Vec a, Tail t) {
  Half copy[8];
  store(copy, a);
  std::memcpy(p, copy, sizeof(Half) * static_cast<unsigned>(t.n));
}

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vec floor(Vec a) { return {_mm256_floor_ps(a.v)}; }
inline Vec round(Vec a) { return {_mm256_round_ps(a.v, 0x08)}; }

inline Mask less(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask at_least(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
inline Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
inline Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.m, b.m)}; }
inline Vec select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.m)}; }
inline Vec keep(Mask m, Vec a) { return {_mm256_and_ps(m.m, a.v)}; }
inline int bits(Mask m) { return _mm256_movemask_ps(m.m); }
inline bool any(Mask m) { return bits(m) != 0; }

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
inline float sum(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float largest(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
// The sums of a, b, c and d at p[0] .. p[3].
inline void sum4(float* p, Vec a, Vec b, Vec c, Vec d) {
  const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v));
  _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}

// out[k] += the sum of v[k]'s lanes, for ten vectors; 12 places, aligned to 64 bytes, are written.
inline void add_sums(const Vec (&v)[10], float* out) {
  const auto two = [](Vec a, Vec b) {
    return _mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v));
  };
  const auto four = [](__m256 ab, __m256 cd) {
    const __m256d x = _mm256_castps_pd(ab), y = _mm256_castps_pd(cd);
    const __m256 s = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                                   _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  };
  const auto put = [&](int k, __m128 s) {
    _mm_store_ps(out + k, _mm_add_ps(_mm_load_ps(out + k), s));
  };
  put(0, four(two(v[0], v[1]), two(v[2], v[3])));
  put(4, four(two(v[4], v[5]), two(v[6], v[7])));
  put(8, four(two(v[8], v[9]), _mm256_setzero_ps()));
}

// kept[m]: the lanes set in m side by side; popcount[m]: how many.
struct CompressTable {
  int32_t kept[256][8];
  int32_t popcount[256];
};
constexpr CompressTable make_compress_table() {
  CompressTable table{};
  for (int m = 0; m < 256; ++m) {
    int n = 0;
    for (int lane = 0; lane < 8; ++lane) {
      if (m >> lane & 1) table.kept[m][n++] = lane;
    }
    table.popcount[m] = n;
  }
  return table;
}
inline constexpr CompressTable kCompress = make_compress_table();

inline int count(Mask m) { return kCompress.popcount[bits(m)]; }
// Lanes truncated to int32, kept as bits.
inline Vec int_bits(Vec a) { return {_mm256_castsi256_ps(_mm256_cvttps_epi32(a.v))}; }
inline void store_bits(int32_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_castps_si256(a.v));
}
// The lanes of m side by side, and then anything.
inline Vec compress(Mask m, Vec a) {
  const __m256i lanes =
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kCompress.kept[bits(m)]));
  return {_mm256_permutevar8x32_ps(a.v, lanes)};
}
inline void compress(void* p, Mask m, Vec a) { store(static_cast<float*>(p), compress(m, a)); }
// Lane i of a, b, c and d side by side at p + interleaved(i).
inline void interleave(float* p, Vec a, Vec b, Vec c, Vec d) {
  const __m256 ac_low = _mm256_unpacklo_ps(a.v, c.v), ac_high = _mm256_unpackhi_ps(a.v, c.v);
  const __m256 bd_low = _mm256_unpacklo_ps(b.v, d.v), bd_high = _mm256_unpackhi_ps(b.v, d.v);
  _mm256_store_ps(p, _mm256_unpacklo_ps(ac_low, bd_low));
  _mm256_store_ps(p + 8, _mm256_unpackhi_ps(ac_low, bd_low));
  _mm256_store_ps(p + 16, _mm256_unpacklo_ps(ac_high, bd_high));
  _mm256_store_ps(p + 24, _mm256_unpackhi_ps(ac_high, bd_high));
}
struct Quad {
  Vec a, b, c, d;
};
// p[0] .. p[3], each in all lanes.
template <int kSize>
inline Quad spread(const float* p) {
  return {set1(p[0]), set1(p[1]), set1(p[2]), set1(p[3])};
}
// p = x0 y0 x1 y1 ...
inline void load_pairs(const float* p, Vec& x, Vec& y) {
  const __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + 8);
  const __m256 low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
  x.v = _mm256_shuffle_ps(low, high, 0x88);
  y.v = _mm256_shuffle_ps(low, high, 0xDD);
}

// a * 2^n, for n in the low bits of `power`, as adding 1.5 * 2^23 leaves it there.
inline Vec scale_by_power(Vec a, Vec power) {
  const __m256i shift = _mm256_slli_epi32(_mm256_castps_si256(power.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), shift))};
}
// y * 2^n for whole n.
inline Vec scale(Vec y, Vec n) { return scale_by_power(y, int_bits(n)); }
constexpr bool kScaleEnds = false;

}  // namespace geolrm::avx2

#include "simd/exponentials.h"
